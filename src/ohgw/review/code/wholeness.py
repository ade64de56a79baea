"""What a class needs of itself: fields that its methods read, and who sets them."""

import ast

from ohgw.review.code.resolve import names
from ohgw.review.project import Definition, Project, dotted

MAX_BASES = 8


def gives_value(definition: Definition) -> bool:
    """Whether a function returns, or yields, something."""
    return any(
        isinstance(node, ast.Yield | ast.YieldFrom)
        or (isinstance(node, ast.Return) and node.value is not None)
        for node in ast.walk(definition.node)
    )


def unset_fields(project: Project, owner: Definition) -> list[str]:
    """Fields that methods of a class read and that neither it nor its bases ever set.

    None are known where a base is not of the tree, or where fields are set by name.
    """
    read: set[str] = set()
    known: set[str] = set()
    pending, seen = [owner], {owner}
    while pending:
        current = pending.pop()
        if not isinstance(current.node, ast.ClassDef) or len(seen) > MAX_BASES:
            return []
        for base in current.node.bases:
            name = dotted(base)
            above = names(project).definition(current.module, name)
            if above is None and name not in ("object", "ABC", "abc.ABC"):
                return []
            if above is not None and above not in seen:
                seen.add(above)
                pending.append(above)
        if current.node.decorator_list or current.node.keywords:
            return []
        for node in current.node.body:
            known |= _bound(node)
        for inner in ast.walk(current.node):
            if isinstance(inner, ast.Attribute) and dotted(inner.value) == "self":
                if isinstance(inner.ctx, ast.Store):
                    known.add(inner.attr)
                elif current is owner and isinstance(inner.ctx, ast.Load):
                    read.add(inner.attr)
            elif isinstance(inner, ast.Name) and inner.id in ("setattr", "__getattr__", "vars"):
                return []
            elif isinstance(inner, ast.FunctionDef) and inner.name in _DYNAMIC:
                return []
    outside = {
        node.attr
        for module in project.parsed()
        for node in module.nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    return sorted(name for name in read - known - outside if not name.startswith("__"))


_DYNAMIC = frozenset({"__getattr__", "__getattribute__", "__setattr__"})


def _bound(node: ast.stmt) -> set[str]:
    """Names that a statement of a class's body binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    return {
        inner.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
    }
