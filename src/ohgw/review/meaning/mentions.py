"""Words by which code may ask for a setting, and names that mean one thing."""

import ast
import re
from difflib import SequenceMatcher

from ohgw.review.code.memo import once
from ohgw.review.project import Project


@once
def _words(project: Project) -> frozenset[str]:
    found: set[str] = set()
    for module in project.parsed():
        keys = {id(k) for n in module.nodes if isinstance(n, ast.Dict) for k in n.keys if k}
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                if len(node.value) <= 200 and id(node) not in keys:
                    found.add(node.value)
                    found.update(node.value.replace("-", "_").split("."))
    return frozenset(found)


def mentioned(project: Project, word: str) -> bool:
    """Whether the code asks anything for this word: as an attribute or in a string.

    Keys of displays, parameters and variables ask for nothing: they are what is asked.
    """
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
