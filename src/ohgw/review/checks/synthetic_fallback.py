"""Invented data or metrics where the real ones could not be had."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.handlers import LOADING, calls, is_broad, stops, verbs, walk
from ohgw.review.findings import Finding, Severity
from ohgw.review.meaning.metrics import (
    called,
    enclosing,
    is_test_module,
    name_of,
    number,
    quantity,
    words,
)
from ohgw.review.project import Module, Project, constant

_INVENTED = frozenset("synthetic dummy fake mock artificial simulated generated random".split())
_OF_DATA = frozenset(
    "data dataset datasets loader loaders dataloader dataloaders samples sample batch images texts "
    "corpus examples split splits features tokens df frame stream".split()
)
_DRAWS = frozenset(
    "rand randn randint standard_normal rand_like randn_like uniform normal random choices "
    "integers multivariate_normal".split()
)
_MAKERS = frozenset(
    "make_classification make_regression make_blobs make_moons make_circles FakeData "
    "make_swiss_roll make_friedman1 make_gaussian_quantiles RandomDataset".split()
)
_MAKING = frozenset("make build create generate get load sample fallback".split())
_NO_DATA = frozenset("state split seed seeds forest search port name id key split weights".split())
_DATA = frozenset("data dataset datasets loader loaders dataloader dataloaders corpus".split())
_SOURCES = frozenset("torch np numpy jnp jax tf".split())
_HARMLESS = frozenset(
    "dummy_input noise noises z latent latents jitter delay seed eps port idx index".split()
)
_LISTS = frozenset("glob rglob listdir iterdir scandir find".split())
_ASKS = frozenset("exists is_file isfile is_dir isdir available installed".split())


@dataclass(frozen=True)
class Fallback:
    """One place where something is made up instead."""

    module: Module
    line: int
    severity: Severity
    what: str
    when: str
    function: str


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for fallback in fallbacks(project):
        yield check.finding(
            fallback.severity,
            project.at(fallback.module.path),
            fallback.line,
            f"{fallback.when}, {fallback.what} take the place of real ones, and the run goes on.",
            evidence=fallback.module.source(fallback.line),
            fix="Raise the error; offer synthetic data only where the configuration names them.",
        )


def fallbacks(project: Project) -> list[Fallback]:
    """Of every module but tests."""
    found: dict[tuple[str, int], Fallback] = {}
    for module in project.parsed():
        if not is_test_module(module):
            for fallback in _of(module):
                found.setdefault((module.path, fallback.line), fallback)
    return list(found.values())


def _of(module: Module) -> Iterator[Fallback]:
    for node in module.nodes:
        if isinstance(node, ast.Try):
            function = getattr(enclosing(module, node), "name", "")
            loading = _loads(node.body, function)
            for handler in node.handlers:
                if stops(handler.body):
                    continue
                line = _invention(module, handler.body)
                cached = not is_broad(handler) and _writes(handler.body)
                if line and not cached:
                    sure: Severity = "error" if loading else "warning"
                    yield Fallback(module, line, sure, "made-up data", "On an error", function)
                for line, key in _metrics(handler.body, is_broad(handler)):
                    broad = is_broad(handler)
                    yield Fallback(
                        module, line, "error" if broad else "warning",
                        f"a number for {key} and others like it", "On an error", function,
                    )  # fmt: skip
        elif isinstance(node, ast.If):
            yield from _missing(module, node)


def _loads(body: list[ast.stmt], function: str) -> bool:
    """Whether what is tried loads data: by its verbs, by a table of loaders, or as a whole."""
    if verbs(body) & LOADING or set(words(function)) & _DATA:
        return True
    tables = {
        word
        for call in calls(body)
        if isinstance(call.func, ast.Subscript)
        for word in words(name_of(call.func.value))
    }
    return bool(tables & (LOADING | _DATA))


def _left_empty(module: Module, node: ast.If) -> bool:
    """`if data is None`, `if not files`, of what was loaded, or looked for, before."""
    test = node.test
    name = ""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        name = name_of(test.operand)
    elif isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is):
        name = name_of(test.left) if constant(test.comparators[0]) is None else ""
    elif isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq):
        size = test.left  # len(files) == 0
        if isinstance(size, ast.Call) and called(size) == "len" and size.args:
            name = name_of(size.args[0]) if constant(test.comparators[0]) == 0 else ""
    function = enclosing(module, node)
    for inner in ast.walk(function) if name else ():
        if isinstance(inner, ast.Assign) and name_of(inner.targets[0]) == name:
            if verbs([inner.value]) & (LOADING | _LISTS) and isinstance(inner.value, ast.Call):
                return True
        if isinstance(inner, ast.Try) and _loads(inner.body, getattr(function, "name", "")):
            for handler in inner.handlers:
                for statement in walk(handler.body):
                    if isinstance(statement, ast.Assign) and name_of(statement.targets[0]) == name:
                        return constant(statement.value) in (None, False, [])
    return False


def _missing(module: Module, node: ast.If) -> Iterator[Fallback]:
    """`if not path.exists(): data = randn(...)`, and the same in the other branch."""
    asked = {word for n in ast.walk(node.test) if isinstance(n, ast.Call) for word in (called(n),)}
    named = {w for n in ast.walk(node.test) if isinstance(n, ast.Name) for w in words(n.id)}
    flags = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name) and n.id.isupper()}
    empty = _left_empty(module, node)
    if not asked & _ASKS and not (flags and named & {"has", "available", "installed", "have"}):
        if not empty:
            return
    test = node.test
    negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    body = node.body if negated or empty else node.orelse
    if not body or stops(body):
        return
    line = _invention(module, body)
    if line and not _writes(body):
        function = getattr(enclosing(module, node), "name", "")
        yield Fallback(
            module, line, "error", "made-up data", "Where real data are missing", function
        )


def _writes(body: Iterable[ast.AST]) -> bool:
    """Data that are generated into the file that was missing are the experiment's own."""
    return bool(verbs(body) & {"save", "savez", "dump", "write", "savetxt"})


