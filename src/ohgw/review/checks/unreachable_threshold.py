"""Targets outside of what their metric can be: 95 for an accuracy between 0 and 1."""

import ast
from collections.abc import Iterator
from typing import Literal

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.flow import flow
from ohgw.review.flow.uses import uses
from ohgw.review.memo import once
from ohgw.review.metrics import BOUNDED, called, name_of, number, quantity, words
from ohgw.review.nodes import Node, files
from ohgw.review.project import Module, Project

_GOAL = frozenset("threshold thresholds target goal".split())
_FRACTIONS = frozenset(
    "accuracy_score f1_score roc_auc_score balanced_accuracy_score score".split()
)

Scale = Literal["fraction", "percent"]


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for path, line, message, evidence in (*_configured(project), *_written(project)):
        yield check.finding(
            "error",
            project.at(path),
            line,
            message,
            evidence=evidence,
            fix="Give the target in the unit of the metric.",
        )


def _configured(project: Project) -> Iterator[tuple[str, int, str, str]]:
    for root in files(project):
        for leaf in root.leaves():
            value = leaf.value
            key = str(leaf.key)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not set(words(key)) & _GOAL:
                continue
            name = _without_goal(key) or _compared(project, leaf)
            problem = _problem(project, name, float(value)) if name else ""
            if problem:
                yield (
                    leaf.path,
                    leaf.line,
                    f"{leaf.dotted} is {value}, {problem}.",
                    f"{key}: {value}",
                )


def _without_goal(key: str) -> str:
    """The quantity that a key like target_accuracy names."""
    found = quantity("_".join(word for word in words(key) if word not in _GOAL))
    return found[0] if found else ""


def _compared(project: Project, leaf: Node) -> str:
    """The quantity that the code compares a value of the configuration with."""
    found = set()
    for use in uses(flow(project), leaf):
        node = use.module.parents.get(use.expr)
        if use.kind == "test" and isinstance(node, ast.Compare) and not use.loose:
            for side in (node.left, *node.comparators):
                measured = quantity(name_of(side)) if side is not use.expr else None
                if measured:
                    found.add(measured[0])
    return found.pop() if len(found) == 1 else ""


def _written(project: Project) -> Iterator[tuple[str, int, str, str]]:
    """Comparisons with a literal."""
    for module in project.parsed():
        for node in module.nodes:
            if not isinstance(node, ast.Compare) or len(node.ops) != 1:
                continue
            value, other, right = number(node.comparators[0]), node.left, True
            if value is None:
                value, other, right = number(node.left), node.comparators[0], False
            measured = quantity(name_of(other))
            if value is None or measured is None:
                continue
            upwards = isinstance(node.ops[0], ast.Gt | ast.GtE) == right
            if not isinstance(node.ops[0], ast.Gt | ast.GtE | ast.Lt | ast.LtE):
                continue
            if upwards != measured[1]:
                continue  # whether it is still bad: true for any value beyond
            if value in (0.0, 1.0):
                continue
            problem = _problem(project, measured[0], value)
            if problem:
                shown = module.source(node.lineno)
                yield (
                    module.path,
                    node.lineno,
                    f"{name_of(other)} must reach {value:g}, {problem}.",
                    shown,
                )


def _problem(project: Project, name: str, value: float) -> str:
    if name == "perplexity" and value < 1:
        return "but a perplexity is at least 1"
    if name not in BOUNDED or value != value or abs(value) == float("inf"):
        return ""
    if value > 100:
        return f"but no {name} is above 100 %"
    scale = scales(project).get(name) or scales(project).get("accuracy")
    if value > 1 and scale == "fraction":
        return f"but the code computes {name} between 0 and 1: it is never reached"
    if 0 < value <= 1 and scale == "percent" and name in scales(project):
        return f"but the code computes {name} in per cent: it is reached at once"
    return ""


@once
def scales(project: Project) -> dict[str, Scale]:
    """By quantity: whether the code computes it between 0 and 1 or in per cent, if always alike."""
    found: dict[str, set[Scale]] = {}
    for module in project.parsed():
        for name, value in _computed(module):
            scale = _scale(value)
            if scale:
                found.setdefault(name, set()).add(scale)
    return {name: next(iter(kinds)) for name, kinds in found.items() if len(kinds) == 1}


def _computed(module: Module) -> Iterator[tuple[str, ast.expr]]:
    for node in module.nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if measured := quantity(name_of(target)):
                    yield measured[0], node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                label = key.value if isinstance(key, ast.Constant) else None
                if isinstance(label, str) and (measured := quantity(label)):
                    yield measured[0], value
    for definition in module.definitions.values():
        last = definition.name.rpartition(".")[2]
        parts = [w for w in words(last) if w not in ("compute", "calculate", "get", "evaluate")]
        measured = quantity("_".join(parts))
        for node in ast.walk(definition.node):
            if isinstance(node, ast.Return) and node.value is not None:
                if measured and not isinstance(definition.node, ast.ClassDef):
                    yield measured[0], node.value
                elif isinstance(node.value, ast.Tuple):
                    pass  # named where they are unpacked


def _scale(value: ast.expr) -> Scale | None:
    divides = hundred = False
    for node in ast.walk(value):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Mult):
            divides = divides or (isinstance(node.op, ast.Div) and number(node.right) is None)
            hundred = hundred or 100.0 in (number(node.left), number(node.right))
        elif isinstance(node, ast.Call):
            mean = called(node) == "mean" and any(
                isinstance(n, ast.Compare) for n in ast.walk(node)
            )
            divides = divides or called(node) in _FRACTIONS or mean
            hundred = hundred or (
                called(node) == "mul" and bool(node.args and number(node.args[0]) == 100.0)
            )
    if hundred:
        return "percent"
    return "fraction" if divides else None


CHECK = Check("unreachable-threshold", "Evaluation Validity", "metrics valid", _run)
