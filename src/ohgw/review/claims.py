"""Claims: what the texts of a specification say the experiment does, held against the code."""

from ohgw.review.checks.check import Context
from ohgw.review.findings import Claim


def check_claims(context: Context) -> list[Claim]:
    """Every claim that could be read out of the texts."""
    return []
