"""Names of measured quantities: what `best_val_acc` measures, on which split, and what is better.

A name is read by its head: `val_loss` is a loss, `loss_fn` and `loss_weight` are not.
"""

import ast
import re
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from ohgw.review.project import Module, dotted

Split = Literal["train", "val", "test"]

# One quantity under its spellings; True where higher is better.
_QUANTITIES: dict[str, tuple[str, bool]] = {
    word: (name, higher)
    for name, higher, spelled in (
        ("accuracy", True, "accuracy accuracies acc accs"),
        ("F1", True, "f1"),
        ("AUC", True, "auc auroc rocauc auprc"),
        ("BLEU", True, "bleu"),
        ("ROUGE", True, "rouge rougel"),
        ("IoU", True, "iou miou"),
        ("Dice", True, "dice"),
        ("PSNR", True, "psnr"),
        ("SSIM", True, "ssim"),
        ("MRR", True, "mrr"),
        ("NDCG", True, "ndcg"),
        ("MCC", True, "mcc"),
        ("R2", True, "r2"),
        ("reward", True, "reward rewards"),
        ("loss", False, "loss losses crossentropy"),
        ("perplexity", False, "perplexity perplexities ppl ppls"),
        ("error", False, "error err errs"),
        ("MSE", False, "mse"),
        ("RMSE", False, "rmse"),
        ("MAE", False, "mae"),
        ("NLL", False, "nll logloss loglosses"),
        ("WER", False, "wer"),
        ("CER", False, "cer"),
        ("ECE", False, "ece"),
        ("FID", False, "fid"),
        ("Brier score", False, "brier"),
        ("regret", False, "regret regrets"),
        ("BPC", False, "bpc"),
    )
    for word in spelled.split()
}
BOUNDED = frozenset({"accuracy", "F1", "AUC", "IoU", "Dice", "MRR", "NDCG"})  # at most 1, or 100 %
_SPLITS: dict[str, Split] = {
    "train": "train", "training": "train", "tr": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "te": "test", "tst": "test", "trn": "train",
}  # fmt: skip
_EXAMPLES = frozenset(
    "x y data df ds set dataset loader dataloader images labels inputs targets idx ids".split()
)
_PAIRS = {("log", "loss"), ("log", "losses"), ("cross", "entropy")}
# Words that may stand around the head without changing what is measured.
_TRAILING = frozenset(
    "mean avg average macro micro weighted best final last value val valid validation dev test "
    "train training score scores rate top top1 top5 top3 epoch percent pct now current cur curr "
    "new history curve list arr array per class all overall total sum tensor item k n 1 5 3 10 0 2 "
    "rank res result metric meter".split()
)
# Words that make another thing of it, wherever they stand.
_OTHER = frozenset(
    "neg negative minus inverse inverted drop gap delta diff difference improvement gain weight "
    "weights coef coefficient lambda scale scaler fn func function criterion type name key "
    "threshold target std stderr var variance ci bar tolerance tol min max worst rel relative "
    "ratio log margin patience mode bound limit reduction mask grad exp ema decay correct prev "
    "previous old baseline chance random paper reported reference expected goal handler msg "
    "message code flag prefix path file dir color title label labels xlabel ylabel fig ax plot id "
    "counter count num "
    "every interval freq at step steps time".split()
)


@lru_cache(maxsize=20_000)
def words(name: str) -> tuple[str, ...]:
    """best_valAcc1 is best, val, acc, 1."""
    if len(name) > 200:
        return ()
    return tuple(w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name))


@lru_cache(maxsize=20_000)
def quantity(name: str) -> tuple[str, bool] | None:
    """(what is measured, whether higher is better); None where the name says neither."""
    parts = list(words(name))
    for k in range(len(parts) - 2, -1, -1):
        if tuple(parts[k : k + 2]) in _PAIRS:  # one word; a log loss is no other scale of a loss
            parts[k : k + 2] = ["".join(parts[k : k + 2])]
    joined = [f"{a}{b}" for a, b in pairwise(parts)]
    if not parts or _OTHER.intersection(parts):
        return None
    for k in range(len(parts) - 1, -1, -1):
        if k + 1 < len(parts) and joined[k] in _QUANTITIES:
            return _QUANTITIES[joined[k]]
        if parts[k] in _QUANTITIES:
            return _QUANTITIES[parts[k]]
        if parts[k] not in _TRAILING:
            return None
    return None


