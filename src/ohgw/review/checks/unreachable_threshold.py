"""Targets outside of what their metric can be: 95 for an accuracy between 0 and 1."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.flow import flow
from ohgw.review.code.flow.uses import uses
from ohgw.review.code.memo import once
from ohgw.review.code.nodes import Node, files
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import (
    BOUNDED,
    above,
    is_test_module,
    name_of,
    number,
    quantity,
    words,
)
from ohgw.review.meaning.scales import POSITIVE, losses_are_positive, scales
from ohgw.review.project import Module, Project, constant

_GOAL = frozenset("threshold thresholds target goal".split())
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    reported: set[tuple[str, int]] = set()
    for path, line, message, evidence in (
        *_configured(project),
        *_declared(project),
        *_written(project),
    ):
        if (path, line) not in reported:
            reported.add((path, line))
            yield check.finding(
                "error",
                project.at(path),
                line,
                message,
                evidence=evidence,
                fix="Give the target in the unit of the metric.",
            )


def _configured(project: Project) -> Iterator[tuple[str, int, str, str]]:
    """Keys of configuration files."""
    for root in files(project):
        for leaf in root.leaves():
            value, key = leaf.value, str(leaf.key)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if not set(words(key)) & _GOAL:
                continue
            name = _without_goal(key) or _compared_leaf(project, leaf)
            if name and (problem := _problem(project, name, float(value))):
                if not _is_rescaled(project, key) and not _leaf_is_rescaled(project, leaf):
                    message = f"{leaf.dotted} is {value}, {problem}."
                    yield leaf.path, leaf.line, message, f"{key}: {value}"


def _without_goal(key: str) -> str:
    """The quantity that a key like target_accuracy names."""
    found = quantity("_".join(word for word in words(key) if word not in _GOAL))
    return found[0] if found else ""


def _compared_leaf(project: Project, leaf: Node) -> str:
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


def _leaf_is_rescaled(project: Project, leaf: Node) -> bool:
    """Whether any arithmetic is done with a value of the configuration."""
    answers = flow(project)
    for expr, item in answers.occurrences.get(leaf.origin, ()):
        module = answers.module_of.get(expr)
        if item.derived or (module and isinstance(module.parents.get(expr), ast.BinOp)):
            return True
    return False


def _declared(project: Project) -> Iterator[tuple[str, int, str, str]]:
    """Numbers under a name in the code: constants, fields, defaults, options, keys, arguments."""
    for module in project.parsed():
        if is_test_module(module):
            continue
        for name, node in _bound(module):
            value = number(node)
            if value is None or not set(words(name)) & _GOAL:
                continue
            measured = _without_goal(name)
            if not measured and name.isupper():  # other names are local: of many meanings
                measured = _compared_name(project, name)
            if measured and (problem := _problem(project, measured, value)):
                if not _is_rescaled(project, name):
                    line = getattr(node, "lineno", 1)
                    yield (
                        module.path,
                        line,
                        f"{name} is {value:g}, {problem}.",
                        module.source(line),
                    )


def _bound(module: Module) -> Iterator[tuple[str, ast.expr]]:
    for node in module.nodes:
        if isinstance(node, ast.Assign):
            yield from ((name_of(target), node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield name_of(node.target), node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                yield str(constant(key)), value
        elif isinstance(node, ast.arguments):
            both = [*node.posonlyargs, *node.args]
            for argument, value in zip(both[len(both) - len(node.defaults) :], node.defaults,
                                       strict=True):  # fmt: skip
                yield argument.arg, value
            for argument, default in zip(node.kwonlyargs, node.kw_defaults, strict=True):
                if default is not None:
                    yield argument.arg, default
        elif isinstance(node, ast.Call):
            option = str(constant(node.args[0])) if node.args else ""
            for k in node.keywords:
                if k.arg == "default" and option.startswith("-"):
                    yield option.lstrip("-").replace("-", "_"), k.value
                elif k.arg:
                    yield k.arg, k.value


@once
def _partners(project: Project) -> dict[str, set[str]]:
    """By the name of a goal: the quantities that the code holds against something so called."""
    found: dict[str, set[str]] = {}
    for compare in _compares(project):
        left, right = name_of(compare.left), name_of(compare.comparators[0])
        for goal, other in ((left, right), (right, left)):
            if set(words(goal)) & _GOAL and (measured := quantity(other)):
                found.setdefault(goal.lower(), set()).add(measured[0])
    return found


def _compared_name(project: Project, name: str) -> str:
    kinds = _partners(project).get(name.lower(), set())
    return next(iter(kinds)) if len(kinds) == 1 else ""


@once
def _rescaled(project: Project) -> frozenset[str]:
    """Names that some arithmetic is done with: `target / 100`, `100 * accuracy >= target`."""
    found = set()
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
                found |= {name_of(node.left).lower(), name_of(node.right).lower()}
            elif isinstance(node, ast.AugAssign):
                found.add(name_of(node.target).lower())
    for compare in _compares(project):
        sides = [compare.left, compare.comparators[0]]
        if any(number(n) in (100.0, 0.01) for side in sides for n in ast.walk(side)):
            found |= {name_of(side).lower() for side in sides}
    return frozenset(found)


def _is_rescaled(project: Project, name: str) -> bool:
    return name.lower() in _rescaled(project)


@once
def _compares(project: Project) -> list[ast.Compare]:
    return [
        node
        for module in project.parsed()
        for node in module.nodes
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], _ORDERS)
    ]


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
            if value is None or measured is None or not isinstance(node.ops[0], _ORDERS):
                continue
            upwards = isinstance(node.ops[0], ast.Gt | ast.GtE) == right
            if upwards != measured[1] or any(
                isinstance(n, ast.Assert) for n in above(module, node)
            ):
                continue  # whether it is still bad, or possible at all: true for any value beyond
            if value <= 0 or value == 1:
                continue
            if problem := _problem(project, measured[0], value):
                shown = module.source(node.lineno)
                message = f"{name_of(other)} must reach {value:g}, {problem}."
                yield module.path, node.lineno, message, shown


def _problem(project: Project, name: str, value: float) -> str:
    if value != value or abs(value) == float("inf"):
        return ""
    if name == "perplexity" and value < 1 and value != -1:
        return "but a perplexity is at least 1"
    if value < 0 and value != -1:  # -1 is how many say that there is no target
        if name in POSITIVE:
            return f"but no {name} is negative"
        if name in ("loss", "NLL") and losses_are_positive(project):
            return f"but no {name} that the code computes is negative"
    if name not in BOUNDED:
        return ""
    if value > 100:
        return f"but no {name} is above 100 %"
    scale = scales(project).get(name) or scales(project).get("accuracy")
    if value > 1 and scale == "fraction":
        return f"but the code computes {name} between 0 and 1: it is never reached"
    if 0 < value <= 1 and scale == "percent" and name in scales(project):
        return f"but the code computes {name} in per cent: it is reached at once"
    return ""


CHECK = Check("unreachable-threshold", "Evaluation Validity", "metrics valid", _run)
