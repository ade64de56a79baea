"""Metrics that cannot be wrong: constants, ignored arguments, values compared with themselves."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import (
    BOUNDED,
    called,
    is_test_module,
    name_of,
    number,
    quantity,
    same,
    words,
)
from ohgw.review.project import Definition, Module

_PREFIXES = frozenset("compute calculate calc get eval evaluate measure score".split())
_GUESSES = frozenset("pred preds prediction predictions predicted output outputs logits".split())
_LABELS = frozenset("label labels target targets y gold truth true".split())
_COMPARING = frozenset(
    "accuracy_score f1_score precision_score recall_score roc_auc_score mean_squared_error "
    "mean_absolute_error r2_score mse_loss l1_loss cross_entropy nll_loss log_loss corrcoef "
    "matthews_corrcoef cohen_kappa_score average_precision_score balanced_accuracy_score "
    "sentence_bleu corpus_bleu accuracy compute_accuracy array_equal eq".split()
)


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        if is_test_module(module):
            continue
        found = [*_comparisons(module)]
        for definition in module.definitions.values():
            found += _definitions(definition)
        for line, message in dict(found).items():
            yield check.finding(
                "error",
                project.at(module.path),
                line,
                message,
                evidence=module.source(line),
                fix="Compute the metric from the predictions and the labels.",
            )


def _comparisons(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            if isinstance(node.ops[0], ast.Eq) and same(node.left, node.comparators[0]):
                label = _data(node.left)
                if label:
                    yield node.lineno, f"{label} is compared with itself, which always agrees."
        elif isinstance(node, ast.Call) and called(node) in _COMPARING:
            sides = list(node.args[:2])
            if called(node) == "eq" and isinstance(node.func, ast.Attribute):
                sides = [node.func.value, *node.args[:1]]
            if len(sides) == 2 and same(*sides) and not isinstance(sides[0], ast.Constant):
                label = _data(sides[0]) or ("one value" if called(node) != "eq" else "")
                if label and number(sides[0]) is None:
                    yield node.lineno, f"{called(node)} is given {label} twice."


def _data(node: ast.AST) -> str:
    """The name of predictions or labels in an expression."""
    for inner in ast.walk(node):
        name = name_of(inner) if isinstance(inner, ast.Name | ast.Attribute) else ""
        if set(words(name)) & (_GUESSES | _LABELS):
            return name
    return ""


def _definitions(definition: Definition) -> Iterator[tuple[int, str]]:
    node = definition.node
    if isinstance(node, ast.ClassDef):
        return
    name = definition.name.rpartition(".")[2]
    parts = [word for word in words(name) if word not in _PREFIXES]
    measured = quantity("_".join(parts))
    if measured is None:
        return
    taken = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    taken = [arg for arg in taken if arg not in ("self", "cls")]
    returns = [n for n in ast.walk(node) if isinstance(n, ast.Return) and n.value is not None]
    if not taken or not returns or any(isinstance(n, ast.Raise) for n in node.body):
        return
    if all(number(n.value) is not None for n in returns):
        shown = ", ".join(f"{number(n.value):g}" for n in returns)
        yield returns[0].lineno, f"{name} returns {shown} whatever it is given."
        return
    read = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    if "locals" in read or any(isinstance(n, ast.Yield) for n in ast.walk(node)):
        return
    if not read & set(taken) and not ({"self", "cls"} & read) and not node.args.vararg:
        yield node.lineno, f"{name} reads none of its arguments."
        return
    guesses = [arg for arg in taken if set(words(arg)) & _GUESSES]
    labels = [arg for arg in taken if set(words(arg)) & _LABELS and arg not in guesses]
    halves = bool(read & set(guesses)), bool(read & set(labels))
    if measured[0] in BOUNDED and guesses and labels and halves[0] != halves[1]:
        unread = labels[0] if read & set(guesses) else guesses[0]
        yield node.lineno, f"{name} never reads {unread}: it compares nothing."


CHECK = Check("metric-constant", "Evaluation Validity", "metrics valid", _run)
