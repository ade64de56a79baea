"""Between which bounds the code computes a metric: a fraction, per cents, never below zero."""

import ast
from collections.abc import Iterator
from typing import Literal

from ohgw.review.code.memo import once
from ohgw.review.code.resolve import names
from ohgw.review.meaning.metrics import BOUNDED, called, number, quantity, words
from ohgw.review.project import Definition, Module, Project, dotted

Scale = Literal["fraction", "percent"]

# Never negative, however they are computed; a loss may be, where it is a log-density or a reward.
POSITIVE = frozenset({"error", "MSE", "RMSE", "MAE", "WER", "CER", "ECE", "FID", "Brier score",
                      "perplexity", "BPC", *BOUNDED})  # fmt: skip
_FRACTIONS = frozenset(
    "accuracy_score f1_score roc_auc_score balanced_accuracy_score score".split()
)
_POSITIVE_LOSSES = frozenset(
    "cross_entropy crossentropyloss mse_loss mseloss l1_loss l1loss smooth_l1_loss smoothl1loss "
    "huber_loss huberloss binary_cross_entropy binary_cross_entropy_with_logits bceloss "
    "bcewithlogitsloss log_softmax logsoftmax log_loss mean_squared_error mean_absolute_error "
    "categorical_crossentropy sparse_categorical_crossentropy binary_crossentropy hinge_loss "
    "softmax_cross_entropy softmax_cross_entropy_with_integer_labels squared_error mse".split()
)
_SIGNED_WORDS = frozenset(
    "elbo policy critic reward wasserstein energy flow flows density actor advantage "
    "discriminator mmd".split()
)
_SIGNED_CALLS = frozenset(
    "log_prob gaussiannllloss gaussian_nll_loss logpdf cosine_similarity".split()
)
_PREFIXES = frozenset("compute calculate calc get evaluate eval measure".split())
MAX_DEPTH = 3


@once
def scales(project: Project) -> dict[str, Scale]:
    """By quantity: whether the code computes it between 0 and 1 or in per cent, if always alike."""
    found: dict[str, set[Scale]] = {}
    for module in project.parsed():
        for name, value in _computed(module):
            scale = _scale(project, module, value)
            if scale:
                found.setdefault(name, set()).add(scale)
    return {name: next(iter(kinds)) for name, kinds in found.items() if len(kinds) == 1}


@once
def losses_are_positive(project: Project) -> bool:
    """Whether every loss of the code is of a kind that is never negative."""
    positive = False
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Name | ast.Attribute):
                name = node.id if isinstance(node, ast.Name) else node.attr
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                name = node.name
            else:
                continue
            if name.lower() in _SIGNED_CALLS or _SIGNED_WORDS.intersection(words(name)):
                return False
            positive = positive or name.lower() in _POSITIVE_LOSSES
    return positive


def _computed(module: Module) -> Iterator[tuple[str, ast.expr]]:
    for node in module.nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if measured := quantity(_name(target)):
                    yield measured[0], node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                label = key.value if isinstance(key, ast.Constant) else None
                if isinstance(label, str) and (measured := quantity(label)):
                    yield measured[0], value
    for definition in module.definitions.values():
        last = definition.name.rpartition(".")[2]
        measured = quantity("_".join(w for w in words(last) if w not in _PREFIXES))
        if measured and not definition.is_class:
            for value in _returned(definition):
                if not isinstance(value, ast.Tuple):  # named where they are unpacked
                    yield measured[0], value


def _name(target: ast.expr) -> str:
    if isinstance(target, ast.Subscript):
        key = target.slice
        return key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else ""
    return dotted(target).rpartition(".")[2]


def _returned(definition: Definition) -> list[ast.expr]:
    return [
        node.value
        for node in ast.walk(definition.node)
        if isinstance(node, ast.Return) and node.value is not None
    ]


def _scale(project: Project, module: Module, value: ast.expr, depth: int = 0) -> Scale | None:
    """Of one expression; what a function of the project returns counts as the call."""
    divides = hundred = False
    for node in ast.walk(value):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Mult):
            divides = divides or (isinstance(node.op, ast.Div) and number(node.right) is None)
            hundred = hundred or 100.0 in (number(node.left), number(node.right))
        elif isinstance(node, ast.Call):
            divides = divides or called(node) in _FRACTIONS or _is_mean(node)
            hundred = hundred or (
                called(node) == "mul" and bool(node.args and number(node.args[0]) == 100.0)
            )
    if hundred:
        return "percent"
    if divides:
        return "fraction"
    call = _core(value)
    if not isinstance(call, ast.Call) or depth >= MAX_DEPTH:
        return None
    definition = names(project).definition(module, dotted(call.func))
    if definition is None or definition.is_class:
        return None
    inner = {
        _scale(project, definition.module, result, depth + 1) for result in _returned(definition)
    }
    return inner.pop() if len(inner) == 1 else None


def _core(value: ast.expr) -> ast.expr:
    """`f(x)` of `float(f(x))`, `round(f(x), 4)` and `f(x).item()`."""
    while isinstance(value, ast.Call):
        if isinstance(value.func, ast.Name) and value.func.id in ("float", "round") and value.args:
            value = value.args[0]
        elif isinstance(value.func, ast.Attribute) and value.func.attr in ("item", "mean"):
            value = value.func.value
        else:
            break
    return value


def _is_mean(node: ast.Call) -> bool:
    """The mean of comparisons."""
    return called(node) == "mean" and any(
        isinstance(inner, ast.Compare) or (isinstance(inner, ast.Call) and called(inner) == "eq")
        for inner in ast.walk(node)
    )
