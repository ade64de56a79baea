"""Which part of the configuration each expression of the code may be, across functions and files.

    values    what an expression may be: parts of configurations, objects of the code, texts
    calls     library calls that load, copy or merge configurations
    solver    values of every expression, to a fixed point
    reads     what was read from where: the answer that checks use

An over-approximation: an expression may be any of its values. Nothing is executed.
"""

from ohgw.review.code.flow.reads import Flow as Flow
from ohgw.review.code.flow.reads import flow as flow
from ohgw.review.code.flow.values import At as At
from ohgw.review.code.flow.values import Read as Read
from ohgw.review.code.flow.values import Splat as Splat
