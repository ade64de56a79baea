"""The checks: one small file each, one line in `CHECKS`, one page in docs/review.

A check is a function of parsed projects; it never imports, runs or trusts what it reads. The
examples on its page are its tests.
"""

from ohgw.review.checks import syntax_error
from ohgw.review.checks.check import Check as Check
from ohgw.review.checks.check import Context as Context

CHECKS: tuple[Check, ...] = (syntax_error.CHECK,)
