"""Places where code keeps the best of a quantity, or waits until it reaches a target."""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ohgw.review.meaning.metrics import (
    called,
    enclosing,
    name_of,
    number,
    quantity,
    same,
    split_of,
    words,
)
from ohgw.review.project import Module

_OPERATORS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_BEST = frozenset("best min max lowest highest incumbent".split())
_GOAL = frozenset("threshold target goal".split())
_REACHED = frozenset("reached hit converged to".split())
_CONTRARY = frozenset("worst hardest".split())


@dataclass(frozen=True)
class Tracking:
    """One comparison: `value` replaces `best` where it is above (`upwards`) or below it."""

    node: ast.Compare
    value: ast.expr
    best: str  # the name of the other side
    upwards: bool
    measured: str  # a name for messages
    name: str  # of the quantity
    higher: bool | None  # whether higher is better; None where no name says so
    first: float | None  # what the best starts as, where that is one literal
    keeps: bool  # False for targets that are reached

    @property
    def line(self) -> int:
        return self.node.lineno

    @property
    def purpose(self) -> str:
        return "the best" if self.keeps else "reaching the target"

    @property
    def split(self) -> str | None:
        return split_of(name_of(self.value)) or split_of(self.best)


def trackings(module: Module) -> Iterator[Tracking]:
    """Of one module."""
    for node in module.nodes:
        if isinstance(node, ast.If):
            for compare, negated in _conjuncts(node.test):
                yield from _of_branch(module, node.body, node.orelse, compare, negated)
        elif isinstance(node, ast.IfExp) and isinstance(node.test, ast.Compare):
            yield from _of_choice(module, node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Compare):
            named = set(words(name_of(node.targets[0])))
            if named & {"best", "improved", "better", "improvement"}:
                yield from _make(module, node.value, False, lambda best: True)


def _conjuncts(test: ast.expr) -> Iterator[tuple[ast.Compare, bool]]:
    """Comparisons that all have to hold; of `or` none."""
    pending: list[tuple[ast.expr, bool]] = [(test, False)]
    while pending:
        node, negated = pending.pop()
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And) and not negated:
            pending += [(value, negated) for value in node.values]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            pending.append((node.operand, not negated))
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            if isinstance(node.ops[0], _OPERATORS):
                yield node, negated


def _of_branch(
    module: Module,
    body: Sequence[ast.stmt],
    orelse: Sequence[ast.stmt],
    compare: ast.Compare,
    negated: bool,
) -> Iterator[Tracking]:
    yield from _make(module, compare, negated, lambda best: _assigned(body, best) or _saves(body))
    if orelse and not _saves(body):
        yield from _make(
            module,
            compare,
            not negated,
            lambda best: _assigned(orelse, best) and not _assigned(body, best),
        )
    yield from _goals(module, compare, negated, body)


def _of_choice(module: Module, node: ast.IfExp) -> Iterator[Tracking]:
    assert isinstance(node.test, ast.Compare)
    test = node.test
    if len(test.ops) != 1 or not isinstance(test.ops[0], _OPERATORS):
        return
    for value, best in _sides(test):
        if same(node.body, value) and same(node.orelse, best):
            yield from _make(module, test, False, lambda _: True)
        elif same(node.body, best) and same(node.orelse, value):
            yield from _make(module, test, True, lambda _: True)


def _sides(compare: ast.Compare) -> Iterator[tuple[ast.expr, ast.expr]]:
    """(value, best): the side that is called best is the one to beat."""
    left, right = compare.left, compare.comparators[0]
    for value, best in ((left, right), (right, left)):
        named = set(words(name_of(_core(best))))
        if named & _BEST and not named & _CONTRARY:
            if not set(words(name_of(_core(value)))) & _BEST:
                yield value, best


def _core(node: ast.expr) -> ast.expr:
    """`best` of `best - delta` and of `best * 0.99`."""
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
        left = set(words(name_of(node.left))) & _BEST
        if not left and set(words(name_of(node.right))) & _BEST:
            node = node.right
        else:
            node = node.left
    return node


