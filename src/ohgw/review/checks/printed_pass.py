"""Verdicts that the code prints about itself without having checked anything."""

import ast
import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.handlers import is_broad, stops, walk
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import above, called, enclosing, is_test_module, name_of, words
from ohgw.review.project import Module, constant

_VERDICT = re.compile(
    r"\bPASS(?:ED)?\b|\bSUCCESS\b(?!\s*RATE)|\b[Aa]ll (?:\w+ ){0,2}(?:tests?|checks?|assertions?)"
    r" (?:have )?pass(?:ed)?\b|\b(?:[Ss]moke[ -]test|[Vv]alidation|[Vv]erification|[Tt]ests?)"
    r" (?:has |have )?passed\b"
)
_SHORT = 300  # longer texts are prose
_STATES = frozenset("status verdict result outcome state".split())
_WELL = frozenset("pass passed success succeeded ok completed complete".split())
_PRINTS = frozenset("print info log write echo debug warning success secho".split())
_CHECKS = frozenset(
    "check checks verify validate validation assert test tests ensure require isfinite allclose "
    "isclose raise unittest pytest".split()
)


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        if is_test_module(module):
            continue
        for line, message in (*_of(module), *_recovered(module)):
            yield check.finding(
                "error",
                project.at(module.path),
                line,
                message,
                evidence=module.source(line),
                fix="Print a verdict only where a condition on the results decided it.",
            )


def _of(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        if not isinstance(node, ast.Call) or called(node) not in _PRINTS:
            continue
        for argument in node.args[:2]:
            text = _text(argument)
            if text and len(text) < _SHORT and _VERDICT.search(text) and not _decided(module, node):
                shown = " ".join(text.split())[:60]
                yield (
                    node.lineno,
                    f"The code prints the verdict {shown!r} without having checked anything.",
                )
                break


def _recovered(module: Module) -> Iterator[tuple[int, str]]:
    """A verdict that any failure gets: `except Exception: result = {"status": "PASS"}`."""
    for handler in module.nodes:
        if not isinstance(handler, ast.ExceptHandler) or not is_broad(handler):
            continue
        for node in walk(handler.body):
            if _claims(node) and not stops(handler.body):
                shown = " ".join(ast.unparse(node).split())[:60]
                yield (
                    getattr(node, "lineno", handler.lineno),
                    f"Whatever fails is caught here and given the verdict {shown!r}.",
                )
                break


def _claims(node: ast.AST) -> bool:
    """A status, verdict or the like that says that all is well."""
    pairs: list[tuple[str, object]] = []
    if isinstance(node, ast.Dict):
        named = zip(node.keys, node.values, strict=True)
        pairs = [(str(constant(key)), constant(value)) for key, value in named]
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        pairs = [(name_of(node.targets[0]), constant(node.value))]
    elif isinstance(node, ast.keyword):
        pairs = [(node.arg or "", constant(node.value))]
    return any(
        (set(words(name)) & _STATES and str(value).lower() in _WELL)
        or (set(words(name)) & {"passed", "success"} and value is True)
        for name, value in pairs
    )


def _text(node: ast.expr) -> str:
    """What is printed whatever happens: constants, fixed parts of f-strings, a dict's values."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
        return " ".join(part for part in parts if isinstance(part, str))
    if isinstance(node, ast.Call) and called(node) == "dumps" and node.args:
        node = node.args[0]
    if isinstance(node, ast.Dict):
        named = [(constant(k), constant(v)) for k, v in zip(node.keys, node.values, strict=True)]
        for key, value in named:
            if key in ("status", "verdict", "result", "outcome") and value in ("PASS", "PASSED"):
                return f"{key}: {value}"
    return ""


def _decided(module: Module, node: ast.Call) -> bool:
    """Whether a condition, or a check before it in the same function, led here."""
    scope = enclosing(module, node)
    around = above(module, node)
    for k, up in enumerate(around):
        child = around[k - 1] if k else node
        if isinstance(up, ast.If | ast.While | ast.IfExp | ast.match_case):
            test = getattr(up, "test", None)
            if not isinstance(test, ast.Constant) and not _is_main(test):
                return True
        if isinstance(up, ast.Try) and child in up.orelse:
            return True
    if any(isinstance(up, ast.ExceptHandler) for up in around):
        return False
    if set(words(getattr(scope, "name", ""))) & {"assert", "check", "test", "verify", "validate"}:
        return True
    for inner in ast.walk(scope):
        line = getattr(inner, "lineno", node.lineno)
        if line >= node.lineno or enclosing(module, inner) is not scope:
            continue
        if isinstance(inner, ast.Assert) or (isinstance(inner, ast.If) and stops(inner.body)):
            return True
        if isinstance(inner, ast.If) and any(isinstance(n, ast.Return) for n in inner.body):
            return True
        if isinstance(inner, ast.Call) and set(words(called(inner))) & _CHECKS:
            return True
    return False


def _is_main(test: ast.AST | None) -> bool:
    return isinstance(test, ast.Compare) and getattr(test.left, "id", "") == "__name__"


CHECK = Check("printed-pass", "Results Honesty", "metrics valid", _run)
