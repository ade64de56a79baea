"""What a repair took away: the method's step, the data, variations, training, assertions."""

import ast
import re
from collections import Counter
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.checks.synthetic_fallback import fallbacks
from ohgw.review.code.nodes import Node, files
from ohgw.review.findings import Finding, Severity
from ohgw.review.meaning.metrics import called, is_test_module, words
from ohgw.review.meaning.runs import runs
from ohgw.review.preservation import Piece, compare
from ohgw.review.project import Project, constant

_CORE = frozenset(
    "backward grad step hypergrad gradient loss train fit optimizer scheduler warm start adapt "
    "update sample search promote rung forward penalty regularizer method".split()
)
_DIFFERENTIATES = frozenset("backward grad vjp jvp hvp jacobian hessian value_and_grad".split())
_CORRUPTED = re.compile(r"corrupt|(?:cifar|imagenet|mnist|stl)[-_]?\d*[-_]?c\b|nois(?:y|e)", re.I)
_LOADERS = frozenset("load_dataset ImageFolder get_dataset load_from_disk".split())
_AMOUNTS = re.compile(
    r"(?:(?:max|num|n|total)_?)?(?:epochs?|steps|iterations|iters|samples|trials|seeds|replicates"
    r"|train_size|rounds|updates)|(?:max|num)_(?:train_)?(?:samples|examples|batches)|replicates"
)


Drift = tuple[Severity, str, int, str]  # severity, path, line, message


def _run(check: Check, context: Context) -> Iterator[Finding]:
    before, after = context.before, context.derived
    if before is None:
        return
    for drifts in (_bodies, _data, _fallbacks, _pretrained, _variations, _amounts, _tests):
        for severity, path, line, message in drifts(before, after):
            yield check.finding(
                severity,
                path,
                line,
                message,
                evidence=_source(before if path.startswith("before/") else after, path, line),
                fix="Repair the cause; keep what the experiment is about.",
            )


def _source(project: Project, path: str, line: int) -> str:
    file = project.tree.files.get(path.partition("/")[2])
    lines = file.lines if file else []
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def _bodies(before: Project, after: Project) -> Iterator[Drift]:
    """Functions that lost their body, their gradient or their call."""
    was, now = _called(before), _called(after)
    for fate in compare(before, after).fates:
        old, new = fate.old, fate.new
        if old.is_class or is_test_module(old.module):
            continue
        core = bool(_verbs(old) & _CORE) or bool(set(words(old.last)) & _CORE)
        if new is None:
            if fate.kind == "gone" and old.body.size > 5:
                severity: Severity = "error" if core and was[old.last] else "warning"
                yield (
                    severity, before.at(old.module.path), old.definition.line,
                    f"The repair removed {old.name}.",
                )  # fmt: skip
            continue
        place, line = after.at(new.module.path), new.definition.line
        if new.body.size <= 1 and old.body.size > 5:
            yield "error", place, line, f"The repair emptied {new.name}."
            continue
        lost = _verbs(old) & _DIFFERENTIATES
        if lost and not _verbs(new) & _DIFFERENTIATES and not _reaches(after, new):
            yield (
                "error", place, line,
                f"The repair took the gradient out of {new.name}: {', '.join(sorted(lost))} is no "
                "longer called.",
            )  # fmt: skip
        elif was[old.last] and not now[new.last] and not new.last.startswith("__"):
            if not new.owner or was[old.last] > 0:
                yield (
                    "error" if core else "warning", place, line,
                    f"Nothing calls {new.name} any more since the repair.",
                )  # fmt: skip
        dropped = _asserts(old) - _asserts(new)
        if dropped > 0:
            yield "warning", place, line, f"The repair removed an assertion from {new.name}."


def _called(project: Project) -> Counter[str]:
    """How often each name is read, called or not."""
    found: Counter[str] = Counter()
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found[node.id] += 1
            elif isinstance(node, ast.Attribute):
                found[node.attr] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found[node.value] += 1 if len(node.value) < 60 else 0
    return found


def _verbs(piece: Piece) -> set[str]:
    return {called(n) for n in ast.walk(piece.definition.node) if isinstance(n, ast.Call)}


def _reaches(project: Project, piece: Piece) -> bool:
    """Whether a function that it calls differentiates: the body was split."""
    verbs = _verbs(piece)
    for module in project.parsed():
        for definition in module.definitions.values():
            if definition.name.rpartition(".")[2] in verbs:
                inner = {called(n) for n in ast.walk(definition.node) if isinstance(n, ast.Call)}
                if inner & _DIFFERENTIATES:
                    return True
    return False


def _asserts(piece: Piece) -> int:
    return sum(isinstance(n, ast.Assert) for n in ast.walk(piece.definition.node))


