"""What optimisers are asked for, against what they are given: the lowest of what, the highest."""

import ast
import re
from collections.abc import Iterator

from ohgw.review.meaning.measures import Measured, agreed, direct, measured, plain
from ohgw.review.meaning.metrics import called, enclosing, keyword, name_of, quantity
from ohgw.review.project import Definition, Module, Project, constant

_MINIMISERS = frozenset(
    "minimize minimize_scalar fmin fmin_bfgs fmin_l_bfgs_b fmin_cg fmin_powell "
    "differential_evolution dual_annealing basinhopping gp_minimize "
    "forest_minimize gbrt_minimize shgo".split()
)
_MODES = {"min": False, "minimize": False, "max": True, "maximize": True}
_MODE_KEYS = ("mode", "direction")
_METRIC_KEYS = ("metric", "monitor", "metric_name", "objective_metric_name", "reward_attr")
_REPORTS = frozenset(
    "tell report observe step update on_result on_trial_result register add record record_result "
    "is_better improved should_stop check complete submit report_result add_result".split()
)
# Where somebody wants the loss to be high.
_CONTRARY = re.compile(
    r"(?i)advers|attack|perturb|ascent|unlearn|forget|discriminat|critic|\bgan\b|maximi|minimax"
    r"|worst|reversal|hard(?:est|ness)|confus|\bsam\b|sharpness|fgsm|\bpgd\b|reward|policy|game"
)


def contradictions(project: Project, module: Module) -> Iterator[tuple[int, str]]:
    """(line, what is wrong)."""
    modes: list[tuple[str, bool, int]] = []
    for node in module.nodes:
        if isinstance(node, ast.Call):
            yield from _minimised(project, module, node)
            yield from _named(node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            mode = _mode(node.value)
            if mode is not None and name_of(node.targets[0]):
                modes.append((name_of(node.targets[0]), *mode))
    for label, upwards, line in modes:
        yield from _reported(project, module, label, upwards, line)
    yield from _backward(module)


def contrary(module: Module, node: ast.AST) -> bool:
    """Whether something around a node says that the wrong side is wanted."""
    scope = enclosing(module, node)
    end = getattr(scope, "end_lineno", None) or len(module.file.lines)
    start = getattr(scope, "lineno", 1)
    around = " ".join(module.source(n) for n in range(start, min(end, start + 200) + 1))
    return bool(_CONTRARY.search(f"{around} {module.path}"))


def _minimised(project: Project, module: Module, node: ast.Call) -> Iterator[tuple[int, str]]:
    """`minimize(lambda w: -loss(w))`."""
    if called(node) not in _MINIMISERS or not node.args or contrary(module, node):
        return
    for value, where, line in _objective(module, node.args[0]):
        found = direct(value)
        own = {found} if found else measured(project, where, value)
        wrong = agreed(own)
        if wrong is not None and wrong.upwards:
            yield line, f"{called(node)} is given {_words(wrong)}: it finds the worst."


def _objective(module: Module, given: ast.expr) -> Iterator[tuple[ast.expr, Module, int]]:
    """What the function that is minimised returns."""
    if isinstance(given, ast.Lambda):
        yield given.body, module, given.lineno
        return
    name = name_of(given)
    found: list[Definition] = [
        d for d in module.definitions.values() if name and d.node.name == name and not d.is_class
    ]
    if len(found) == 1:
        values = [
            inner.value
            for inner in ast.walk(found[0].node)
            if isinstance(inner, ast.Return)
            and inner.value is not None
            and enclosing(module, inner) is found[0].node
        ]
        if len(values) == 1:
            yield values[0], module, values[0].lineno


def _words(measure: Measured) -> str:
    return f"minus the {measure.name}" if measure.negated else f"the {measure.name}"


def _mode(node: ast.Call) -> tuple[bool, int] | None:
    """(higher is wanted, line) of a call that says so, and names no metric itself."""
    if called(node) == "create_study" or any(keyword(node, key) for key in _METRIC_KEYS):
        return None
    for key in _MODE_KEYS:
        given = keyword(node, key)
        wanted = constant(given)
        if isinstance(wanted, str) and wanted in _MODES and given is not None:
            return _MODES[wanted], given.lineno
    given = keyword(node, "maximize")
    if isinstance(constant(given), bool) and given is not None:
        return bool(constant(given)), given.lineno
    return None


def _named(node: ast.Call) -> Iterator[tuple[int, str]]:
    """`ASHAScheduler(metric="val_loss", mode="max")`."""
    for key in _METRIC_KEYS:
        metric = constant(keyword(node, key))
        if key == "monitor" or not isinstance(metric, str) or (own := quantity(metric)) is None:
            continue
        for name in _MODE_KEYS:
            given = keyword(node, name)
            mode = constant(given)
            if isinstance(mode, str) and _MODES.get(mode, own[1]) != own[1] and given is not None:
                yield given.lineno, f"{called(node)} seeks the {_side(mode)} of {metric}."


def _side(mode: str) -> str:
    return "highest" if _MODES[mode] else "lowest"


def _reported(
    project: Project, module: Module, label: str, upwards: bool, line: int
) -> Iterator[tuple[int, str]]:
    """An object that was made with a mode, and what its methods are told."""
    found: set[Measured] = set()
    for node in module.nodes:
        if not isinstance(node, ast.Call):
            continue
        method = isinstance(node.func, ast.Attribute) and node.func.attr in _REPORTS
        owner = node.func.value if method and isinstance(node.func, ast.Attribute) else node.func
        if not isinstance(owner, ast.Name | ast.Attribute) or name_of(owner) != label:
            continue
        told = [
            own
            for argument in (*node.args, *(k.value for k in node.keywords))
            if (own := agreed(_values(argument)))
        ]
        if len(told) == 1:
            found |= set(told)
    wrong = agreed(found)
    if wrong is not None and wrong.upwards != upwards:
        side = "highest" if upwards else "lowest"
        yield line, f"{label} seeks the {side} of what it is told, which is {_words(wrong)}."


def _values(node: ast.expr) -> set[Measured]:
    """By name; of a choice, whichever names speak."""
    parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    return {found for part in parts if (found := direct(part))}


def _backward(module: Module) -> Iterator[tuple[int, str]]:
    """`(-loss).backward()`, and `loss = -cross_entropy(...)` that goes backward."""
    for node in module.nodes:
        if not isinstance(node, ast.Call) or called(node) != "backward":
            continue
        subject = node.func.value if isinstance(node.func, ast.Attribute) else None
        if subject is None or contrary(module, node):
            continue
        values: list[ast.expr] = [subject]
        if isinstance(subject, ast.Name) and quantity(subject.id):
            scope = enclosing(module, node)
            values = [
                inner.value
                for inner in ast.walk(scope)
                if isinstance(inner, ast.Assign)
                and any(isinstance(t, ast.Name) and t.id == subject.id for t in inner.targets)
            ]
        signs = [plain(value) for value in values]
        own = [direct(value) for value in values]
        if values and all(turned for _, turned in signs):
            if all(m is not None and m.name in _ERRORS and m.upwards for m in own):
                yield values[0].lineno, "The weights climb the loss: its sign is turned round."


_ERRORS = frozenset({"loss", "NLL", "MSE", "MAE", "error"})