def _invention(module: Module, body: list[ast.stmt]) -> int | None:
    """The first line that makes data up."""
    lines = []
    for node in walk(body):
        if isinstance(node, ast.expr) and _makes_data(node):
            statement: ast.AST = node
            while not isinstance(statement, ast.stmt) and statement in module.parents:
                statement = module.parents[statement]
            target = name_of(statement.targets[0]) if isinstance(statement, ast.Assign) else ""
            if set(words(target)) & _HARMLESS or target in _HARMLESS:
                continue
            lines.append(node.lineno)
    return min(lines, default=None)


def _invents(node: ast.AST) -> bool:
    """A call that makes data: of scikit-learn, of a generator, or by the name of a function."""
    if not isinstance(node, ast.Call):
        return False
    name = called(node)
    parts = set(words(name))
    if name in _MAKERS:
        return True
    if parts & _INVENTED and parts & (_OF_DATA | _MAKING):
        return not parts & _NO_DATA
    if name in ("from_dict", "from_list", "from_records", "from_tensor_slices", "DataFrame"):
        return bool(node.args) and _is_filling(node.args[0])
    if name in _DRAWS:
        several = len(node.args) > 1 or any(k.arg in ("size", "shape") for k in node.keywords)
        array = isinstance(node.args[0], ast.Tuple | ast.Name) if node.args else False
        return _is_generator(node.func) and (several or array)
    return False


def _is_generator(function: ast.expr) -> bool:
    """torch.randn, np.random.rand, rng.normal, default_rng(0).normal."""
    for inner in ast.walk(function):
        if isinstance(inner, ast.Name):
            return inner.id in _SOURCES or bool(set(words(inner.id)) & {"rng", "generator"})
    return False


def _makes_data(node: ast.expr) -> bool:
    return _writes_out(node) or _draws_many(node) or _invents(node)


def _draws_many(node: ast.AST) -> bool:
    """`[random.gauss(0, 1) for _ in range(n)]`."""
    return isinstance(node, ast.ListComp) and any(
        isinstance(inner, ast.Call) and called(inner) in _DRAWS | {"gauss", "randrange"}
        for inner in ast.walk(node)
    )


def _writes_out(node: ast.AST) -> bool:
    """`["good", "bad"] * 500`: examples that are a few literals many times over."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Mult)
        and isinstance(node.left, ast.List)
        and bool(node.left.elts)
        and all(isinstance(constant(item), str) for item in node.left.elts)
    )


def _is_filling(node: ast.expr) -> bool:
    """Whether a table is written out as literals."""
    return isinstance(node, ast.Dict | ast.List) and any(
        isinstance(inner, ast.List) and inner.elts and constant(inner) is not ...
        for inner in ast.walk(node)
    )


def _metrics(body: list[ast.stmt], broad: bool) -> Iterator[tuple[int, str]]:
    """Numbers given to metrics by a handler; nan, 0 and infinity admit that there is none.

    So does 1 of a ratio that cannot be taken, but no accuracy after just any error.
    """
    for node in walk(body):
        pairs: list[tuple[str, ast.expr]] = []
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                pairs.append((str(constant(key)), value))
        elif isinstance(node, ast.Assign):
            pairs.append((name_of(node.targets[0]), node.value))
        for name, value in pairs:
            known = number(value)
            measured = quantity(name)
            if measured and known is not None and known == known:
                if broad and known == 1.0 and measured[0] == "accuracy":
                    yield value.lineno, name
                elif abs(known) not in (0.0, 1.0, float("inf")) and abs(known) < 1e4:
                    yield value.lineno, name


CHECK = Check("synthetic-fallback", "Results Honesty", "metrics valid", _run)
