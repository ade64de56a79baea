"""The lines of source around a finding."""

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
    return [(number, _printable(file.lines[number - 1])[:WIDTH]) for number in numbers]


def _printable(text: str) -> str:
    """Without what a terminal would act on: the text is not ours."""
    return "".join(c if c.isprintable() else " " for c in text.expandtabs(4))
