"""Results that nothing measured: numbers written into the code, or drawn at random."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import (
    above,
    called,
    enclosing,
    is_test_module,
    name_of,
    number,
    quantity,
    words,
)
from ohgw.review.meaning.pvalues import written
from ohgw.review.project import Module, constant

# Holders of numbers that are not claimed to be measured here.
_EXCUSED = frozenset(
    "weight weights threshold thresholds target targets coef coefs coefficient coefficients scale "
    "baseline baselines paper reported published reference references expected chance default "
    "defaults config cfg configs params hparams hyperparameters settings tolerance tol atol rtol "
    "bound bounds limit limits goal goals lambda lambdas grid choices space literature sota human "
    "prior priors range ranges initial init args schema "
    "example examples parser order priority".split()
)
_HOLDERS = frozenset(
    "result results metric metrics score scores summary report stats record records row rows "
    "output outputs log logs history final evaluation eval".split()
)
_LOGS = frozenset("log log_metric add_scalar record report scalar".split())
_SINKS = _LOGS | frozenset("dump dumps append update save write extend".split())
_EVALUATES = frozenset("evaluate evaluation eval validate validation".split())
_MADE = frozenset(
    "random rand randn randint uniform normal normalvariate gauss beta exp sqrt log log1p tanh sin "
    "cos min max round float abs item clip standard_normal triangular choice power pow".split()
)
_COUNTERS = frozenset("epoch epochs step steps i t k n num total seed max".split())
_SOURCES = frozenset("random np numpy torch math rng generator gen".split())


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        if is_test_module(module):
            continue
        reported: set[int] = set()
        for line, message in _of(module):
            if line not in reported:
                reported.add(line)
                yield check.finding(
                    "error",
                    project.at(module.path),
                    line,
                    message,
                    evidence=module.source(line),
                    fix="Compute the value from the model's predictions in this run.",
                )


def _of(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        if isinstance(node, ast.Dict):
            if _is_result(module, node) or _is_row(module, node):
                for key, value in zip(node.keys, node.values, strict=True):
                    yield from _stored(module, constant(key), value)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and not _excused(name_of(target.value)):
                    yield from _stored(module, constant(target.slice), node.value)
                elif isinstance(target, ast.Name):
                    yield from _named(module, target.id, node)
        elif isinstance(node, ast.Call):
            if called(node) in ("dict", "update", *_SINKS) and not _excused(
                name_of(getattr(node.func, "value", None))
            ):
                if called(node) != "dict" or _is_result(module, node):
                    for item in node.keywords:
                        yield from _stored(module, item.arg, item.value)
                if called(node) in _LOGS and len(node.args) > 1:
                    yield from _stored(module, constant(node.args[0]), node.args[1])
        elif isinstance(node, ast.Return) and node.value is not None:
            function = enclosing(module, node)
            name = getattr(function, "name", "")
            if quantity(name.removeprefix("compute_").removeprefix("get_")) and not _excused(name):
                known = number(node.value)
                alone = not _is_guarded(module, node)
                if alone and (made_up(node.value) or (known is not None and _telling(known))):
                    yield (
                        node.lineno,
                        f"{name} returns {_shown(node.value)}, which nothing measured.",
                    )
            elif set(words(name)) & _EVALUATES and not _excused(name):
                yield from _evaluated(module, name, node)
    yield from written(module)


def _evaluated(module: Module, name: str, node: ast.Return) -> Iterator[tuple[int, str]]:
    """`def evaluate(model, loader): return 0.31, 0.93`."""
    assert node.value is not None
    values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    numbers = [number(value) for value in values]
    if any(isinstance(up, ast.If | ast.ExceptHandler) for up in above(module, node)):
        return
    if all(n is not None and _telling(n) for n in numbers):
        shown = ", ".join(f"{n:g}" for n in numbers)
        yield node.lineno, f"{name} returns {shown}, which nothing measured."


def _stored(module: Module, key: object, value: ast.expr) -> Iterator[tuple[int, str]]:
    if not isinstance(key, str) or quantity(key) is None or _excused(key):
        return
    if isinstance(value, ast.List | ast.Tuple) and len(value.elts) > 1:
        numbers = [number(item) for item in value.elts]
        if all(n is not None and _telling(n) for n in numbers):
            yield value.lineno, f"{key} is a list of numbers written into the code."
        return
    known = number(value)
    if known is not None and _telling(known):
        yield value.lineno, f"{key} is {known:g}, a number written into the code."
    elif made_up(value):
        yield value.lineno, f"{key} is {_shown(value)}: it depends on no data and no model."


def _named(module: Module, name: str, node: ast.Assign) -> Iterator[tuple[int, str]]:
    """`accuracy = 0.93` that is never anything else and becomes a result."""
    measured = quantity(name)
    scope = enclosing(module, node)
    if measured is None or (isinstance(scope, ast.Module | ast.Lambda) and name.isupper()):
        return
    known = number(node.value)
    if made_up(node.value) and measured[0] != "error":
        yield node.lineno, f"{name} is {_shown(node.value)}: it depends on no data and no model."
        return
    if known is None or not _telling(known):
        return
    bound = used = 0
    for inner in ast.walk(scope):
        if isinstance(inner, ast.Name) and inner.id == name:
            if not isinstance(inner.ctx, ast.Load):
                bound += 1
            elif not any(
                isinstance(up, ast.Compare | ast.Assert) for up in above(module, inner)[:2]
            ):
                used += 1
    if bound == 1 and used:
        yield node.lineno, f"{name} is {known:g}, a number written into the code."


def _telling(value: float) -> bool:
    """Not a first value, a flag or a count from nothing."""
    return value == value and abs(value) not in (0.0, 1.0, float("inf")) and abs(value) < 1e4


def made_up(value: ast.AST) -> bool:
    """An expression of literals, counters and random draws, with one literal that tells."""
    names, calls, telling = set(), set(), False
    for node in ast.walk(value):
        if isinstance(node, ast.Call):
            name = called(node)
            if name not in _MADE:
                return False
            calls.add(name)
        elif isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Constant):
            known = number(node)
            if known is None:
                return False
            telling = telling or (_telling(known) and known != int(known))
        elif not isinstance(
            node, ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop | ast.Attribute
            | ast.expr_context | ast.keyword
        ):  # fmt: skip
            return False
    functions = {
        n.func.id
        for n in ast.walk(value)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    data = {n for n in names - functions - _SOURCES if not set(words(n)) <= _COUNTERS}
    drawn = calls & {
        "random", "rand", "randn", "randint", "uniform", "normal", "normalvariate", "gauss", "beta",
        "triangular", "standard_normal",
    }  # fmt: skip
    curve = bool(names - functions - _SOURCES) and telling
    scalar = not any(isinstance(n, ast.keyword) and n.arg in ("size", "device", "requires_grad")
                     for n in ast.walk(value))  # fmt: skip
    return not data and scalar and bool(drawn or curve)


def _is_result(module: Module, node: ast.AST) -> bool:
    """A mapping that is returned, written out, or called results."""
    child: ast.AST = node
    for up in above(module, node):
        if isinstance(up, ast.Return):
            return not _excused(getattr(enclosing(module, node), "name", "")) and not _is_guarded(
                module, up
            )
        if isinstance(up, ast.Assign | ast.AnnAssign):
            target = up.targets[0] if isinstance(up, ast.Assign) else up.target
            name = name_of(target)
            if isinstance(target, ast.Subscript):
                name += "_" + name_of(target.value)
            return bool(set(words(name)) & _HOLDERS) and not _excused(name)
        if isinstance(up, ast.Dict):
            for key, value in zip(up.keys, up.values, strict=True):
                if value is child and isinstance(constant(key), str) and _excused(constant(key)):
                    return False
        if isinstance(up, ast.keyword) and _excused(up.arg or ""):
            return False
        if isinstance(up, ast.Call):
            if called(up) in _SINKS:
                return not _excused(name_of(getattr(up.func, "value", None)))
            if called(up) not in ("dict", "list", "DataFrame"):
                return False
        if isinstance(up, ast.stmt):
            return False
        child = up
    return False


def _is_row(module: Module, node: ast.Dict) -> bool:
    """A mapping with something measured: `{"val_loss": val_loss, "accuracy": 0.9}`."""
    measured = False
    for key, value in zip(node.keys, node.values, strict=True):
        label = constant(key)
        if isinstance(label, str) and quantity(label) and not _excused(label):
            of_code = isinstance(value, ast.Call) and number(value) is None and not made_up(value)
            measured = measured or of_code or quantity(name_of(value)) is not None
    if not measured:
        return False
    for up in above(module, node):
        if isinstance(up, ast.Assign | ast.AnnAssign):
            return not _excused(name_of(up.targets[0] if isinstance(up, ast.Assign) else up.target))
        if isinstance(up, ast.keyword) and _excused(up.arg or ""):
            return False
        if isinstance(up, ast.Return):
            return not _excused(getattr(enclosing(module, node), "name", ""))
    return True


def _is_guarded(module: Module, node: ast.AST) -> bool:
    """Under `if not batches: return ...`: what is said of nothing."""
    return any(
        isinstance(up, ast.If) and not any(isinstance(n, ast.Compare) and number(n.left) is not None
                                           for n in ast.walk(up.test))
        and isinstance(up.test, ast.UnaryOp | ast.Compare)
        and _is_trivial_test(up.test)
        for up in above(module, node)
    )  # fmt: skip


def _is_trivial_test(test: ast.expr) -> bool:
    """`not x`, `len(x) == 0`, `x is None`."""
    if isinstance(test, ast.UnaryOp):
        return isinstance(test.op, ast.Not)
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        other = test.comparators[0]
        none = isinstance(other, ast.Constant) and other.value is None
        return none or number(other) in (0.0, 1.0, 2.0)
    return False


def _excused(name: str) -> bool:
    return bool(set(words(name)) & _EXCUSED)


def _shown(value: ast.expr) -> str:
    known = number(value)
    return f"{known:g}" if known is not None else "made up of constants, counters and random draws"


CHECK = Check("literal-result", "Results Honesty", "metrics valid", _run)
