"""How a review is written down: one function per format, from a `Review` to a string.

Each is also given the reviewed trees by label, for excerpts of the source.
"""

from collections.abc import Callable

from ohgw.review.findings import Review
from ohgw.review.formats.github import as_github
from ohgw.review.formats.json import as_json
from ohgw.review.formats.markdown import as_markdown
from ohgw.review.formats.sarif import as_sarif
from ohgw.review.formats.text import as_text
from ohgw.review.tree import Tree

FORMATS: dict[str, Callable[[Review, dict[str, Tree]], str]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "markdown": as_markdown,
    "github": as_github,
}
