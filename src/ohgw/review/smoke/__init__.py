"""The smoke test of the derived code, run in a sandbox, and what was observed.

command     what is run, and whether its interpreter has what the tree declares
sandbox     isolation, limits, the archive of results; `jail` is its inside
standins    caches of a user that stand in for data sets and hubs
probe       inside every Python process: executed lines, attempts to reach outside
results     the numbers that were written, by variation
metric_*    metrics of the tree, called with predictions whose quality is known
kinds, fate, observe    findings and rungs of the ladder from all this
"""

from ohgw.review.smoke.kinds import CHECKS as CHECKS
from ohgw.review.smoke.kinds import Observation as Observation
from ohgw.review.smoke.observe import smoke as smoke
