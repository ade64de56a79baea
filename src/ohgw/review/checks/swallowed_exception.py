"""Failures of training, evaluation or loading that nobody gets to know of."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.handlers import LOADING, WORK, is_broad, is_import, stops, verbs, walk
from ohgw.review.findings import Finding, Severity
from ohgw.review.meaning.metrics import called, is_test_module, words
from ohgw.review.project import Module

_HARMLESS = frozenset(
    "plot plots savefig figure wandb log close cleanup unlink remove rmtree kill terminate "
    "finish init flops profile summary login tight show del empty cache synchronize".split()
)
_SAID = frozenset("print exception error warning warn info critical debug log print_exc".split())


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        if is_test_module(module):
            continue
        for handler, severity, what in _of(module):
            yield check.finding(
                severity,
                project.at(module.path),
                handler.lineno,
                f"Whatever fails in {what} is caught here and the run goes on as if it had worked.",
                evidence=module.source(handler.lineno),
                fix="Catch what is expected, by name, and let the rest stop the run.",
            )


def _of(module: Module) -> Iterator[tuple[ast.ExceptHandler, Severity, str]]:
    for node in module.nodes:
        if not isinstance(node, ast.Try):
            continue
        tried = verbs(node.body)
        work = tried & WORK
        if not work and not (tried & LOADING and tried & {"dataset", "datasets", "loader", "data"}):
            continue
        if tried & _HARMLESS and not work:
            continue
        for handler in node.handlers:
            if not is_broad(handler) or is_import(handler) or stops(handler.body):
                continue
            if _keeps_account(handler):
                continue
            silent = not any(
                isinstance(n, ast.Call) and called(n) in _SAID for n in walk(handler.body)
            )
            quiet = silent and all(
                isinstance(n, ast.Pass | ast.Continue) or _gives_nothing(n) for n in handler.body
            )
            what = _named(node) or "it"
            if work and quiet:
                yield handler, "error", what
            elif _only_goes_on(handler):
                yield handler, "warning", what


def _keeps_account(handler: ast.ExceptHandler) -> bool:
    """The failure is stored: appended, counted, put among the results."""
    for node in walk(handler.body):
        if isinstance(node, ast.AugAssign):
            return True
        if isinstance(node, ast.Call) and called(node) in ("append", "add", "put", "set_exception"):
            return True
        if isinstance(node, ast.Assign):
            names = {
                word
                for n in ast.walk(node)
                for name in ("id", "attr", "value")
                for word in words(str(getattr(n, name, "")))
            }
            if names & {
                "error",
                "errors",
                "failed",
                "failure",
                "failures",
                "status",
                "e",
                "exc",
                "ok",
            }:
                return True
        if isinstance(node, ast.Return) and node.value is not None:
            if not isinstance(node.value, ast.Constant | ast.Dict | ast.List):
                return True
            if isinstance(node.value, ast.Constant) and node.value.value not in (None, True, 0):
                return True
            if isinstance(node.value, ast.Dict) and node.value.keys:
                return True
    return False


def _gives_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Return) and (
        node.value is None or (isinstance(node.value, ast.Constant) and node.value.value is None)
    )


def _only_goes_on(handler: ast.ExceptHandler) -> bool:
    """The handler says something at most."""
    return all(
        isinstance(n, ast.Pass | ast.Continue)
        or _gives_nothing(n)
        or (isinstance(n, ast.Expr) and isinstance(n.value, ast.Call) and called(n.value) in _SAID)
        for n in handler.body
    )


def _named(node: ast.Try) -> str:
    """What of the work is tried first."""
    for call in sorted(
        (n for n in walk(node.body) if isinstance(n, ast.Call)), key=lambda n: n.lineno
    ):
        if set(words(called(call))) & (WORK | LOADING):
            return f"{called(call)}()"
    return ""


CHECK = Check("swallowed-exception", "Results Honesty", "metrics valid", _run)
