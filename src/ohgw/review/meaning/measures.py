"""What an expression measures, and with which sign: by its name, or by what it is computed with.

`quantity` reads one name; here are expressions: `-log_loss(p, y)`, `1 - accuracy`, a local name,
the values that a dictionary of scores is filled with, a parameter by what its callers give it.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ohgw.review.code.flow import flow
from ohgw.review.code.flow.values import Ref
from ohgw.review.code.memo import once
from ohgw.review.meaning.metrics import BOUNDED, called, enclosing, name_of, number, quantity, words
from ohgw.review.project import Definition, Module, Project

DEPTH = 5  # of names that stand for names
_CASTS = frozenset("float int round abs item cpu detach numpy tolist mean sum double".split())

_LOSSES = {
    name: ("loss", False)
    for name in ("criterion", "loss_fn", "loss_func", "loss_function", "compute_loss", "get_loss")
}


@dataclass(frozen=True)
class Measured:
    """A quantity; `negated` where what is computed falls as the quantity rises."""

    name: str
    higher: bool  # is better, of the quantity itself
    negated: bool = False

    @property
    def upwards(self) -> bool:
        """Whether a higher value of the expression is better."""
        return self.higher != self.negated


def plain(node: ast.expr) -> tuple[ast.expr, bool]:
    """Without casts and signs, and whether the sign turned: `float(-x.item())` is (x, True)."""
    turned = False
    for _ in range(12):
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            turned ^= isinstance(node.op, ast.USub)
            node = node.operand
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            left, right = number(node.left), number(node.right)
            if left is None and right is None:
                break
            turned ^= (left if left is not None else right or 0.0) < 0
            node = node.right if left is not None else node.left
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            node = node.left
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            if number(node.left) not in (1.0, 100.0, 0.0):
                break
            turned = not turned
            node = node.right
        elif isinstance(node, ast.Call) and called(node) in _CASTS:
            if isinstance(node.func, ast.Attribute) and not node.args:
                node = node.func.value
            elif node.args and isinstance(node.func, ast.Name):
                node = node.args[0]
            else:
                break
        elif isinstance(node, ast.Await | ast.Starred):
            node = node.value
        else:
            break
    return node, turned


def direct(node: ast.expr) -> Measured | None:
    """By names alone."""
    core, turned = plain(node)
    label = called(core) if isinstance(core, ast.Call) else name_of(core)
    found = (
        quantity(label)
        or (_LOSSES.get(label) if isinstance(core, ast.Call) else None)
        or (quantity(name_of(core)) if isinstance(core, ast.Call) else None)
    )
    if found is None:
        return None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and found[0] not in BOUNDED:
        if number(node.left) in (1.0, 100.0) and found[1]:
            return None
    return Measured(*found, turned)


def measured(project: Project, module: Module, node: ast.expr, depth: int = DEPTH) -> set[Measured]:
    """Everything that an expression may measure; empty where nothing is known."""
    own = direct(node)
    if own is not None:
        return {own}
    if depth <= 0:
        return set()
    core, turned = plain(node)
    found: set[Measured] = set()
    for other, where in _sources(project, module, core):
        if isinstance(other, Definition):
            found |= _returned(project, other, depth - 1)
        elif other is not core:
            found |= measured(project, where, other, depth - 1)
    return {Measured(m.name, m.higher, m.negated != turned) for m in found}


def _sources(
    project: Project, module: Module, node: ast.expr
) -> Iterator[tuple[ast.expr | Definition, Module]]:
    """What stands behind an expression: assigned values, arguments of callers, functions."""
    if isinstance(node, ast.IfExp):
        yield node.body, module
        yield node.orelse, module
    elif isinstance(node, ast.Call):
        if called(node) in ("get", "pop", "setdefault") and isinstance(node.func, ast.Attribute):
            yield from _stored(project, module, node.func.value)
        else:
            for item in flow(project).record.values.get(node.func, ()):
                if isinstance(item, Ref):
                    yield item.definition, item.definition.module
    elif isinstance(node, ast.Attribute) and node.attr == "get":
        yield from _stored(project, module, node.value)
    elif isinstance(node, ast.Subscript):
        yield from _stored(project, module, node.value)
    elif isinstance(node, ast.Name):
        scope = enclosing(module, node)
        yield from _assigned(module, scope, node.id)
        yield from _given(project, scope, node.id)


def _assigned(module: Module, scope: ast.AST, name: str) -> Iterator[tuple[ast.expr, Module]]:
    for inner in ast.walk(scope):
        if isinstance(inner, ast.Assign):
            if any(isinstance(t, ast.Name) and t.id == name for t in inner.targets):
                yield inner.value, module
        elif isinstance(inner, ast.AnnAssign | ast.NamedExpr) and inner.value is not None:
            if isinstance(inner.target, ast.Name) and inner.target.id == name:
                yield inner.value, module


def _given(project: Project, scope: ast.AST, name: str) -> Iterator[tuple[ast.expr, Module]]:
    """What callers give a parameter."""
    if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    arguments = [a.arg for a in (*scope.args.posonlyargs, *scope.args.args)]
    keywords = [a.arg for a in scope.args.kwonlyargs]
    if name not in arguments and name not in keywords:
        return
    bound = arguments[:1] in (["self"], ["cls"])
    calls = [call for call, _ in flow(project).callers.get(scope, [])]
    if not calls and bound:
        calls = [c for c in _by_method(project).get(scope.name, []) if _fits(c, scope)]
    for call in calls:
        where = flow(project).module_of.get(call)
        value = next((k.value for k in call.keywords if k.arg == name), None)
        if value is None and name in arguments:
            place = arguments.index(name) - bound
            if 0 <= place < len(call.args) and not any(
                isinstance(a, ast.Starred) for a in call.args
            ):
                value = call.args[place]
        if value is not None and where is not None:
            yield value, where


def _fits(call: ast.Call, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a call by name alone may be of this method."""
    most = len(function.args.posonlyargs) + len(function.args.args) - 1
    least = most - len(function.args.defaults)
    return least <= len(call.args) + len(call.keywords) <= most + len(function.args.kwonlyargs)


