"""Where each name is used in a project, and what a call's result is used for."""

import ast
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from ohgw.review.code.memo import once
from ohgw.review.code.resolve import names
from ohgw.review.project import Definition, Module, Project, dotted

Need = Literal["none", "passed on", "kept", "needed"]


@dataclass(frozen=True)
class Use:
    """One call of something by a name."""

    module: Module
    call: ast.Call
    need: Need  # of its result: needed where None would fail


@dataclass
class Uses:
    """By the last part of the name: `train` of `model.train`."""

    named: Counter[str] = field(default_factory=Counter)  # as a name, or in an import
    dotted: Counter[str] = field(default_factory=Counter)  # as an attribute
    calls: dict[str, list[Use]] = field(default_factory=dict)

    def of(self, definition: Definition, project: Project) -> list[Use]:
        """Calls that are certainly of this function, or of this method on `self`."""
        owner, _, short = definition.name.rpartition(".")
        found = []
        for use in self.calls.get(short, ()):
            name = dotted(use.call.func)
            if names(project).definition(use.module, name) is definition or (
                owner
                and name == f"self.{short}"
                and use.module is definition.module
                and class_around(use.module, use.call) == owner
            ):
                found.append(use)
        return found


def class_around(module: Module, node: ast.AST) -> str:
    """The qualified name of the class whose method a node is in; '' outside of classes."""
    parts: list[str] = []
    up = module.parents.get(node)
    while up is not None:
        if isinstance(up, ast.ClassDef) or (parts and isinstance(up, ast.FunctionDef)):
            parts.append(up.name)
        up = module.parents.get(up)
    return ".".join(reversed(parts))


@once
def uses(project: Project) -> Uses:
    found = Uses()
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found.named[node.id] += 1
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found.dotted[node.attr] += 1
            elif isinstance(node, ast.ImportFrom):
                found.named.update(alias.name for alias in node.names)
            elif isinstance(node, ast.Call):
                name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
                if isinstance(name, str):
                    found.calls.setdefault(name, []).append(Use(module, node, need(module, node)))
    return found


def need(module: Module, call: ast.Call) -> Need:
    """What happens with the result of a call."""
    node: ast.AST = call
    parent = module.parents.get(node)
    while isinstance(parent, ast.Await):
        node, parent = parent, module.parents.get(parent)
    if isinstance(parent, ast.Expr):
        return "none"
    if isinstance(parent, ast.Assign):
        unpacked = any(isinstance(target, ast.Tuple | ast.List) for target in parent.targets)
        return "needed" if unpacked else "kept"
    if isinstance(parent, ast.AnnAssign | ast.NamedExpr):
        return "kept"
    fails = (
        isinstance(parent, ast.Attribute | ast.BinOp | ast.Starred | ast.AugAssign)
        or (isinstance(parent, ast.Subscript) and parent.value is node)
        or (isinstance(parent, ast.UnaryOp) and not isinstance(parent.op, ast.Not))
        or (isinstance(parent, ast.For | ast.AsyncFor | ast.comprehension) and parent.iter is node)
        or (
            isinstance(parent, ast.Compare)
            and any(isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in parent.ops)
        )
    )
    return "needed" if fails else "passed on"
