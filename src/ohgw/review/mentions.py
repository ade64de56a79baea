"""Words that the code uses, wherever: names, attributes, arguments, strings."""

import ast
import re
from difflib import SequenceMatcher

from ohgw.review.memo import once
from ohgw.review.project import Project


@once
def _words(project: Project) -> frozenset[str]:
    found: set[str] = set()
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.arg | ast.keyword) and node.arg:
                found.add(node.arg)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                if len(node.value) <= 200:
                    found.add(node.value)
                    found.update(node.value.replace("-", "_").split("."))
    return frozenset(found)


def mentioned(project: Project, word: str) -> bool:
    """Whether the code has this word as a name, an attribute, an argument or a string."""
    return word in _words(project)


def alike(first: str, second: str) -> bool:
    """Whether two names mean one thing: epochs and num_epochs, lr and learning_rate, a typo."""
    one, other = _parts(first), _parts(second)
    if set(one) <= set(other) or set(other) <= set(one):
        return True
    if "".join(one) in ("".join(other), "".join(w[0] for w in other)):
        return True
    if "".join(other) == "".join(w[0] for w in one):
        return True
    return SequenceMatcher(None, "".join(one), "".join(other)).ratio() >= 0.8


def _parts(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word] or [name]
