"""What the code does with one scalar of the configuration."""

import ast
from dataclasses import dataclass

from ohgw.review.code.flow import calls
from ohgw.review.code.flow.reads import Flow
from ohgw.review.code.flow.values import EACH, MERGED, OPEN, At, Obj, Ref, Text
from ohgw.review.code.nodes import Node
from ohgw.review.project import Module, dotted

_QUESTIONS = frozenset("startswith endswith find index count isdigit isnumeric".split())


@dataclass(frozen=True)
class Use:
    """`kind`: test (compared or asked for truth), registry (a key), name (shown, part of a path),
    stored (in a dict or list), value (anything else)."""

    kind: str
    expr: ast.AST
    module: Module
    loose: bool = False  # reached by a key that is not known


def uses(flow: Flow, leaf: Node) -> list[Use]:
    """Every place where the scalar does something; assignments and calls are followed."""
    found = []
    items = flow.occurrences.get(leaf.origin, [])
    exact = {expr for expr, item in items if not item.loose and not item.derived}
    text = isinstance(leaf.value, str)
    changed = {expr for expr, item in items if item.derived and text}
    for expr in dict.fromkeys(expr for expr, _ in items):
        module = flow.module_of.get(expr)
        if module is None:
            continue
        kind = _kind(flow, module, expr, leaf)
        if kind:
            found.append(Use(kind, expr, module, expr not in exact or expr in changed))
    return found


def _kind(flow: Flow, module: Module, expr: ast.AST, leaf: Node) -> str:
    parent = module.parents.get(expr)
    if isinstance(expr, ast.Name) and isinstance(expr.ctx, ast.Store):
        return ""
    if isinstance(parent, ast.keyword):
        expr, parent = parent, module.parents.get(parent)
    if isinstance(parent, ast.Compare):
        return "test"
    if isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert) and parent.test is expr:
        return "test"
    if isinstance(parent, ast.Match):
        return "test"
    if isinstance(parent, ast.UnaryOp):
        return "test" if isinstance(parent.op, ast.Not) else ""
    if isinstance(parent, ast.BoolOp):
        return _kind(flow, module, parent, leaf) or "test"
    if isinstance(parent, ast.Subscript):
        return "registry" if parent.slice is expr else ""
    if isinstance(parent, ast.FormattedValue):
        return "name"
    if isinstance(parent, ast.BinOp):
        return "name" if isinstance(leaf.value, str) else "value"
    if isinstance(parent, ast.Dict | ast.List | ast.Tuple | ast.Set):
        return "stored"
    if isinstance(parent, ast.Call):
        return _argument(flow, parent, expr)
    if isinstance(parent, ast.Attribute):  # x.lower(), x.startswith("a")
        call = module.parents.get(parent)
        if isinstance(call, ast.Call) and call.func is parent:
            return "test" if parent.attr in _QUESTIONS else ""
        return ""
    flows = ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return | ast.NamedExpr
    flows |= ast.Starred | ast.Yield | ast.IfExp | ast.Expr | ast.comprehension | ast.withitem
    if isinstance(parent, flows) and not isinstance(parent, ast.Starred):
        target = getattr(parent, "target", None) or (getattr(parent, "targets", None) or [None])[0]
        return "stored" if isinstance(target, ast.Subscript) else ""
    if isinstance(parent, ast.arguments):
        return ""
    return "value"


def _argument(flow: Flow, call: ast.Call, expr: ast.AST) -> str:
    if call.func is expr:
        return "value"
    last = dotted(call.func).rpartition(".")[2] or getattr(call.func, "attr", "")
    function = flow.record.values.get(call.func, frozenset())
    if any(isinstance(item, Ref) for item in function):
        return ""  # followed into the function
    if last in calls.SILENT:
        return "name"
    if last in ("get", "pop") and call.args and call.args[0] is expr:
        return "registry"
    if last in calls.NUMBERS or last in calls.COPIES:
        return "name" if last in ("Path", "join", "open", "PurePath", "mkdir") else ""
    return "value"


def dead(flow: Flow, leaf: Node) -> bool:
    """Whether a scalar that code takes out of the configuration certainly does nothing then.

    It ends in variables, parameters and fields that nothing loads.
    """
    items = flow.occurrences.get(leaf.origin, [])
    if not items or uses(flow, leaf):
        return False
    if any(leaf.origin is node.origin for whole in flow.record.whole for node in whole.walk()):
        return False
    names = {str(leaf.key)}
    for expr, _ in items:
        if isinstance(expr, ast.Name):
            names.add(expr.id)
    known = {expr for expr, _ in items}
    for module in flow.project.parsed():  # a field of an object that could not be followed
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and node.attr in names and node not in known:
                if isinstance(node.ctx, ast.Load):
                    return False
    return True


def constants(node: ast.AST) -> list[object]:
    """The constants that a comparison holds: those of displays too."""
    found: list[object] = []
    for item in ast.walk(node):
        if isinstance(item, ast.Constant):
            found.append(item.value)
    return found


def keys_of_registry(flow: Flow, base: ast.expr) -> list[str] | None:
    """The keys of a mapping that the code writes out; None where they cannot be known."""
    found: list[str] = []
    value = flow.record.values.get(base, frozenset())
    if not value:
        return None
    for item in value:
        owner: object
        if isinstance(item, At) and item.load is None:
            owner = item.node
            found += [str(key) for key in item.node.children or {}]
        elif isinstance(item, Obj) and isinstance(item.site, ast.Dict | ast.Call):
            owner = item.site
        else:
            return None
        keys = flow.solver.heap.keys(owner)
        if MERGED in keys:
            return None
        found += [str(key) for key in keys if key != EACH]
        if EACH in keys:  # filled by code: by a decorator, in a loop
            possible = flow.solver.heap.field(("keys", owner), EACH)
            if OPEN in possible or not possible:
                return None
            found += [text.value for text in possible if isinstance(text, Text)]
    return found
