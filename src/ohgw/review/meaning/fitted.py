"""What is fitted on data that it should not see, and the names by which data are known."""

import ast
from collections.abc import Iterator

from ohgw.review.findings import Severity
from ohgw.review.meaning.metrics import Split, called, enclosing, name_of, split_of, words
from ohgw.review.project import Module

_DATA = frozenset(
    "loader loaders dataloader dataset data set ds dl iter iterator batches features x y xs ys "
    "samples texts images inputs labels df frame split subset ids idx indices index rows mask "
    "dataloaders loaders".split()
)

Found = tuple[Severity, int, str, str]  # severity, line, message, fix


def is_data(label: str) -> bool:
    parts = words(label)
    return bool(parts) and (parts[-1] in _DATA or parts[0] in ("x", "y"))


def splits_of(call: ast.Call) -> set[Split]:
    """The splits that the arguments of a call speak of."""
    found: set[Split] = set()
    pending: list[ast.AST] = [*call.args, *(k.value for k in call.keywords)]
    if isinstance(call.func, ast.Attribute):
        pending.append(call.func.value)
    for k in call.keywords:
        if k.arg and split_of(k.arg):
            found.add(split_of(k.arg))  # type: ignore[arg-type]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            split = split_of(node.value) if len(node.value) < 30 else None
        else:
            split = split_of(name_of(node)) if not isinstance(node, ast.Call) else None
        if split:
            found.add(split)
        pending += ast.iter_child_nodes(node)
    return found


def learnt(module: Module, node: ast.Call) -> Iterator[Found]:
    """train(model, test_loader), model.fit(X_test, y_test), scaler.fit_transform(X_test)."""
    name = called(node)
    verbs = words(name)
    receiver = words(name_of(getattr(node.func, "value", None)))
    if name in ("test", "validate") and "trainer" in receiver:
        if splits_of(node) == {"train"} and not _is_one_of_several(module, node):
            yield (
                "error",
                node.lineno,
                f"{name} is given the training data.",
                "Give it held-out data.",
            )
        return
    names = [(name_of(argument), argument) for argument in node.args]
    data = [(label, arg) for label, arg in names if split_of(label) and is_data(label)]
    splits = {split_of(label) for label, _ in data}
    if not verbs or not splits or splits != {"test"}:
        return
    if any(split_of(k.arg or "") == "train" or split_of(name_of(k.value)) for k in node.keywords):
        return
    trains = verbs[0] in ("fit", "train", "finetune", "pretrain") or name.startswith("run_train")
    if not trains or set(verbs) & {"test", "eval", "split", "adapt", "evaluate"}:
        return
    scaling = "transform" in verbs or set(receiver) & {
        "scaler", "encoder", "vectorizer", "pca", "tfidf", "imputer", "adaptor", "tsne", "reducer",
    }  # fmt: skip
    around = set(words(getattr(enclosing(module, node), "name", "")))
    if around & {"adapt", "adaptation", "tta", "transductive"}:
        return
    yield (
        "warning" if scaling else "error", node.lineno,
        f"{name} is given {data[0][0]}: it learns from the test data.",
        "Fit on the training data alone.",
    )  # fmt: skip


def _is_one_of_several(module: Module, node: ast.Call) -> bool:
    """Whether the result is called that of training data, or others are tested beside it."""
    parent = module.parents.get(node)
    while isinstance(parent, ast.Subscript):
        parent = module.parents.get(parent)
    if isinstance(parent, ast.Assign) and split_of(name_of(parent.targets[0])) == "train":
        return True
    return any(
        isinstance(other, ast.Call)
        and called(other) == called(node)
        and splits_of(other) - {"train"}
        for other in ast.walk(enclosing(module, node))
    )


def refitted(module: Module, node: ast.Assign) -> Iterator[Found]:
    """`x_train, x_test, ... = train_test_split(x, y)`, and then `fit(x, y)`."""
    call, target = node.value, node.targets[0]
    if not isinstance(call, ast.Call) or called(call) != "train_test_split":
        return
    if not isinstance(target, ast.Tuple) or len(target.elts) != 2 * len(call.args):
        return
    names = [name_of(element) for element in target.elts]
    splits = [split_of(name) for name in names]
    if len(names) == 4 and splits[1] == "train" and splits[2] in ("test", "val"):
        yield (
            "error", node.lineno,
            f"train_test_split gives the parts of its first argument first: {names[1]} is no part "
            "of the second one.",
            "Unpack into x_train, x_test, y_train, y_test.",
        )  # fmt: skip
    scope = enclosing(module, node)
    whole = [name_of(argument) for argument in call.args]
    held_out = {name for name, split in zip(names, splits, strict=True) if split == "test"}
    for later in ast.walk(scope):
        if not isinstance(later, ast.Call) or called(later) != "fit" or later.lineno < node.lineno:
            continue
        given = [name_of(argument) for argument in later.args]
        if len(whole) < 2 or given != whole or not all(isinstance(a, ast.Name) for a in later.args):
            continue
        if any(
            isinstance(n, ast.Name) and n.id in held_out and n.lineno > later.lineno
            for n in ast.walk(scope)
        ):
            yield (
                "error", later.lineno,
                f"fit is given {given[0]}, of which {min(held_out)} is a part: it learns from the "
                "test data.",
                "Fit on the training data alone.",
            )  # fmt: skip
