"""One metric's value under the name of another."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.resolve import Names, names
from ohgw.review.findings import Finding
from ohgw.review.meaning.metric_bodies import contradictions
from ohgw.review.meaning.metrics import called, is_test_module, name_of, quantity, split_of, words
from ohgw.review.project import Definition, Module, constant

# What may rightly stand under a broader name.
_BROAD = frozenset({"loss", "error", "reward"})
_ERRORS = frozenset({"error", "WER", "CER", "MSE", "MAE", "RMSE"})


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    resolver = names(project)
    for module in project.parsed():
        if is_test_module(module):
            continue
        for line, message in dict(_of(module, resolver)).items():
            yield check.finding(
                "error",
                project.at(module.path),
                line,
                message,
                evidence=module.source(line),
                fix="Store every metric under its own name.",
            )


def _of(module: Module, resolver: Names) -> Iterator[tuple[int, str]]:
    yield from contradictions(module)
    for definition in module.definitions.values():
        if not isinstance(definition.node, ast.ClassDef):
            for node in ast.walk(definition.node):
                if isinstance(node, ast.Return) and node.value is not None:
                    yield from _counted(definition.node.name, node.value)
    for node in module.nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Tuple):
                    yield from _unpacked(module, target, node.value, resolver)
                else:
                    yield from _pair(name_of(target), node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
            yield from _counted(name_of(node.target), node.value)
        elif isinstance(node, ast.Dict):
            yield from _exchanged(node)
            for key, value in zip(node.keys, node.values, strict=True):
                label = constant(key)
                if isinstance(label, str):
                    yield from _pair(label, value)
        elif isinstance(node, ast.Call) and called(node) in ("dict", "update", "log"):
            for item in node.keywords:
                if item.arg:
                    yield from _pair(item.arg, item.value)


def _pair(label: str, value: ast.expr) -> Iterator[tuple[int, str]]:
    wanted = quantity(label)
    if wanted is None:
        return
    yield from _counted(label, value)
    source = name_of(value)
    given = quantity(source)
    if given is None:
        yield from _computed(wanted, label, value)
        return
    if _contradicts(wanted, given):
        yield value.lineno, f"{label} is given {source}: {given[0]} under the name of {wanted[0]}."
    elif "train" in {split_of(label), split_of(source)} and wanted[0] == given[0]:
        if split_of(label) and split_of(source) and split_of(label) != split_of(source):
            yield value.lineno, f"{label} is given {source}, a measure of another split."


def _exchanged(node: ast.Dict) -> Iterator[tuple[int, str]]:
    """`{"accuracy": error, "ece": accuracy}`: each under the other's name."""
    pairs = [
        (label, name_of(value), value)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(label := constant(key), str) and isinstance(value, ast.Name | ast.Attribute)
    ]
    given = {label: source for label, source, _ in pairs}
    for label, source, value in pairs:
        if label != source and given.get(source) == label and (quantity(label) or quantity(source)):
            yield value.lineno, f"{label} and {source} are each under the other's name."


def _computed(wanted: tuple[str, bool], label: str, value: ast.expr) -> Iterator[tuple[int, str]]:
    """`accuracy = cross_entropy(logits, y)`, `ppl = total_loss / count`."""
    core, divided = value, False
    for _ in range(6):
        if isinstance(core, ast.BinOp) and isinstance(core.op, ast.Div):
            core, divided = core.left, True
        elif (
            isinstance(core, ast.Call)
            and called(core) in ("item", "float", "mean")
            and (inner := core.args[:1] or [getattr(core.func, "value", core)])
        ):
            core = inner[0]
    if isinstance(core, ast.Subscript) and not isinstance(constant(core.slice), str):
        return  # stats[1] is one of several
    source = called(core) if isinstance(core, ast.Call) else name_of(core) if divided else ""
    if divided and not source:
        return
    source = name_of(core) or source if divided else source
    own = quantity(source.removesuffix("_score"))
    if own is None or not _contradicts(wanted, own) or words(label) == ("acc",):
        return
    if wanted[0] == "loss" and own[0] not in ("accuracy", "F1", "AUC"):
        return  # some losses are made of what is higher for better
    if divided and wanted[0] not in ("perplexity", "accuracy"):
        return
    yield value.lineno, f"{label} is given what {source} measures: {own[0]}."


