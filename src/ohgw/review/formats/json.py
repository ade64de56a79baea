"""One JSON object, the format that scripts read."""

from ohgw.review.findings import Review
from ohgw.review.tree import Tree


def as_json(review: Review, trees: dict[str, Tree]) -> str:
    return review.model_dump_json(indent=2)
