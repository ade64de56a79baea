"""The lines of source around a finding."""

from typing import Any

from ohgw.review.findings import Review
from ohgw.review.tree import Tree

CONTEXT = 1  # lines before and after
WIDTH = 160  # a minified line says nothing


def excerpt(trees: dict[str, Tree], place: str, line: int | None) -> list[tuple[int, str]]:
    """(number, text) of the line and its neighbours; empty where there is nothing to show."""
    label, _, path = place.partition("/")
    tree = trees.get(label)
    file = tree.files.get(path) if tree else None
    if file is None or line is None or not 0 < line <= len(file.lines):
        return []
    numbers = range(max(1, line - CONTEXT), min(len(file.lines), line + CONTEXT) + 1)
    return [(number, printable(file.lines[number - 1])[:WIDTH]) for number in numbers]


def printable(text: str) -> str:
    """Without what a terminal would act on: the text is not ours."""
    return "".join(c if c.isprintable() else " " for c in text.expandtabs(4))


def harmless(review: Review) -> Review:
    """The same review with every text as a terminal may show it: names of files are not ours."""
    return Review.model_validate(_clean(review.model_dump()))


def _clean(value: Any) -> Any:
    """Recursion ends with the depth of a review, which is ours."""
    if isinstance(value, str):
        return "\n".join(printable(line) for line in value.split("\n"))
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value