def _contradicts(wanted: tuple[str, bool], given: tuple[str, bool]) -> bool:
    if "perplexity" in (wanted[0], given[0]):
        return wanted[0] != given[0]  # the exponential of a loss is no loss
    if wanted[0] == given[0] or (wanted[1] == given[1] and {wanted[0], given[0]} & _BROAD):
        return False
    loose = {"NLL", "BPC", "loss"}  # one quantity in several units
    if {wanted[0], given[0]} <= loose or {wanted[0], given[0]} == {"reward", "loss"}:
        return False
    return not ({wanted[0], given[0]} <= _ERRORS and "error" in (wanted[0], given[0]))


def _counted(label: str, value: ast.expr) -> Iterator[tuple[int, str]]:
    """`correct += (predicted != labels).sum()`, `accuracy = (preds != labels).mean()`."""
    wanted = quantity(label)
    hits = "correct" in words(label) or (wanted is not None and wanted[0] == "accuracy")
    misses = wanted is not None and wanted[0] == "error"
    if not hits and not misses:
        return
    core: ast.AST = value
    for _ in range(8):  # float((a == b).sum().item())
        if isinstance(core, ast.Call):
            method = isinstance(core.func, ast.Attribute) and called(core) in (
                "sum", "mean", "item", "float", "long", "int", "cpu", "to", "numpy", "double"
            )  # fmt: skip
            if method and isinstance(core.func, ast.Attribute) and not _is_module(core.func.value):
                core = core.func.value
            elif core.args and called(core) in ("sum", "mean", "float", "int", "average"):
                core = core.args[0]
            else:
                return
        elif isinstance(core, ast.BinOp) and isinstance(core.op, ast.Div | ast.Mult):
            core = core.left
        else:
            break
    if isinstance(core, ast.Compare) and len(core.ops) == 1:
        if isinstance(core.comparators[0], ast.Constant):
            return
        if hits and isinstance(core.ops[0], ast.NotEq):
            yield value.lineno, f"{label} counts the predictions that are wrong."
        elif misses and isinstance(core.ops[0], ast.Eq):
            yield value.lineno, f"{label} counts the predictions that are right."


def _is_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("np", "torch", "numpy", "jnp")


def _unpacked(
    module: Module, target: ast.Tuple, value: ast.expr, resolver: Names
) -> Iterator[tuple[int, str]]:
    """`acc, loss = evaluate()` where evaluate returns the loss first."""
    if isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts):
        for one, other in zip(target.elts, value.elts, strict=True):
            yield from _pair(name_of(one), other)
        return
    if not isinstance(value, ast.Call):
        return
    definition = _definition(module, value, resolver)
    if definition is None or isinstance(definition.node, ast.ClassDef):
        return
    shapes = [
        [quantity(name_of(item)) for item in inner.value.elts]
        for inner in ast.walk(definition.node)
        if isinstance(inner, ast.Return) and isinstance(inner.value, ast.Tuple)
    ]
    labels = [name_of(item) for item in target.elts]
    for shape in shapes[:1] if all(shape == shapes[0] for shape in shapes) else ():
        if len(shape) != len(labels):
            return
        wanted = [quantity(label) for label in labels]
        for own, two, label in zip(wanted, shape, labels, strict=True):
            if own and two and _contradicts(own, two):
                yield (
                    target.lineno,
                    f"{label} is given the {two[0]} that {definition.name} returns in its place.",
                )


def _definition(module: Module, call: ast.Call, resolver: Names) -> Definition | None:
    if isinstance(call.func, ast.Name):
        return resolver.definition(module, call.func.id)
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        if call.func.value.id == "self":
            own = [d for n, d in module.definitions.items() if n.endswith(f".{call.func.attr}")]
            return own[0] if len(own) == 1 else None
        return resolver.definition(module, f"{call.func.value.id}.{call.func.attr}")
    return None


CHECK = Check("metric-swapped", "Evaluation Validity", "metrics valid", _run)
