from ohgw.hypergrad.optimizers import *
from ohgw.hypergrad.optimizers import SGD, AdamW