def _make(
    module: Module, compare: ast.Compare, negated: bool, holds: Callable[[ast.expr], bool]
) -> Iterator[Tracking]:
    for value, best in _sides(compare):
        core = _core(best)
        if not holds(core):
            continue
        upwards = isinstance(compare.ops[0], ast.Gt | ast.GtE)
        upwards ^= (value is not compare.left) ^ negated
        label = name_of(value)
        own = _measured(module, value)
        named = set(words(name_of(core)))
        higher = own[1] if own else None
        quantity_name = own[0] if own else ""
        if own is None and not label:
            continue  # -loss, 1 - error: what is compared is no plain quantity
        if own is None:
            rest = quantity("_".join(w for w in words(name_of(core)) if w not in _BEST))
            if rest and not set(words(label)) & {"score", "metric", "value", "current"}:
                quantity_name, higher = rest
        if ("min" in named and "max" not in named) or "lowest" in named:
            higher = False if own is None or not own[1] else None
        elif "max" in named or "highest" in named:
            higher = True if own is None or own[1] else None
        yield Tracking(
            compare, value, name_of(core), upwards, label or quantity_name, quantity_name, higher,
            _first(module, compare, core), True,
        )  # fmt: skip


def _measured(module: Module, value: ast.expr) -> tuple[str, bool] | None:
    """The quantity of a value, also where a local name stands for it."""
    found = quantity(name_of(value))
    if found or not isinstance(value, ast.Name):
        return found
    sources = set()
    for node in ast.walk(enclosing(module, value)):
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == value.id for target in node.targets
        ):
            sources.add(quantity(name_of(node.value)))
    return sources.pop() if len(sources) == 1 else None


def _goals(
    module: Module, compare: ast.Compare, negated: bool, body: Sequence[ast.stmt]
) -> Iterator[Tracking]:
    """`if accuracy >= target: reached = epoch`."""
    if not any(
        set(words(name_of(target))) & _REACHED
        for node in body
        if isinstance(node, ast.Assign | ast.Return)
        for target in getattr(node, "targets", ())
    ):
        return
    left, right = compare.left, compare.comparators[0]
    for value, goal in ((left, right), (right, left)):
        measured = _measured(module, value)
        if measured and set(words(name_of(goal))) & _GOAL:
            upwards = isinstance(compare.ops[0], ast.Gt | ast.GtE)
            upwards ^= (value is right) ^ negated
            yield Tracking(
                compare, value, name_of(goal), upwards, name_of(value), *measured, None, False
            )


def _assigned(body: Sequence[ast.stmt], best: ast.AST) -> bool:
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    parts = target.elts if isinstance(target, ast.Tuple) else [target]
                    if any(_alike(part, best) for part in parts):
                        return True
    return False


def _alike(target: ast.AST, best: ast.AST) -> bool:
    """The same place; `best = {...}` replaces best["loss"] too."""
    if same(target, best):
        return True
    return isinstance(best, ast.Subscript) and same(target, best.value)


def _saves(body: Sequence[ast.stmt]) -> bool:
    """Whether a model is kept, at once."""
    return any(
        isinstance(node, ast.Call) and called(node) in ("save", "save_checkpoint", "save_model")
        for statement in body
        for node in ast.walk(statement)
    )


def _first(module: Module, compare: ast.Compare, best: ast.expr) -> float | None:
    """What the best is before anything was compared: the literal, where there is just one."""
    found = []
    scope: ast.AST = enclosing(module, compare)
    if isinstance(best, ast.Attribute):
        up = module.parents.get(scope)
        scope = up if isinstance(up, ast.ClassDef) else scope
    for node in ast.walk(scope):
        targets: Sequence[ast.AST] = ()
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        for target in targets:
            value = getattr(node, "value", None)
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = zip(target.elts, value.elts, strict=False)
                found += [number(v) for t, v in pairs if same(t, best)]
            elif same(target, best):
                found.append(number(value))
            elif isinstance(best, ast.Subscript) and isinstance(value, ast.Dict):
                if same(target, best.value):
                    for key, item in zip(value.keys, value.values, strict=True):
                        if key is not None and same(key, best.slice):
                            found.append(number(item))
    known = {value for value in found if value is not None}
    return known.pop() if len(known) == 1 else None