@once
def _by_method(project: Project) -> dict[str, list[ast.Call]]:
    found: dict[str, list[ast.Call]] = {}
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                found.setdefault(node.func.attr, []).append(node)
    return found


def _stored(
    project: Project, module: Module, container: ast.expr, depth: int = 3
) -> Iterator[tuple[ast.expr, Module]]:
    """Values that are put into a dictionary or list: by its name, or the attribute it is."""
    while isinstance(container, ast.Subscript):
        container = container.value
    if isinstance(container, ast.Name):
        scope = enclosing(module, container)
        if depth:
            for value, where in _assigned(module, scope, container.id):
                if isinstance(value, ast.Attribute | ast.Subscript):
                    yield from _stored(project, where, value, depth - 1)
        yield from _puts(module, scope, container)
    elif isinstance(container, ast.Attribute) and isinstance(container.value, ast.Name):
        around: ast.AST | None = container
        while around is not None and not isinstance(around, ast.ClassDef):
            around = module.parents.get(around)
        if around is not None and container.value.id == "self":
            yield from _puts(module, around, container)


def _puts(module: Module, scope: ast.AST, holder: ast.expr) -> Iterator[tuple[ast.expr, Module]]:
    """`holder[k] = value`, `holder[a][b] = value`, `holder.append(value)` within a scope."""
    wanted = ast.dump(holder).replace("Store()", "Load()")

    def held(node: ast.expr) -> bool:
        while isinstance(node, ast.Subscript):
            node = node.value
        return ast.dump(node).replace("Store()", "Load()") == wanted

    for inner in ast.walk(scope):
        if isinstance(inner, ast.Assign):
            for target in inner.targets:
                if isinstance(target, ast.Subscript) and held(target):
                    yield inner.value, module
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.args:
            if inner.func.attr in ("append", "add") and held(inner.func.value):
                yield inner.args[-1], module
            elif inner.func.attr == "setdefault" and held(inner.func.value):
                yield inner.args[-1], module


def _returned(project: Project, definition: Definition, depth: int) -> set[Measured]:
    """By the name of a function, or what it returns."""
    label = definition.name.rpartition(".")[2]
    own = quantity(label)
    if own is not None:
        sign = bool({"neg", "negative", "minus"} & set(words(label)))
        return {Measured(*own, sign)}
    if isinstance(definition.node, ast.ClassDef):
        return set()
    found: set[Measured] = set()
    for inner in ast.walk(definition.node):
        if isinstance(inner, ast.Return) and inner.value is not None:
            found |= measured(project, definition.module, inner.value, depth)
    return found


def agreed(found: set[Measured]) -> Measured | None:
    """One of them, where all agree on which side is better."""
    return next(iter(found)) if len({m.upwards for m in found}) == 1 else None
