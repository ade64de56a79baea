"""How a review is written down: one function per format, from a `Review` to a string."""

from collections.abc import Callable

from ohgw.review.findings import Review
from ohgw.review.formats.json import as_json
from ohgw.review.tree import Tree

Trees = dict[str, Tree]
"""The reviewed trees by label, for excerpts of the source."""

FORMATS: dict[str, Callable[[Review, Trees], str]] = {
    "json": as_json,
}
