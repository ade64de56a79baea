"""Targets: where code says when, or whether, a quantity has reached one."""

import ast
from collections.abc import Iterator

from ohgw.review.meaning.measures import direct
from ohgw.review.meaning.metrics import called, enclosing, name_of, quantity, words
from ohgw.review.project import Module, constant

_GOAL = frozenset({"target", "goal"})
_PLACES = frozenset(
    "step steps epoch epochs time elapsed iteration iterations iter work budget seconds minutes "
    "round rounds wall spent trial evaluations cost index".split()
)
_REACHED = frozenset("reached reach hit hits success succeeded converged met achieved".split())
_MISSED = frozenset(
    "missed not below above unreached failed remaining left miss under over".split()
)
_FIRSTS = frozenset("argmax flatnonzero nonzero where any".split())
_OPERATORS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def contradictions(module: Module) -> Iterator[tuple[int, str]]:
    """(line, what is wrong) of every target that is reached from its wrong side."""
    for node in module.nodes:
        if not isinstance(node, ast.Compare) or len(node.ops) != 1:
            continue
        if not isinstance(node.ops[0], _OPERATORS):
            continue
        for value, goal, left in (
            (node.left, node.comparators[0], True),
            (node.comparators[0], node.left, False),
        ):
            if not _GOAL & set(words(name_of(goal))) or _GOAL & set(words(name_of(value))):
                continue
            own = direct(value)
            if own is None:
                continue
            upwards = isinstance(node.ops[0], ast.Gt | ast.GtE) == left
            if upwards != own.upwards and _is_reaching(module, node):
                better = "higher" if own.higher else "lower"
                side = "above" if upwards else "below"
                yield (
                    node.lineno,
                    f"{name_of(goal)} counts as reached {side} it, but {better} {own.name} is "
                    "better.",
                )


def _is_reaching(module: Module, node: ast.Compare) -> bool:
    """Whether the comparison being true is taken for the target being reached."""
    child: ast.AST = node
    parent = module.parents.get(node)
    while isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.And):
        child, parent = parent, module.parents.get(parent)
    if isinstance(parent, ast.If) and parent.test is child:
        return not parent.orelse and _records(parent.body)
    if isinstance(parent, ast.comprehension) and child in parent.ifs:
        around = module.parents.get(parent)
        element = getattr(around, "elt", None)
        outer = module.parents.get(around) if around is not None else None
        first = isinstance(outer, ast.Call) and called(outer) in ("next", "min")
        return first and element is not None and _is_place(element)
    if isinstance(parent, ast.Call) and called(parent) in _FIRSTS and child in parent.args:
        return not _MISSED & _target_words(module, parent)
    if isinstance(parent, ast.Attribute) and parent.attr in ("argmax", "any"):
        return not _MISSED & _target_words(module, parent)
    if isinstance(parent, ast.Assign | ast.AnnAssign | ast.keyword | ast.Dict | ast.Return):
        said = _target_words(module, child)
        return bool(said & _REACHED) and not said & _MISSED
    return False


def _records(body: list[ast.stmt]) -> bool:
    """A step or a time is kept, at once, as the one at which it happened."""
    for node in body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value
            if called(call) in ("setdefault", "append", "add") and call.args:
                if _is_place(call.args[-1]):
                    return True
        elif isinstance(node, ast.Return) and node.value is not None:
            if _is_place(node.value):
                return True
        elif isinstance(node, ast.Assign) and _is_place(node.value):
            said = {w for t in node.targets for w in words(name_of(t))}
            if said & (_REACHED | _GOAL | {"to", "first", "at"}) and not said & _MISSED:
                return True
    return False


def _is_place(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        return _is_place(node.left) or _is_place(node.right)
    if isinstance(node, ast.Call) and called(node) in ("perf_counter", "time", "monotonic"):
        return True
    if quantity(name_of(node)):
        return False
    return bool(_PLACES & set(words(name_of(node))))


def _target_words(module: Module, node: ast.AST) -> set[str]:
    """Words of the name, key or function that a value goes to."""
    child: ast.AST = node
    parent = module.parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.Assign):
            return {w for target in parent.targets for w in words(name_of(target))}
        if isinstance(parent, ast.AnnAssign | ast.NamedExpr):
            return set(words(name_of(parent.target)))
        if isinstance(parent, ast.keyword) and parent.arg:
            return set(words(parent.arg))
        if isinstance(parent, ast.Dict):
            for key, value in zip(parent.keys, parent.values, strict=True):
                if value is child:
                    return set(words(str(constant(key))))
        if isinstance(parent, ast.Return):
            return set(words(getattr(enclosing(module, parent), "name", "")))
        if isinstance(parent, ast.stmt):
            return set()
        child, parent = parent, module.parents.get(parent)
    return set()