def _data(before: Project, after: Project) -> Iterator[Drift]:
    """The corrupted benchmark that became a clean data set."""
    old, new = _data_names(before), _data_names(after)
    corrupted = [name for name in old if _CORRUPTED.search(name)]
    if corrupted and not any(_CORRUPTED.search(name) for name in new):
        fresh = {name: place for name, place in new.items() if name not in old}
        place, line = next(iter(fresh.values()), (None, 0))
        if place is not None:
            name = next(iter(fresh))
            yield (
                "error", after.at(place), line,
                f"The repair loads {name!r} where {corrupted[0]!r} was loaded: clean data for "
                "corrupted ones.",
            )  # fmt: skip


def _data_names(project: Project) -> dict[str, tuple[str, int]]:
    """What is loaded: names given to loaders, and those of the configurations."""
    found: dict[str, tuple[str, int]] = {}
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Call) and called(node) in _LOADERS:
                for argument in (*node.args[:2], *(k.value for k in node.keywords)):
                    name = constant(argument)
                    if isinstance(name, str):
                        found.setdefault(name, (module.path, argument.lineno))
    for root in files(project):
        for leaf in root.leaves():
            parent = leaf.parent
            named = f"{parent.key if parent else ''}_{leaf.key}".lower()
            if isinstance(leaf.value, str) and {"dataset", "data"} & set(words(named)):
                found.setdefault(leaf.value, (leaf.path, leaf.line))
    return found


def _fallbacks(before: Project, after: Project) -> Iterator[Drift]:
    known = Counter(fallback.function for fallback in fallbacks(before))
    for fallback in fallbacks(after):
        if known[fallback.function] > 0:
            known[fallback.function] -= 1
            continue
        yield (
            "error", after.at(fallback.module.path), fallback.line,
            f"The repair added a fallback: {fallback.what} in place of real ones.",
        )  # fmt: skip


def _pretrained(before: Project, after: Project) -> Iterator[Drift]:
    """Models that were trained from scratch."""
    old, new = _weights(before), _weights(after)
    for kind, place in new.items():
        if kind not in old and not old:
            yield (
                "error", after.at(place[0]), place[1],
                f"The repair starts from pretrained weights ({kind}), which nothing did before.",
            )  # fmt: skip
            return


def _weights(project: Project) -> dict[str, tuple[str, int]]:
    """Where pretrained weights are asked for; tokenizers and configurations are no weights."""
    found: dict[str, tuple[str, int]] = {}
    for module in project.parsed():
        for node in module.nodes:
            if not isinstance(node, ast.Call):
                continue
            if called(node) == "from_pretrained" and isinstance(node.func, ast.Attribute):
                owner = getattr(node.func.value, "id", getattr(node.func.value, "attr", ""))
                if not re.search(r"Tokenizer|Config|Processor|Extractor", str(owner)):
                    found.setdefault("from_pretrained", (module.path, node.lineno))
            for item in node.keywords:
                value = item.value
                if item.arg == "pretrained" and constant(value) is True:
                    found.setdefault("pretrained=True", (module.path, value.lineno))
                elif item.arg == "weights" and constant(value) not in (None, "", ...):
                    found.setdefault("weights", (module.path, value.lineno))
    for root in files(project):
        for leaf in root.leaves():
            if leaf.key == "pretrained" and leaf.value is True:
                found.setdefault("pretrained: true", (leaf.path, leaf.line))
    return found


def _variations(before: Project, after: Project) -> Iterator[Drift]:
    left = {(run.role, run.id) for run in runs(after)}
    anywhere = {name for _, name in left}
    reported: set[tuple[str, str]] = set()
    for run in runs(before):
        key = (run.role, run.id)
        if key in left or key in reported or not left:
            continue
        reported.add(key)
        if run.role == "other" and run.id in anywhere:
            continue
        yield (
            "error", before.at(run.path), run.line,
            f"The repair dropped the variation {run.id!r} from the {run.role} runs.",
        )  # fmt: skip


def _amounts(before: Project, after: Project) -> Iterator[Drift]:
    """Less training than before, outside of smoke tests."""
    now = {(root.path, leaf.route): leaf for root in files(after) for leaf in root.leaves()}
    for root in files(before):
        if _is_smoke(root):
            continue
        for leaf in root.leaves():
            new = now.get((root.path, leaf.route))
            if new is None or not _AMOUNTS.fullmatch(str(leaf.key).lower()):
                continue
            if "smoke" in new.dotted or not _is_number(leaf.value) or not _is_number(new.value):
                continue
            if new.value < leaf.value:
                yield (
                    "warning", after.at(new.path), new.line,
                    f"The repair lowered {new.dotted} from {leaf.value} to {new.value}.",
                )  # fmt: skip


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_smoke(root: Node) -> bool:
    return bool({"smoke", "debug", "test"} & set(words(root.path)))


def _tests(before: Project, after: Project) -> Iterator[Drift]:
    for module in before.parsed():
        if is_test_module(module) and module.path not in after.modules:
            yield (
                "warning",
                before.at(module.path),
                1,
                f"The repair removed the tests {module.path}.",
            )


CHECK = Check("repair-drift", "Repair Drift", "method implemented", _run)
