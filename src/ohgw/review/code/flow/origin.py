"""Whether an expression is a configuration file that the code loads just there."""

import ast

from ohgw.review.code.flow.calls import LOADS
from ohgw.review.code.resolve import names
from ohgw.review.meaning.metrics import enclosing
from ohgw.review.project import Module, Project, dotted

_CONFIGURATIONS = frozenset(name for name in LOADS if not name.startswith("json"))
DEPTH = 4


def loads_configuration(
    project: Project, module: Module, node: ast.expr, depth: int = DEPTH
) -> bool:
    """`yaml.safe_load(f)`, a name for it, or a function of the tree that returns it; not JSON,
    which results are written in too."""
    if depth <= 0:
        return False
    if isinstance(node, ast.BoolOp):  # yaml.safe_load(f) or {}
        return loads_configuration(project, module, node.values[0], depth - 1)
    if isinstance(node, ast.Call):
        full = names(project).full(module, node.func)
        if any(full == name or full.endswith(f".{name}") for name in _CONFIGURATIONS):
            return True
        own = names(project).definition(module, dotted(node.func))
        return own is not None and any(
            isinstance(inner, ast.Return)
            and inner.value is not None
            and loads_configuration(project, own.module, inner.value, depth - 1)
            for inner in ast.walk(own.node)
        )
    if isinstance(node, ast.Name):
        return any(
            isinstance(inner, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == node.id for t in inner.targets)
            and loads_configuration(project, module, inner.value, depth - 1)
            for inner in ast.walk(enclosing(module, node))
        )
    return False