@lru_cache(maxsize=20_000)
def split_of(name: str) -> Split | None:
    """The one split that a name speaks of; None for none or several."""
    parts = list(words(name))
    if len(parts) > 1 and parts[-1] == "val" and parts[-2] not in _EXAMPLES:
        parts.pop()  # loss_val is the value of a loss
    found = {_SPLITS[word] for word in parts if word in _SPLITS}
    return found.pop() if len(found) == 1 else None


def name_of(node: ast.AST | None) -> str:
    """What a place is called: the name, the attribute, or the constant key; '' otherwise."""
    for _ in range(4):
        if isinstance(node, ast.Call):  # x.item(), float(x), len(x)
            if isinstance(node.func, ast.Attribute) and not node.args:
                node = node.func.value
            elif isinstance(node.func, ast.Name) and node.func.id in ("float", "int", "round"):
                node = node.args[0] if node.args else None
            else:
                return ""
        else:
            break
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        key = node.slice
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            return key.value
        return name_of(node.value) if isinstance(node.value, ast.Name | ast.Attribute) else ""
    if isinstance(node, ast.Starred):
        return name_of(node.value)
    return ""


def called(node: ast.Call) -> str:
    """The last part of what is called."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in node.keywords if k.arg == name), None)


def number(node: ast.AST | None) -> float | None:
    """The value of a numeric literal, its sign included; inf and nan by their usual spellings."""
    sign = 1.0
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        sign = -sign if isinstance(node.op, ast.USub) else sign
        node = node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        if isinstance(node.value, bool):
            return None
        try:
            return sign * float(node.value)
        except OverflowError:
            return None
    if isinstance(node, ast.Call) and called(node) == "float" and len(node.args) == 1:
        text = node.args[0]
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            try:
                return sign * float(text.value)
            except ValueError:
                return None
    last = dotted(node).rpartition(".")[2] if node is not None else ""
    if last in ("inf", "Inf", "infty", "Infinity"):
        return sign * float("inf")
    return float("nan") if last in ("nan", "NaN", "NAN") and "." in dotted(node or ast.Pass()) \
        else None  # fmt: skip


def same(first: ast.AST, second: ast.AST) -> bool:
    """Whether two expressions are written alike. Does not recurse on them."""
    left = [node for node in ast.walk(first) if not isinstance(node, ast.expr_context)]
    right = [node for node in ast.walk(second) if not isinstance(node, ast.expr_context)]
    if len(left) != len(right):
        return False
    for a, b in zip(left, right, strict=True):
        if type(a) is not type(b):
            return False
        for name in ("id", "attr", "arg", "value"):
            one, two = getattr(a, name, None), getattr(b, name, None)
            if not isinstance(one, ast.AST) and one != two:
                return False
        if _filled(a) != _filled(b):
            return False  # x[:n] and x[n:]
    return True


def _filled(node: ast.AST) -> list[int]:
    """How many children each field of a node has."""
    fields = (value for name, value in ast.iter_fields(node) if name != "ctx")
    return [len(v) if isinstance(v, list) else int(isinstance(v, ast.AST)) for v in fields]


def enclosing(module: Module, node: ast.AST) -> ast.AST:
    """The innermost function around a node, or the module."""
    up = module.parents.get(node)
    while up is not None:
        if isinstance(up, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return up
        node, up = up, module.parents.get(up)
    return node


def above(module: Module, node: ast.AST) -> list[ast.AST]:
    """The nodes around a node, innermost first, up to the function or module it is in."""
    found = []
    up = module.parents.get(node)
    while up is not None:
        found.append(up)
        if isinstance(up, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            break
        up = module.parents.get(up)
    return found


def is_test_module(module: Module) -> bool:
    """Tests make up data and results by right."""
    parts = module.path.lower().split("/")
    stem = parts[-1].removesuffix(".py")
    return (
        any(part in ("tests", "testing") for part in parts[:-1])
        or (len(parts) > 1 and parts[-2] == "test")
        or stem.startswith("test_")
        or stem.endswith("_test")
        or stem == "conftest"
    )


def number_like(value: object) -> bool:
    """A number, or several."""
    if isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, int | float) and not isinstance(value, bool)
