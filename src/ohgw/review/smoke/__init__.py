"""The smoke test of the derived code, run in a sandbox, and what was observed.

command     what is run, and whether its interpreter has what the tree declares
sandbox     isolation, limits, the archive of results; `jail` is its inside
probe       inside every Python process: executed lines, attempts to reach outside
results     the numbers that were written, by variation
observe     findings and rungs of the ladder from all this
"""

from ohgw.review.smoke.observe import CHECKS as CHECKS
from ohgw.review.smoke.observe import Observation as Observation
from ohgw.review.smoke.observe import smoke as smoke
