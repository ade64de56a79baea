"""Steps along a gradient, and where the gradient comes from: descent that goes uphill."""

import ast
from collections.abc import Iterator

from ohgw.review.code.flow import flow
from ohgw.review.code.flow.values import Ref
from ohgw.review.meaning.measures import direct, measured, plain
from ohgw.review.meaning.metrics import called, enclosing, keyword, name_of, words
from ohgw.review.meaning.objectives import contrary
from ohgw.review.project import Definition, Module, Project

_GRADIENTS = frozenset(
    "grad grads gradient gradients hypergrad hypergradient hypergradients g".split()
)
_STEPS = frozenset("lr eta rate alpha step size eps etah beta hyperlr".split())
_MOVED = frozenset(
    "p param params parameter parameters w weight weights theta psi vector point configuration "
    "config hyper hyperparameter hyperparameters hparams hp lam logit logits b bias value".split()
)
_NOT_MOVED = frozenset(
    "velocity momentum buf buffer m v avg accum total sum state update delta adv x image images "
    "moment prev previous neg".split()
)
_TAKEN = frozenset("grad value_and_grad jacobian jacrev jacfwd vjp".split())
DEPTH = 4


def contradictions(project: Project, module: Module) -> Iterator[tuple[int, str]]:
    """(line, what is wrong) of every step of descent with the sign of ascent."""
    for node in module.nodes:
        gradient = _uphill(node)
        if gradient is None or contrary(module, node):
            continue
        signs = _sign(project, module, gradient, DEPTH)
        if signs == {1}:
            yield (
                getattr(node, "lineno", 1),
                f"A step along +{name_of(plain(gradient)[0]) or 'the gradient'} of a loss goes up: "
                "descent subtracts it.",
            )


def _uphill(node: ast.AST) -> ast.expr | None:
    """The gradient of `w + lr * g`, `w += lr * g`, `w.add_(g, alpha=lr)`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _product(node.right) if _is_moved(node.left) else None
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        return _product(node.value) if _is_moved(node.target) else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in ("add_", "add") and node.args and _is_moved(node.func.value):
            alpha = keyword(node, "alpha")
            if alpha is None:
                return _product(node.args[0])
            if _is_step(alpha) and _is_gradient(node.args[0]):
                return node.args[0]
    return None


def _product(node: ast.expr) -> ast.expr | None:
    """The gradient of `lr * g`; nothing where a sign is turned."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult):
        return None
    for step, gradient in ((node.left, node.right), (node.right, node.left)):
        if _is_step(step) and _is_gradient(gradient):
            return gradient
    return None


def _is_step(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp | ast.Constant):
        return False
    return bool(_STEPS & set(words(name_of(node)))) and not _GRADIENTS & set(words(name_of(node)))


def _is_gradient(node: ast.expr) -> bool:
    if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant):
        node = node.value
    return bool(_GRADIENTS & set(words(name_of(node))))


def _is_moved(node: ast.expr) -> bool:
    """Parameters or a configuration, not what accumulates steps."""
    said = {
        word
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name | ast.Attribute)
        for word in words(name_of(inner))
    }
    if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Mult):
        return False
    return bool(said & _MOVED) and not said & _NOT_MOVED


def _sign(project: Project, module: Module, node: ast.expr, depth: int) -> set[int]:
    """1 for the gradient of something of which lower is better, -1 for the opposite; else 0.

    Where several values are possible, those that are known.
    """
    core, turned = plain(node)
    side = -1 if turned else 1
    found: set[int] = set()
    if isinstance(core, ast.Attribute) and core.attr in ("grad", "data"):
        if core.attr == "data" and isinstance(core.value, ast.Attribute):
            core = core.value
        found = _backwards(project, module, core) if core.attr == "grad" else set()
    elif isinstance(core, ast.Call):
        found = _taken(project, module, core, depth)
    elif isinstance(core, ast.Subscript):
        found = _sign(project, module, core.value, depth - 1) if depth else set()
    elif isinstance(core, ast.Name) and depth:
        for value, where in _values(module, core):
            found |= _sign(project, where, value, depth - 1)
    return {side * sign for sign in found}


def _backwards(project: Project, module: Module, node: ast.AST) -> set[int]:
    """Of `.grad`: what went backward in the same function."""
    found: set[int] = set()
    for inner in ast.walk(enclosing(module, node)):
        if isinstance(inner, ast.Call) and called(inner) == "backward":
            if isinstance(inner.func, ast.Attribute):
                found |= _loss(project, module, inner.func.value)
    return found


