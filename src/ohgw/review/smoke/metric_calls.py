"""Which functions of a tree are metrics of predictions and labels, told by names and docstrings.

Only what leaves no doubt is called: two required arguments, one named for predictions and one for
labels, at the top of a module or static; nothing that takes a model or a loader.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ohgw.review.meaning.metrics import is_test_module
from ohgw.review.project import Definition, Module, Project, dotted

_PREDICTIONS = frozenset(
    "pred preds prediction predictions predicted p hat yhat output outputs logit logits prob probs "
    "proba probas probability probabilities logp logprob logprobs score scores hyp hyps hypothesis "
    "hypotheses candidate candidates generated forecast forecasts estimate estimates".split()
)
_LABELS = frozenset(
    "label labels target targets y t gold golds truth true ref refs reference references actual "
    "actuals gt answer answers expected".split()
)
_ELSE = frozenset(
    "model models net network loader dataset dataloader fn func function path file dir name names "
    "config cfg type size num weight weights mask masks len length lengths".split()
)
# Names of metrics, and what may stand around them without making another metric of it.
_FAMILIES: dict[str, str] = {
    spelled: family
    for family, names in {
        "accuracy": "accuracy, acc",
        "F1": "f1",
        "precision": "precision",
        "recall": "recall",
        "calibration error": "ece, expected calibration error, calibration error",
        "squared error": "mse, squared error, rmse, root squared error",
        "absolute error": "mae, absolute error",
        "cross-entropy": "nll, negative log likelihood, log loss, logloss, cross entropy, "
        "crossentropy, bce, ce",
        "perplexity": "perplexity, ppl",
        "error rate": "error",
        "BLEU": "bleu",
        "ROUGE": "rouge, rougel, rouge1, rouge2",
        "word error rate": "wer, word error",
    }.items()
    for spelled in names.split(", ")
}
_AROUND = frozenset(
    "compute computes calculate calculates calc get eval evaluate evaluates measure metric metrics "
    "score scores mean macro micro binary multiclass multi class top1 categorical np numpy torch "
    "batch test val validation train classification overall total the of rate pct percent "
    "percentage predictions".split()
)
_HIGHER = frozenset(("accuracy", "F1", "precision", "recall", "BLEU", "ROUGE"))
_ORDERED = frozenset(("BLEU", "ROUGE", "word error rate"))  # of words, whose order counts
_CHANCE = re.compile(r"rng|random|sample|bootstrap|choice|dropout|shuffle|noise", re.IGNORECASE)
_ARITHMETIC = frozenset("np numpy torch F jnp math".split())  # by their usual names
# What else a metric may call and still be known to have read its arguments, where it has.
_PLAIN = frozenset(
    "float int bool str abs fabs absolute square mean nanmean sum item numpy cpu detach asarray "
    "array tensor as_tensor len zip arange range average log log2 exp sqrt clip clamp minimum "
    "maximum reshape flatten astype double long view squeeze unsqueeze gather log_softmax softmax "
    "sigmoid cross_entropy nll_loss mse_loss l1_loss max min topk round argmax argmin argsort "
    "tolist ravel view_as subtract to enumerate append divide eq ne equal not_equal unique "
    "count_nonzero set list sorted linspace any all where isclose norm size numel t "
    "accuracy_score f1_score precision_score recall_score mean_squared_error log_loss "
    "mean_absolute_error corpus_bleu sentence_bleu".split()
)


@dataclass(frozen=True)
class Metric:
    """A function that can be called with predictions and labels alone."""

    definition: Definition
    first: str  # "predictions" or "labels"
    given: str  # what the predictions are called
    family: str  # '' where only the keys of what it returns can tell
    plain: bool  # does nothing but arithmetic with what it is given
    bare: bool  # has no other parameters

    @property
    def module(self) -> Module:
        return self.definition.module


def family_of(name: str) -> str:
    """Which metric a name speaks of; '' for none, or for a variety with other laws."""
    words = re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+", name[:100])
    words = [word.lower() for word in words if word.lower() not in _AROUND]
    found = _FAMILIES.get(" ".join(words))
    if found is None and words[-1:] == ["loss"]:
        found = _FAMILIES.get(" ".join(words[:-1]))
    return found or ""


def higher_is_better(family: str) -> bool:
    return family in _HIGHER


def order_counts(family: str) -> bool:
    """Whether words in another order make another result, by right."""
    return family in _ORDERED


def metrics_of(project: Project) -> Iterator[Metric]:
    """In order of file and line."""
    for module in project.parsed():
        if is_test_module(module) or not module.path.endswith(".py"):
            continue
        for definition in module.definitions.values():
            found = _metric(definition)
            if found:
                yield found


def _metric(definition: Definition) -> Metric | None:
    node, module = definition.node, definition.module
    if not isinstance(node, ast.FunctionDef) or not _reachable(definition):
        return None
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    if len(required) != 2 or None in arguments.kw_defaults:
        return None
    roles = [_role(argument.arg) for argument in required]
    if sorted(roles) != ["labels", "predictions"]:
        return None
    inner = list(ast.walk(node))
    if any(isinstance(n, ast.Yield | ast.YieldFrom | ast.Await) for n in inner):
        return None
    if any(_CHANCE.search(name) for name in _names(inner)) or any(map(_shifts, inner)):
        return None
    short = node.name
    family = family_of(short)
    if not family:
        if any(word.lower() not in _AROUND for word in re.findall(r"[A-Za-z]+", short)):
            return None
        family = _documented(node)
    bare = len(positional) == 2 and not (
        arguments.kwonlyargs or arguments.vararg or arguments.kwarg
    )
    given = required[roles.index("predictions")].arg
    return Metric(definition, roles[0], given, family, _plain(module, node), bare)


def _reachable(definition: Definition) -> bool:
    """By attribute from its module, and with no argument of its own before the two."""
    owner, _, _ = definition.name.rpartition(".")
    if not owner:
        return definition.module.parents.get(definition.node) is definition.module.tree
    holder = definition.module.definitions.get(owner)
    if holder is None or not holder.is_class or "." in owner:
        return False
    decorators = definition.node.decorator_list
    return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in decorators)


def _role(name: str) -> str:
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name[:100])}
    if words & _ELSE:
        return ""
    if words & _PREDICTIONS:
        return "predictions"
    return "labels" if words & _LABELS else ""


def _names(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg


def _shifts(node: ast.AST) -> bool:
    """`x[:, :-1]`, `x[1:]`: predictions of what comes next, for which our data are none."""
    if not isinstance(node, ast.Slice):
        return False
    lower, upper = node.lower, node.upper
    return (isinstance(lower, ast.Constant) and lower.value == 1) or (
        isinstance(upper, ast.UnaryOp) and isinstance(upper.op, ast.USub)
    )


def _documented(node: ast.FunctionDef) -> str:
    """The one metric that the first line of the docstring speaks of."""
    text = (ast.get_docstring(node, clean=False) or "").strip().partition("\n")[0].lower()
    words = f" {' '.join(re.findall(r'[a-z0-9]+', text[:200]))} "
    found = {family for spelled, family in _FAMILIES.items() if f" {spelled} " in words}
    return found.pop() if len(found) == 1 else ""


def _plain(module: Module, node: ast.FunctionDef, depth: int = 0) -> bool:
    """Whether everything it calls is arithmetic, or a function of the same module that is plain."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            function = inner.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            if isinstance(function, ast.Name):
                name = function.id
            own = module.definitions.get(name)
            if own is not None and isinstance(own.node, ast.FunctionDef) and depth < 3:
                if not _plain(module, own.node, depth + 1):
                    return False
            elif name not in _PLAIN and dotted(function).partition(".")[0] not in _ARITHMETIC:
                return False
    return True
