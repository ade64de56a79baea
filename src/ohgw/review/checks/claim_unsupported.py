"""What the texts promise and no word of the code speaks of."""

from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.claims import check_claims
from ohgw.review.findings import Finding


def _run(check: Check, context: Context) -> Iterator[Finding]:
    for claim in check_claims(context):
        if claim.status == "not found":
            yield check.finding(
                "warning",
                None,
                None,
                f"The texts speak of {claim.value} ({claim.text!r}); nothing in the code does.",
                fix="Implement it, or take it out of the description.",
            )


CHECK = Check("claim-unsupported", "Method Fidelity", "method implemented", _run)