def _loss(project: Project, module: Module, node: ast.expr) -> set[int]:
    own = direct(node)
    known = {own} if own else measured(project, module, node)
    return {-1 if m.upwards else 1 for m in known}


def _taken(project: Project, module: Module, node: ast.Call, depth: int) -> set[int]:
    """Of `autograd.grad(loss, x)`, `jax.grad(loss_fn)(x)`, and of functions that return those."""
    name = called(node)
    if name in _TAKEN and node.args:
        return _loss(project, module, node.args[0]) or _function_loss(node.args[0])
    if isinstance(node.func, ast.Call):
        return _taken(project, module, node.func, depth)
    said = set(words(name))
    if said & {"loss", "nll"} and said & _GRADIENTS | ({"grad"} & said):
        return {1} if not said & {"neg", "negative", "minus"} else set()
    if depth:
        found: set[int] = set()
        for item in flow(project).record.values.get(node.func, ()):
            if isinstance(item, Ref) and not item.definition.is_class:
                found |= _returned(project, item.definition, depth - 1)
        return found
    return set()


def _function_loss(node: ast.expr) -> set[int]:
    said = set(words(name_of(node)))
    if said & {"loss", "nll", "criterion"} and not said & {"neg", "negative", "minus"}:
        return {1}
    return set()


def _returned(project: Project, definition: Definition, depth: int) -> set[int]:
    found: set[int] = set()
    for inner in ast.walk(definition.node):
        if isinstance(inner, ast.Return) and inner.value is not None:
            value = inner.value
            for _ in range(4):  # result.numpy().astype(float)
                if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
                    if value.func.attr in _CASTS:
                        value = value.func.value
            found |= _sign(project, definition.module, value, depth)
    return found


_CASTS = frozenset("numpy astype detach cpu tolist clone double float item copy reshape".split())


def _values(module: Module, node: ast.Name) -> Iterator[tuple[ast.expr, Module]]:
    """What is assigned to a name in its function, also by unpacking and by loops."""
    scope: ast.AST = enclosing(module, node)
    if isinstance(scope, ast.Lambda):
        mapped = _mapped(module, scope, node.id)
        if mapped is not None:
            yield mapped, module
            return
        scope = enclosing(module, scope)
    for inner in ast.walk(scope):
        if isinstance(inner, ast.Assign):
            for target in inner.targets:
                if isinstance(target, ast.Name) and target.id == node.id:
                    yield inner.value, module
                elif isinstance(target, ast.Tuple | ast.List) and any(
                    isinstance(t, ast.Name) and t.id == node.id for t in target.elts
                ):
                    if isinstance(inner.value, ast.Call):
                        yield inner.value, module
        elif isinstance(inner, ast.For | ast.comprehension):
            yield from ((value, module) for value in _looped(inner, node.id))


def _mapped(module: Module, function: ast.Lambda, name: str) -> ast.expr | None:
    """`grads` of `tree.map(lambda p, g: ..., params, grads)`."""
    call = module.parents.get(function)
    names = [a.arg for a in function.args.args]
    if isinstance(call, ast.Call) and name in names and call.args[:1] == [function]:
        place = names.index(name) + 1
        return call.args[place] if place < len(call.args) else None
    return None


def _looped(loop: ast.For | ast.comprehension, name: str) -> Iterator[ast.expr]:
    """`grads` of `for p, g in zip(params, grads)`."""
    target, over = loop.target, loop.iter
    if isinstance(target, ast.Tuple) and isinstance(over, ast.Call):
        if called(over) == "enumerate" and len(target.elts) == 2 and over.args:
            target, over = target.elts[1], over.args[0]
    if isinstance(target, ast.Tuple) and isinstance(over, ast.Call) and called(over) == "zip":
        for part, source in zip(target.elts, over.args, strict=False):
            if isinstance(part, ast.Name) and part.id == name:
                yield source
    elif isinstance(target, ast.Name) and target.id == name:
        yield over
    elif isinstance(target, ast.Tuple) and isinstance(over, ast.Call):
        if called(over) == "items" and isinstance(over.func, ast.Attribute):
            last = target.elts[-1]
            if isinstance(last, ast.Name) and last.id == name:
                yield over.func.value
