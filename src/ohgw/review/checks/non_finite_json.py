"""Results that may be written as Infinity, which is no JSON."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import called, enclosing, is_test_module, keyword, name_of, number
from ohgw.review.project import Module, constant


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        if is_test_module(module):
            continue
        for line, message in dict(_of(module)).items():
            yield check.finding(
                "warning",
                project.at(module.path),
                line,
                message,
                evidence=module.source(line),
                fix="Pass allow_nan=False, and write null where there is no value.",
            )


def _of(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        if not isinstance(node, ast.Call) or called(node) not in ("dump", "dumps") or not node.args:
            continue
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if name_of(owner) != "json" or constant(keyword(node, "allow_nan")) is False:
            continue
        scope = enclosing(module, node)
        if any((isinstance(n, ast.Call) and called(n) in ("isfinite", "isinf")) or
               isinstance(n, ast.Raise) for n in ast.walk(scope)):  # fmt: skip
            continue
        guilty = _endless(scope, node.args[0])
        if guilty:
            yield (
                node.lineno,
                f"{guilty} starts at infinity and may still be there: json writes Infinity, which "
                "is no JSON.",
            )


def _endless(scope: ast.AST, value: ast.expr) -> str:
    """The entry of a mapping that starts as infinity, or a variable in it that does."""
    displays = [value] if isinstance(value, ast.Dict) else []
    starts: dict[str, list[float | None]] = {}
    for node in ast.walk(scope):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if not isinstance(target, ast.Name):
                continue
            starts.setdefault(target.id, []).append(_worst(node.value))
            if isinstance(value, ast.Name) and target.id == value.id:
                displays += [node.value] if isinstance(node.value, ast.Dict) else []
    for display in displays:
        for key, item in zip(display.keys, display.values, strict=True):
            label = str(constant(key)) if key is not None else ""
            first = _worst(item)
            if isinstance(item, ast.Name) and "best" in item.id:
                first = next((v for v in starts.get(item.id, []) if v is not None), None)
            if first is not None and label:
                return label
    return ""


def _worst(node: ast.expr) -> float | None:
    """Infinity where the value may be that."""
    sides = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    for side in sides:
        value = number(side)
        if value is not None and abs(value) == float("inf"):
            return value
    return None


CHECK = Check("non-finite-json", "Evaluation Validity", "metrics valid", _run)
