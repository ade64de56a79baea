"""Code that is called a scheduler, and whether anything in it compares scores and selects."""

import ast
from collections.abc import Iterator

from ohgw.review.code.flow import flow
from ohgw.review.code.flow.values import Ref
from ohgw.review.code.memo import once
from ohgw.review.code.resolve import names
from ohgw.review.meaning.metrics import called, is_test_module, name_of, words
from ohgw.review.project import Definition, Module, Project, dotted

NAMES = frozenset("asha pasha halving hyperband sha bohb dyhpo dehb".split())
_OTHER = frozenset(
    "config configs args result results trial state record settings params callback logger plot "
    "test parse load get make build create is has save log name names default defaults setup "
    "factory options spec error exception space print format describe baseline compare summary "
    "report table read write key path dir budget budgets schedule levels rungs count number plan "
    "etas milestones init tests wandb evaluate train trainer run runner main experiment".split()
)
_SELECTING = frozenset(
    "sorted sort argsort argpartition partition nlargest nsmallest topk top_k quantile percentile "
    "nanpercentile nanquantile median nanmedian rank rankdata sort_values lexsort heappush heappop "
    "heapify heappushpop bisect bisect_left bisect_right insort idxmax idxmin argmax argmin "
    "kthvalue searchsorted msort sort_by order_by cmp_to_key SortedList SortedDict".split()
)
_SCORES = frozenset(
    "score scores loss losses acc accuracy accuracies metric metrics value values best cutoff "
    "threshold rank quantile median top val result results better error errors reward rewards "
    "performance objective objectives utility perplexity ppl fitness cost".split()
)
_UNKNOWN = frozenset(
    "promote promotion promotions promotable select choose prune pruner survivors survive rank "
    "best filter eliminate halve halving suggest ask advance successive scheduler searcher "
    "optimizer tuner study".split()
)
_PLAIN_BASES = frozenset({"object", "ABC", "Generic", "Protocol"})
_LIBRARIES = (
    "optuna", "ray", "syne_tune", "hpbandster", "smac", "dehb", "ohgw", "skopt", "neps", "mlrose",
    "keras_tuner", "sklearn.experimental", "nni", "hyperopt", "ax", "botorch",
)  # fmt: skip
MAX_FOLLOWED = 60


def unselective(project: Project) -> Iterator[Definition]:
    """Classes and functions with the name of a scheduler in which nothing is ever compared."""
    for module in project.parsed():
        if is_test_module(module) or _uses_library(module):
            continue
        for definition in module.definitions.values():
            if "." not in definition.name and is_scheduler(definition):
                if _selects(project, definition) is False:
                    yield definition


def is_scheduler(definition: Definition) -> bool:
    """By its name, and because it has a loop or rungs."""
    said = {word.rstrip("0123456789") for word in words(definition.node.name)}
    if not said & NAMES or said & _OTHER:
        return False
    node = definition.node
    if isinstance(node, ast.ClassDef):
        methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
        if not [m for m in methods if not m.name.startswith("__")]:
            return False
        if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
            return False
        if {dotted(base).rpartition(".")[2] for base in node.bases} & {"Protocol", "NamedTuple"}:
            return False
    return any(isinstance(n, ast.For | ast.While | ast.comprehension) for n in ast.walk(node))


def _uses_library(module: Module) -> bool:
    return any(
        (isinstance(n, ast.ImportFrom) and (n.module or "").startswith(_LIBRARIES))
        or (isinstance(n, ast.Import) and any(a.name.startswith(_LIBRARIES) for a in n.names))
        for n in module.nodes
    )


def _selects(project: Project, definition: Definition) -> bool | None:
    """None where something decides that cannot be seen."""
    seen: set[Definition] = {definition}
    pending = [definition]
    unknown = False
    while pending and len(seen) < MAX_FOLLOWED:
        current = pending.pop()
        if isinstance(current.node, ast.ClassDef):
            for base in current.node.bases:
                above = names(project).definition(current.module, dotted(base))
                if above is not None and above not in seen:
                    seen.add(above)
                    pending.append(above)
                elif above is None and dotted(base).rpartition(".")[2] not in _PLAIN_BASES:
                    unknown = unknown or not isinstance(base, ast.Subscript)
        for node in ast.walk(current.node):
            if _is_selection(node):
                return True
            if isinstance(node, ast.Call):
                found = list(_followed(project, current.module, node))
                unknown = unknown or (not found and bool(_UNKNOWN & set(words(called(node)))))
                for other in found:
                    if other not in seen:
                        seen.add(other)
                        pending.append(other)
    return None if unknown or pending else False


def _is_selection(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = called(node)
        if name in _SELECTING:
            return True
        if name in ("min", "max", "nanmin", "nanmax", "amin", "amax"):
            keyed = any(keyword.arg == "key" for keyword in node.keywords)
            return keyed or (len(node.args) <= 1 and not node.keywords)
    if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
        return name_of(node) in ("sorted", "nlargest", "nsmallest")
    if isinstance(node, ast.Compare):
        if any(isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in node.ops):
            sides = [node.left, *node.comparators]
            return any(
                _SCORES & set(words(name_of(inner)))
                for side in sides
                for inner in ast.walk(side)
                if isinstance(inner, ast.Name | ast.Attribute | ast.Subscript)
            )
    return False


def _followed(project: Project, module: Module, node: ast.Call) -> Iterator[Definition]:
    """The functions of the tree that a call may be of."""
    value = flow(project).record.values.get(node.func, frozenset())
    targets = [item.definition for item in value if isinstance(item, Ref)]
    if targets:
        yield from targets
        return
    own = names(project).definition(module, dotted(node.func))
    if own is not None:
        yield own
    elif isinstance(node.func, ast.Attribute):
        yield from _methods(project).get(node.func.attr, ())


@once
def _methods(project: Project) -> dict[str, list[Definition]]:
    found: dict[str, list[Definition]] = {}
    for module in project.parsed():
        for definition in module.definitions.values():
            if "." in definition.name and not definition.is_class:
                found.setdefault(definition.node.name, []).append(definition)
    return found


_TOLD = frozenset("report tell observe on_result on_trial_result report_result".split())


def untold(project: Project) -> Iterator[tuple[Definition, str]]:
    """Schedulers in use whose method that takes scores is called by nothing."""
    mentioned = {
        name
        for module in project.parsed()
        for node in module.nodes
        for name in (
            [node.attr]
            if isinstance(node, ast.Attribute)
            else [node.value]
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            else []
        )
    }
    for module in project.parsed():
        for definition in module.definitions.values():
            if isinstance(definition.node, ast.ClassDef) and is_scheduler(definition):
                methods = [n.name for n in definition.node.body if isinstance(n, ast.FunctionDef)]
                for name in methods:
                    if name in _TOLD and name not in mentioned:
                        yield definition, name


def unanswered(project: Project) -> Iterator[tuple[Module, ast.Call]]:
    """`x.ask()` in a tree that tells nobody anything."""
    asked: list[tuple[Module, ast.Call]] = []
    for module in project.parsed():
        if is_test_module(module):
            continue
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and node.attr in ("tell", "report", "observe"):
                return
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr == "ask" and len(node.args) < 2:
                    if {"scheduler", "searcher", "study", "optimizer", "asha", "pasha", "opt",
                        "sampler", "tuner", "es", "hyperband"} & set(
                        words(name_of(node.func.value))
                    ):  # fmt: skip
                        asked.append((module, node))
    yield from asked[:1]
