"""Functions named for a metric whose body computes another: a perplexity that is no exponential.

Only what is written out is judged; a body that calls something unknown may compute anything.
"""

import ast
import re
from collections.abc import Iterator

from ohgw.review.meaning.metrics import called, enclosing, name_of, number, quantity, words
from ohgw.review.project import Module

_LOGS = re.compile(
    r"log_?p\w*|log_?probs?\w*|log_?softmax|nll\w*|\w*cross_?entropy|\w*loss(?:es)?|ce"
)
_ROOTS = frozenset("sqrt norm hypot cbrt rmse root_mean_squared_error".split())
_EXPONENTIALS = frozenset("exp exp2 expm1 pow power float_power".split())
_PLAIN = frozenset(
    "float int abs fabs absolute square mean nanmean sum item numpy cpu detach asarray array "
    "tensor len zip arange range average log log2 clip clamp minimum maximum reshape flatten "
    "astype double view squeeze gather log_softmax cross_entropy nll_loss logsumexp max "
    "round argmax tolist ravel subtract eval train forward model net network to enumerate "
    "append divide".split()
)
_ALLOWED = _PLAIN | _ROOTS


def contradictions(module: Module) -> Iterator[tuple[int, str]]:
    """(line, what is wrong) of every function of a module whose name and body disagree."""
    for definition in module.definitions.values():
        node = definition.node
        if isinstance(node, ast.ClassDef) or (node.decorator_list and _is_property(node)):
            continue
        known = quantity(node.name)
        named = set(words(node.name))
        if known is None or named & {"plot", "log", "print", "is", "has", "check", "save"}:
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.Return) and inner.value is not None:
                if enclosing(module, inner) is node:
                    said = _judged(known[0], node, inner.value)
                    if said:
                        yield inner.lineno, f"{definition.name} {said}."


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in words(name_of(decorator)) for decorator in node.decorator_list)


def _judged(name: str, function: ast.FunctionDef | ast.AsyncFunctionDef, value: ast.expr) -> str:
    if isinstance(value, ast.Constant | ast.Tuple | ast.Dict | ast.List):
        return ""
    parts = _chain(function, value)
    calls = {called(n) for n in parts if isinstance(n, ast.Call)}
    powers = [number(n.right) for n in parts if isinstance(n, ast.BinOp) and _is_power(n)]
    roots = bool(calls & _ROOTS) or 0.5 in powers
    squares = 2.0 in powers or "square" in calls
    if name == "perplexity":
        if calls & _EXPONENTIALS or None in powers or any(_is_shift(n) for n in parts):
            return ""
        spoken = {name_of(n) for n in parts if isinstance(n, ast.Name | ast.Attribute)} | calls
        unknown = {c for c in calls if c not in _ALLOWED and not _LOGS.fullmatch(c.lower())}
        if any(_LOGS.fullmatch(word.lower()) for word in spoken) and not unknown:
            return "returns a cross-entropy: a perplexity is its exponential"
        return ""
    if not calls <= _ALLOWED:
        return ""
    if name == "RMSE" and squares and not roots and "mean" in calls | _divided(parts):
        return "returns a mean square without its root"
    if name == "MSE" and squares and roots:
        return "returns the root of what it is called"
    if name == "MAE" and squares and not roots and not calls & {"abs", "fabs", "absolute"}:
        return "returns a mean square, not a mean of absolute differences"
    if name == "accuracy" and calls & {"log", "log2", "log_softmax", "cross_entropy", "nll_loss"}:
        if not any(isinstance(n, ast.Compare) for n in parts):
            return "returns a logarithmic loss"
    return ""


def _divided(parts: list[ast.AST]) -> set[str]:
    return {"mean" for n in parts if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Div)}


def _is_power(node: ast.BinOp) -> bool:
    return isinstance(node.op, ast.Pow)


def _is_shift(node: ast.AST) -> bool:
    """An exponential with a base: `2 ** x`, `math.e ** x`."""
    return isinstance(node, ast.BinOp) and _is_power(node) and number(node.right) is None


def _chain(function: ast.FunctionDef | ast.AsyncFunctionDef, value: ast.expr) -> list[ast.AST]:
    """Nodes of a returned value and of everything that its local names were made of."""
    parts: list[ast.AST] = []
    seen: set[str] = set()
    pending: list[ast.AST] = [value]
    while pending:
        found = list(ast.walk(pending.pop()))
        parts += found
        for name in {n.id for n in found if isinstance(n, ast.Name)} - seen:
            seen.add(name)
            for inner in ast.walk(function):
                if isinstance(inner, ast.Assign):
                    if any(_binds(target, name) for target in inner.targets):
                        pending.append(inner.value)
                elif isinstance(inner, ast.AugAssign | ast.AnnAssign) and inner.value is not None:
                    if _binds(inner.target, name):
                        pending.append(inner.value)
                elif isinstance(inner, ast.For | ast.comprehension) and _binds(inner.target, name):
                    pending.append(inner.iter)
    return parts


def _binds(target: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(target))
