"""Better and worse the wrong way round: comparisons, first values, extremes and modes."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.nodes import files
from ohgw.review.findings import Finding
from ohgw.review.meaning import descent, objectives, rankings, targets
from ohgw.review.meaning.measures import direct
from ohgw.review.meaning.metrics import (
    BOUNDED,
    called,
    enclosing,
    is_test_module,
    keyword,
    name_of,
    number,
    quantity,
    words,
)
from ohgw.review.meaning.tracking import Tracking, trackings
from ohgw.review.project import Module, Project, constant

_PICKED = frozenset(
    "best top incumbent winner chosen selected elite survivors promoted keep kept select choose "
    "pick promote optimal early stop".split()
)
_CONTRARY = frozenset("worst hard hardest difficult bad lowest highest reject drop fail".split())
_LOW = frozenset("min argmin nanmin nanargmin idxmin nsmallest amin".split())
_HIGH = frozenset("max argmax nanmax nanargmax idxmax nlargest amax".split())
_MODES = {"min": False, "minimize": False, "max": True, "maximize": True}
_OUTPUTS = frozenset("logits logit probs prob probabilities outputs output scores softmax".split())

FIX = "Turn the comparison round, or name what is measured for what it is."


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        seen: set[int] = set()
        for line, message in _of(project, module):
            if line not in seen:
                seen.add(line)
                yield check.finding(
                    "error",
                    project.at(module.path),
                    line,
                    message,
                    evidence=module.source(line),
                    fix=FIX,
                )
    for root in files(project):
        for node in root.walk():
            mode = node.child("mode") or node.child("direction") or node.child("goal")
            named = node.child("monitor") or node.child("metric") or node.child("name")
            if mode is None or named is None or not isinstance(named.value, str):
                continue
            measured, wanted = quantity(named.value), _MODES.get(str(mode.value))
            if measured and wanted is not None and wanted != measured[1]:
                yield check.finding(
                    "error",
                    project.at(mode.path),
                    mode.line,
                    f"{mode.dotted} asks for the {_extreme(wanted)} of {named.value}, of which "
                    f"{_better(measured[1])} is better.",
                    evidence=f"{named.key}: {named.value}, {mode.key}: {mode.value}",
                    fix=FIX,
                )


def _of(project: Project, module: Module) -> Iterator[tuple[int, str]]:
    for tracking in trackings(module):
        yield from _tracked(tracking)
    for node in module.nodes:
        if isinstance(node, ast.Call):
            yield from _extremes(module, node)
            yield from _modes(module, node)
    yield from _plateaus(module)
    yield from _studies(module)
    if not is_test_module(module):
        yield from targets.contradictions(module)
        yield from rankings.contradictions(project, module)
        yield from objectives.contradictions(project, module)
        yield from descent.contradictions(project, module)


def _tracked(tracking: Tracking) -> Iterator[tuple[int, str]]:
    """`if val_loss > best: best = val_loss`, and bests that nothing ever beats."""
    line, upwards = tracking.line, tracking.upwards
    if tracking.higher is not None and tracking.higher != upwards:
        measured = tracking.measured or "the value"
        yield (
            line,
            f"A {'higher' if upwards else 'lower'} {measured} counts as {tracking.purpose}, but "
            f"{_better(tracking.higher)} is better.",
        )
        return
    first = tracking.first
    if first is None or not tracking.keeps:
        return
    never = first != first or first == (float("inf") if upwards else float("-inf"))
    if tracking.higher is False and first <= 0:
        never = True  # what is never below zero
    if tracking.higher and tracking.name in BOUNDED and first > 100:
        never = True
    if never:
        yield (
            line,
            f"{tracking.best} starts at {first:g}, which no {tracking.measured or 'value'} is "
            f"{'above' if upwards else 'below'}: the best is never updated.",
        )


def _extremes(module: Module, node: ast.Call) -> Iterator[tuple[int, str]]:
    name = called(node)
    low, high = name in _LOW, name in _HIGH
    if name == "sorted" or name == "sort":
        reverse = constant(keyword(node, "reverse"))
        parent = module.parents.get(node)
        if isinstance(parent, ast.Subscript) and isinstance(reverse, bool | type(...)):
            where = parent.slice
            head = isinstance(where, ast.Slice) and where.lower is None and where.upper is not None
            head = head and number(getattr(where, "upper", None)) not in (-1.0,)
            first = constant(where) == 0
            if (head or first) and keyword(node, "key") is not None:
                high, low = reverse is True, reverse is not True
    if not low and not high:
        return
    subject = _subject(node)
    if subject is None:
        return
    label, by_key = subject
    around = _around(module, node)
    if _CONTRARY & around:
        return
    if name in ("argmin", "amin") and set(words(label)) & _OUTPUTS:
        if {"pred", "preds", "prediction", "predictions", "predicted"} & around:
            yield node.lineno, f"The class with the lowest of {label} is taken as the prediction."
        return
    measured = quantity(label) or quantity(_without(label))
    if measured is None or measured[1] == high:
        return
    chosen = bool(_PICKED & around) or (
        by_key and {"val", "valid", "validation"} & set(words(label))
    )
    if chosen:
        yield (
            node.lineno,
            f"The {_extreme(high)} of {label} is chosen, but {_better(measured[1])} is better.",
        )


def _without(label: str) -> str:
    return "_".join(w for w in words(label) if w not in ("best", "min", "max"))


def _subject(node: ast.Call) -> tuple[str, bool] | None:
    """What an extreme is taken of, and whether by a key."""
    key = keyword(node, "key")
    if isinstance(key, ast.Lambda):
        body = key.body
        while isinstance(body, ast.Tuple) and body.elts:
            body = body.elts[0]
        if isinstance(body, ast.Call) and called(body) == "get" and body.args:
            value = constant(body.args[0])
            return (value, True) if isinstance(value, str) else None
        return (name_of(body), True) if name_of(body) else None
    if isinstance(key, ast.Call) and called(key) in ("itemgetter", "attrgetter") and key.args:
        value = constant(key.args[0])
        return (value, True) if isinstance(value, str) else None
    if key is not None:
        return None
    if called(node) in ("nlargest", "nsmallest") and len(node.args) == 2:
        value = constant(node.args[1])
        return (value, True) if isinstance(value, str) else None
    if isinstance(node.func, ast.Attribute) and not node.args:
        label = name_of(node.func.value)
        return (label, False) if label else None
    names = [name_of(argument) for argument in node.args]
    if isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name):
        names.append(name_of(node.func.value))
    elif (
        isinstance(node.func, ast.Attribute)
        and node.args
        and isinstance(node.args[0], ast.Constant | ast.UnaryOp)
    ):  # x.argmax(0)
        names.append(name_of(node.func.value))
    if (
        called(node) in ("min", "max")
        and len(names) > 1
        and not any("best" in words(name) for name in names)
    ):
        return None  # clamped, not chosen
    for name in names:
        if quantity(name) or set(words(name)) & _OUTPUTS:
            return name, False
    return None


def _around(module: Module, node: ast.AST) -> set[str]:
    """Words of the names that the value goes to: targets, keys, the function that returns it."""
    found: set[str] = set()
    child: ast.AST = node
    parent = module.parents.get(node)
    while parent is not None:
        if isinstance(parent, ast.Assign):
            for target in parent.targets:
                found |= set(words(name_of(target)))
            break
        if isinstance(parent, ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
            found |= set(words(name_of(parent.target)))
            break
        if isinstance(parent, ast.Dict):
            for key, value in zip(parent.keys, parent.values, strict=True):
                if value is child and isinstance(key, ast.Constant):
                    found |= set(words(str(key.value)))
        if isinstance(parent, ast.keyword) and parent.arg:
            found |= set(words(parent.arg))
        if isinstance(parent, ast.Return):
            function = enclosing(module, parent)
            found |= set(words(getattr(function, "name", "")))
            break
        if isinstance(parent, ast.stmt):
            break
        child, parent = parent, module.parents.get(parent)
    return found


def _modes(module: Module, node: ast.Call) -> Iterator[tuple[int, str]]:
    """monitor="val_loss", mode="max", and the same of other libraries."""
    monitor = constant(keyword(node, "monitor"))
    mode = constant(keyword(node, "mode"))
    line = node.lineno
    if isinstance(monitor, str) and (measured := quantity(monitor)):
        wanted = _MODES.get(mode) if isinstance(mode, str) else None
        if wanted is not None and wanted != measured[1]:
            line = getattr(keyword(node, "mode"), "lineno", line)
            yield (
                line,
                f"{called(node)} keeps the {_extreme(wanted)} of {monitor}, of which "
                f"{_better(measured[1])} is better.",
            )
    best = constant(keyword(node, "metric_for_best_model"))
    greater = constant(keyword(node, "greater_is_better"))
    if isinstance(best, str) and isinstance(greater, bool) and (measured := quantity(best)):
        if greater != measured[1]:
            yield (
                getattr(keyword(node, "greater_is_better"), "lineno", line),
                f"greater_is_better={greater} for {best}, of which {_better(measured[1])} is "
                "better.",
            )


def _plateaus(module: Module) -> Iterator[tuple[int, str]]:
    """ReduceLROnPlateau that waits for the wrong side."""
    modes: dict[str, tuple[bool, ast.Call]] = {}
    for node in module.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            call = node.value
            if called(call) == "ReduceLROnPlateau":
                given = keyword(call, "mode") or (call.args[1] if len(call.args) > 1 else None)
                mode = "min" if given is None else constant(given)
                if mode in ("min", "max"):
                    modes[name_of(node.targets[0])] = (mode == "max", call)
    for node in module.nodes if modes else ():
        if not isinstance(node, ast.Call) or called(node) != "step" or not node.args:
            continue
        known = modes.get(name_of(getattr(node.func, "value", None)))
        measured = quantity(name_of(node.args[0]))
        if known and measured and known[0] != measured[1]:
            where = keyword(known[1], "mode") or known[1]
            yield (
                where.lineno,
                f"The plateau scheduler waits for the {_extreme(known[0])} of "
                f"{name_of(node.args[0])}, of which {_better(measured[1])} is better.",
            )


def _studies(module: Module) -> Iterator[tuple[int, str]]:
    """create_study(direction=...) against what the objective returns."""
    directions: dict[str, tuple[bool, int]] = {}
    for node in module.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if called(node.value) == "create_study":
                given = keyword(node.value, "direction")
                mode = "minimize" if given is None else constant(given)
                if mode in _MODES:
                    line = given.lineno if given is not None else node.lineno
                    directions[name_of(node.targets[0])] = (_MODES[mode], line)
    for node in module.nodes if directions else ():
        if not isinstance(node, ast.Call) or called(node) != "optimize" or not node.args:
            continue
        known = directions.get(name_of(getattr(node.func, "value", None)))
        objective = module.definitions.get(name_of(node.args[0]))
        if known is None or objective is None:
            continue
        returned = {
            direct(inner.value)
            for inner in ast.walk(objective.node)
            if isinstance(inner, ast.Return) and inner.value is not None
        }
        measured = returned.pop() if len(returned) == 1 else None
        if measured and measured.upwards != known[0]:
            sign = "minus the " if measured.negated else ""
            yield (
                known[1],
                f"The study seeks the {_extreme(known[0])} of {sign}{measured.name}, of which "
                f"{_better(measured.upwards)} is better.",
            )


def _extreme(high: bool) -> str:
    return "highest" if high else "lowest"


def _better(higher: bool) -> str:
    return "higher" if higher else "lower"


CHECK = Check("metric-direction", "Evaluation Validity", "metrics valid", _run)
