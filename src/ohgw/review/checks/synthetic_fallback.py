"""Invented data or metrics where the real ones could not be had."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding, Severity
from ohgw.review.handlers import LOADING, is_broad, stops, verbs, walk
from ohgw.review.metrics import called, enclosing, is_test_module, name_of, number, quantity, words
from ohgw.review.project import Module, Project, constant, dotted

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
_HARMLESS = frozenset(
    "dummy_input noise noises z latent latents jitter delay seed eps port idx index".split()
)
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
            loading = bool(verbs(node.body) & LOADING)
            for handler in node.handlers:
                if stops(handler.body):
                    continue
                line = _invention(module, handler.body)
                if line:
                    sure: Severity = "error" if loading else "warning"
                    yield Fallback(module, line, sure, "made-up data", "On an error", function)
                for line, key in _metrics(handler.body):
                    broad = is_broad(handler)
                    yield Fallback(
                        module, line, "error" if broad else "warning",
                        f"a number for {key} and others like it", "On an error", function,
                    )  # fmt: skip
        elif isinstance(node, ast.If):
            yield from _missing(module, node)


def _missing(module: Module, node: ast.If) -> Iterator[Fallback]:
    """`if not path.exists(): data = randn(...)`, and the same in the other branch."""
    asked = {word for n in ast.walk(node.test) if isinstance(n, ast.Call) for word in (called(n),)}
    named = {w for n in ast.walk(node.test) if isinstance(n, ast.Name) for w in words(n.id)}
    flags = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name) and n.id.isupper()}
    if not asked & _ASKS and not (flags and named & {"has", "available", "installed", "have"}):
        return
    test = node.test
    negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    body = node.body if negated else node.orelse
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
        if isinstance(node, ast.Call) and _invents(module, node):
            statement: ast.AST = node
            while not isinstance(statement, ast.stmt) and statement in module.parents:
                statement = module.parents[statement]
            target = name_of(statement.targets[0]) if isinstance(statement, ast.Assign) else ""
            if set(words(target)) & _HARMLESS or target in _HARMLESS:
                continue
            lines.append(node.lineno)
    return min(lines, default=None)


def _invents(module: Module, node: ast.Call) -> bool:
    name = called(node)
    parts = set(words(name))
    if name in _MAKERS or (parts & _INVENTED and parts & _OF_DATA):
        return "state" not in parts and "split" not in parts
    if name in _DRAWS:
        owner = dotted(node.func).rpartition(".")[0]
        several = len(node.args) > 1 or any(k.arg in ("size", "shape") for k in node.keywords)
        array = isinstance(node.args[0], ast.Tuple | ast.Name) if node.args else False
        drawn = owner.split(".")[0] in ("torch", "np", "numpy", "jnp", "jax", "rng", "tf")
        return drawn and (several or array)
    return False


def _metrics(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    """Numbers given to metrics by a handler; nan, 0 and infinity admit that there is none."""
    for node in walk(body):
        pairs: list[tuple[str, ast.expr]] = []
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                pairs.append((str(constant(key)), value))
        elif isinstance(node, ast.Assign):
            pairs.append((name_of(node.targets[0]), node.value))
        for name, value in pairs:
            known = number(value)
            if quantity(name) and known is not None and known == known:
                if abs(known) not in (0.0, 1.0, float("inf")) and abs(known) < 1e4:
                    yield value.lineno, name


CHECK = Check("synthetic-fallback", "Results Honesty", "metrics valid", _run)
