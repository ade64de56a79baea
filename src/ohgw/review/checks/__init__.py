"""The checks: one small file each, one line in `CHECKS`, one page in docs/review.

A check is a function of parsed projects; it never imports, runs or trusts what it reads. The
examples on its page are its tests.
"""

from ohgw.review.checks import (
    backward_under_no_grad,
    claim_unsupported,
    placeholder,
    removed_file,
    removed_symbol,
    replicates,
    scheduler_absent,
    seed_ignored,
    shortened_body,
    step_size_target,
    stub,
    syntax_error,
    timer_after_step,
)
from ohgw.review.checks.check import Check as Check
from ohgw.review.checks.check import Context as Context

CHECKS: tuple[Check, ...] = (
    syntax_error.CHECK,
    # What was there in the base, and what was to be filled in
    placeholder.CHECK,
    stub.CHECK,
    removed_symbol.CHECK,
    removed_file.CHECK,
    shortened_body.CHECK,
    # Whether the method is implemented
    scheduler_absent.CHECK,
    step_size_target.CHECK,
    backward_under_no_grad.CHECK,
    replicates.CHECK,
    seed_ignored.CHECK,
    claim_unsupported.CHECK,
    # Whether what is measured means anything
    timer_after_step.CHECK,
)
