"""Evaluation on data that was trained on, training on test data, labels given to the model."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding, Severity
from ohgw.review.metrics import (
    Split,
    above,
    called,
    enclosing,
    is_test_module,
    keyword,
    name_of,
    quantity,
    split_of,
    words,
)
from ohgw.review.project import Module, constant
from ohgw.review.tracking import trackings

_DATA = frozenset(
    "loader loaders dataloader dataset data set ds dl iter iterator batches features x y xs ys "
    "samples texts images inputs labels df frame split subset ids".split()
)
_EVALUATES = frozenset(
    "evaluate eval evaluation evaluator test validate validation score predict accuracy inference "
    "infer metrics metric loss perplexity calculate compute".split()
)
_TRAINS = frozenset("train fit finetune trainer training pretrain".split())
_FOLDS = frozenset("cross cv fold folds oob holdout knn probe search grid split".split())
_LABELS = frozenset("label labels target targets y gold truth groundtruth".split())
_GUESSES = frozenset("pred preds prediction predictions predicted yhat logits probs".split())
_EXCUSED = frozenset("oracle true gold dummy random majority upper naive last".split())
_FEATURES = frozenset("x xs inputs input features feats".split())

Found = tuple[Severity, int, str, str]


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        if is_test_module(module):
            continue
        reported: set[int] = set()
        for severity, line, message, fix in _of(module):
            if line not in reported:
                reported.add(line)
                yield check.finding(
                    severity,
                    project.at(module.path),
                    line,
                    message,
                    evidence=module.source(line),
                    fix=fix,
                )


def _of(module: Module) -> Iterator[Found]:
    for node in module.nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _assigned(module, target, node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield from _assigned(module, node.target, node.value)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                label = constant(key)
                if isinstance(label, str):
                    yield from _given(module, label, value)
        elif isinstance(node, ast.keyword) and node.arg:
            yield from _given(module, node.arg, node.value)
        elif isinstance(node, ast.Call):
            yield from _trained(module, node)
        elif isinstance(node, ast.For):
            yield from _looped(module, node)
    yield from _unused(module)
    yield from _selected(module)


def _assigned(module: Module, target: ast.expr, value: ast.expr) -> Iterator[Found]:
    if isinstance(target, ast.Tuple | ast.List):
        if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
            for one, other in zip(target.elts, value.elts, strict=True):
                yield from _given(module, name_of(one), other)
            return
        names = [name_of(element) for element in target.elts]
        splits = {split_of(name) for name in names} - {None}
        if len(splits) == 1:
            label = next(name for name in names if split_of(name))
            yield from _given(module, label, value)
        return
    yield from _given(module, name_of(target), value)
    said = set(words(name_of(target)))
    if said & _GUESSES and not said & _EXCUSED and isinstance(target, ast.Name):
        yield from _guessed(module, target.id, value)
    if (said & _FEATURES or name_of(target).lower() in ("x", "x_test")) and isinstance(
        value, ast.Call
    ):
        yield from _joined(module, name_of(target), value)


def _given(module: Module, label: str, value: ast.expr) -> Iterator[Found]:
    """Something called test or val, made of what is called train."""
    split = split_of(label)
    if split is None or split == "train":
        return
    what = "test" if split == "test" else "validation"
    plain = _is_data(label)
    if isinstance(value, ast.Name | ast.Attribute | ast.Subscript):
        source = split_of(name_of(value))
        if source == "train" and (plain or _is_data(name_of(value))):
            yield (
                "error", value.lineno,
                f"{label} is {name_of(value)}: the {what} data are the training data.",
                f"Give {label} data of its own.",
            )  # fmt: skip
        elif source == "test" and split == "val" and plain and _is_data(name_of(value)):
            yield (
                "error", value.lineno,
                f"{label} is {name_of(value)}: what is selected on it has seen the test data.",
                "Split validation data off the training data.",
            )  # fmt: skip
        return
    if not isinstance(value, ast.Call):
        return
    used = _splits_of(value)
    verbs = set(words(called(value)))
    if plain:
        yield from _loaded(module, label, what, value, used)
    elif used == {"train"} and verbs & _EVALUATES and not verbs & (_TRAINS | _FOLDS):
        if quantity(label) or set(words(label)) & {
            "metrics",
            "results",
            "score",
            "scores",
            "stats",
        }:
            yield (
                "error", value.lineno,
                f"{label} is measured on training data.",
                f"Evaluate on the {what} data.",
            )  # fmt: skip


def _is_data(label: str) -> bool:
    parts = words(label)
    return bool(parts) and (parts[-1] in _DATA or parts[0] in ("x", "y"))


def _loaded(
    module: Module, label: str, what: str, value: ast.Call, used: set[Split]
) -> Iterator[Found]:
    """Loaders and data sets: DataLoader(train_set), CIFAR10(train=True), split="train"."""
    own = set(words(called(value)))
    fix = f"Load the {what} split."
    first = value.args[0] if value.args else keyword(value, "dataset")
    source = name_of(first)
    if own & {"loader", "dataloader"} and used == {"train"} and _is_data(source):
        if split_of(source) == "train" and not any(
            keyword(value, name) for name in ("sampler", "batch_sampler")
        ):
            yield (
                "error", value.lineno,
                f"{label} loads the training data.", fix,
            )  # fmt: skip
    flag = keyword(value, "train")
    if what == "test" and constant(flag) is True:
        yield (
            "error",
            value.lineno,
            f"{label} is made with train=True: it is the training set.",
            fix,
        )
    split = keyword(value, "split")
    if constant(split) == "train" and value.args:
        for other in module.nodes:
            if (
                isinstance(other, ast.Call)
                and other is not value
                and called(other) == called(value)
                and constant(keyword(other, "split")) == "train"
                and [constant(a) for a in other.args] == [constant(a) for a in value.args]
                and ... not in [constant(a) for a in value.args]
                and split_of(_target(module, other)) == "train"
            ):
                yield "error", value.lineno, f"{label} is the split that is trained on.", fix
                return


def _target(module: Module, call: ast.Call) -> str:
    parent = module.parents.get(call)
    return name_of(parent.targets[0]) if isinstance(parent, ast.Assign) else ""


def _splits_of(call: ast.Call) -> set[Split]:
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


def _trained(module: Module, node: ast.Call) -> Iterator[Found]:
    """train(model, test_loader), model.fit(X_test, y_test), scaler.fit_transform(X_test)."""
    name = called(node)
    verbs = words(name)
    names = [(name_of(argument), argument) for argument in node.args]
    data = [(label, arg) for label, arg in names if split_of(label) and _is_data(label)]
    splits = {split_of(label) for label, _ in data}
    if not verbs or not splits or splits != {"test"}:
        return
    if any(split_of(k.arg or "") == "train" or split_of(name_of(k.value)) for k in node.keywords):
        return
    trains = verbs[0] in ("fit", "train", "finetune", "pretrain") or name.startswith("run_train")
    if not trains or set(verbs) & {"test", "eval", "split", "adapt", "evaluate"}:
        return
    receiver = set(words(name_of(getattr(node.func, "value", None))))
    scaling = "transform" in verbs or receiver & {
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


def _looped(module: Module, node: ast.For) -> Iterator[Found]:
    """`def evaluate(self): for batch in self.train_loader`."""
    function = enclosing(module, node)
    verbs = set(words(getattr(function, "name", "")))
    if not verbs & {"evaluate", "eval", "test", "validate"} or verbs & (_TRAINS | _FOLDS):
        return
    source = node.iter
    while isinstance(source, ast.Call) and source.args:
        source = source.args[0]
    label = name_of(source)
    if split_of(label) == "train" and set(words(label)) & {
        "loader",
        "dataloader",
        "dl",
        "iterator",
    }:
        taken = {a.arg for a in ast.walk(function) if isinstance(a, ast.arg)}
        if label not in taken and not any(isinstance(n, ast.For) for n in above(module, node)):
            yield (
                "error", source.lineno,
                f"{getattr(function, 'name', '')} goes through {label}: it evaluates on training "
                "data.",
                "Go through held-out data.",
            )  # fmt: skip


def _unused(module: Module) -> Iterator[Found]:
    """A test loader that nothing reads, beside an evaluation on the training loader."""
    read = {n.id for n in module.nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    idle: dict[ast.AST, str] = {}
    for node in module.nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            if split_of(node.id) in ("test", "val") and _is_data(node.id) and node.id not in read:
                idle.setdefault(enclosing(module, node), node.id)
    for node in module.nodes if idle else ():
        if not isinstance(node, ast.Call):
            continue
        verbs = set(words(called(node)))
        scope = enclosing(module, node)
        if scope in idle and verbs & {"evaluate", "eval", "test", "validate", "score"}:
            loaders = [label for label in map(name_of, node.args) if _is_data(label)]
            if verbs & _TRAINS or not loaders or {split_of(x) for x in loaders} != {"train"}:
                continue
            if split_of(_target(module, node)) != "train":
                yield (
                    "error", node.lineno,
                    f"{called(node)} is given {loaders[0]}, and nothing reads {idle[scope]}.",
                    f"Evaluate on {idle[scope]}.",
                )  # fmt: skip


def _guessed(module: Module, label: str, value: ast.expr) -> Iterator[Found]:
    """Predictions that are the labels."""
    if isinstance(value, ast.Constant | ast.List | ast.Dict | ast.Tuple | ast.ListComp):
        return
    names = [n.id for n in ast.walk(value) if isinstance(n, ast.Name)]
    functions = {n.func.id for n in ast.walk(value) if isinstance(n, ast.Call)
                 and isinstance(n.func, ast.Name)}  # fmt: skip
    modules = {"np", "torch", "F", "tf", "jnp", "pd", "numpy"}
    data = [name for name in names if name not in functions | modules]
    strings = [
        n for n in ast.walk(value) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    ]
    if not data or strings or any(not _is_label(name) for name in data):
        return
    if any(isinstance(n, ast.Compare | ast.Attribute) and not _plain_method(n)
           for n in ast.walk(value)):  # fmt: skip
        return
    yield (
        "error", value.lineno,
        f"{label} is made of {data[0]} alone: the predictions are the labels.",
        "Predict with the model.",
    )  # fmt: skip


def _plain_method(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in (
        "copy", "clone", "one_hot", "float", "long", "detach", "cpu", "numpy", "eye", "array",
        "asarray", "tensor", "functional", "nn", "view", "to", "int",
    )  # fmt: skip


def _is_label(name: str) -> bool:
    parts = set(words(name))
    return bool(parts & _LABELS) and not parts & (_GUESSES | {"scores", "hat"})


def _joined(module: Module, label: str, value: ast.Call) -> Iterator[Found]:
    """Labels among the features of what is scored."""
    if called(value) not in ("cat", "concat", "concatenate", "hstack", "column_stack", "c_"):
        return
    first = value.args[0] if value.args else None
    parts = first.elts if isinstance(first, ast.List | ast.Tuple) else []
    names = [name for part in parts for name in _roots(part)]
    if any(_is_label(name) for name in names) and any(not _is_label(name) for name in names):
        function = enclosing(module, value)
        scored = split_of(label) == "test" or any(
            (quantity(name_of(n)) or ("", False))[0] in ("accuracy", "AUC", "F1")
            for n in ast.walk(function)
            if isinstance(n, ast.Name)
        )
        if scored:
            guilty = next(name for name in names if _is_label(name))
            yield (
                "error", value.lineno,
                f"{label} is given {guilty}: the labels are among the inputs of what is scored.",
                "Take the labels out of the inputs.",
            )  # fmt: skip


def _roots(node: ast.AST) -> list[str]:
    return [n.id for n in ast.walk(node)
            if isinstance(n, ast.Name) and n.id not in ("np", "torch", "F", "None")]  # fmt: skip


def _selected(module: Module) -> Iterator[Found]:
    """The best epoch or model chosen by a test score."""
    for tracking in trackings(module):
        if tracking.keeps and split_of(name_of(tracking.value)) == "test" and tracking.name:
            yield (
                "warning", tracking.line,
                f"{name_of(tracking.value)} decides what is kept: the choice has seen test data.",
                "Choose by validation data and test once.",
            )  # fmt: skip


CHECK = Check("test-leak", "Evaluation Validity", "metrics valid", _run)
