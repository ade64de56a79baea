"""Evaluation on data that was trained on, training on test data, labels given to the model."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.meaning.fitted import Found, is_data, learnt, refitted, splits_of
from ohgw.review.meaning.giveaways import giveaways
from ohgw.review.meaning.metrics import (
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
from ohgw.review.meaning.tracking import trackings
from ohgw.review.project import Module, constant

_EVALUATES = frozenset(
    "evaluate eval evaluation evaluator test validate validation score predict accuracy inference "
    "infer metrics metric loss perplexity calculate compute".split()
)
_RESULTS = frozenset("metrics results result score scores stats".split())
_TRAINS = frozenset("train fit finetune trainer training pretrain".split())
_FOLDS = frozenset("cross cv fold folds oob holdout knn probe search grid split".split())
_WRAPPERS = frozenset("TensorDataset Subset DataLoader ConcatDataset DMatrix Pool".split())
_CASTS = frozenset("from_numpy tensor as_tensor float long".split())


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
            yield from refitted(module, node)
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
            yield from learnt(module, node)
        elif isinstance(node, ast.For):
            yield from _looped(module, node)
        elif isinstance(node, ast.Return) and node.value is not None:
            yield from _provided(module, node)
    yield from _unused(module)
    yield from _selected(module)
    for line, message, fix in giveaways(module):
        yield "error", line, message, fix


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


def _given(module: Module, label: str, value: ast.expr) -> Iterator[Found]:
    """Something called test or val, made of what is called train."""
    split = split_of(label)
    if split is None or split == "train":
        return
    what = "test" if split == "test" else "validation"
    plain = is_data(label)
    if isinstance(value, ast.Tuple) and value.elts and plain:
        names = [name_of(element) for element in value.elts]
        if all(split_of(name) == "train" and is_data(name) for name in names):
            yield (
                "error", value.lineno,
                f"{label} is {', '.join(names)}: the {what} data are the training data.",
                f"Give {label} data of its own.",
            )  # fmt: skip
    if isinstance(value, ast.Name | ast.Attribute | ast.Subscript):
        source = split_of(name_of(value))
        if source == "train" and (plain or is_data(name_of(value))):
            yield (
                "error", value.lineno,
                f"{label} is {name_of(value)}: the {what} data are the training data.",
                f"Give {label} data of its own.",
            )  # fmt: skip
        elif source == "test" and split == "val" and plain and is_data(name_of(value)):
            yield (
                "error", value.lineno,
                f"{label} is {name_of(value)}: what is selected on it has seen the test data.",
                "Split validation data off the training data.",
            )  # fmt: skip
        return
    if not isinstance(value, ast.Call):
        if isinstance(value, ast.BinOp | ast.Compare) and quantity(label):
            yield from _measured(label, what, value)
        return
    used = splits_of(value)
    verbs = set(words(called(value)))
    measures = quantity(label) or set(words(label)) & _RESULTS or _is_split_alone(label)
    if plain:
        yield from _loaded(module, label, what, value, used)
    elif used == {"train"} and verbs & _EVALUATES and not verbs & (_TRAINS | _FOLDS):
        if measures:
            yield (
                "error", value.lineno,
                f"{label} is measured on training data.",
                f"Evaluate on the {what} data.",
            )  # fmt: skip
    elif quantity(label):
        yield from _measured(label, what, value)


def _measured(label: str, what: str, value: ast.expr) -> Iterator[Found]:
    """`test_accuracy = np.mean(model.predict(x_train) == y_train)`."""
    said, data, verbs = set(), False, set()
    for node in ast.walk(value):
        name = name_of(node) if isinstance(node, ast.Name | ast.Attribute) else ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value if len(node.value) < 30 else ""
        if split := split_of(name):
            said.add(split)
            data = data or is_data(name)
        if isinstance(node, ast.Call):
            verbs |= set(words(called(node)))
    if data and said == {"train"} and verbs and not verbs & (_TRAINS | _FOLDS | {"step", "split"}):
        yield (
            "error", value.lineno,
            f"{label} is measured on training data.",
            f"Evaluate on the {what} data.",
        )  # fmt: skip


def _is_split_alone(label: str) -> bool:
    """`test = evaluate(...)`: what it is, is said by the call."""
    return all(split_of(word) for word in words(label))


def _loaded(
    module: Module, label: str, what: str, value: ast.Call, used: set[Split]
) -> Iterator[Found]:
    """Loaders and data sets: DataLoader(train_set), CIFAR10(train=True), split="train"."""
    own = set(words(called(value)))
    fix = f"Load the {what} split."
    first = value.args[0] if value.args else keyword(value, "dataset")
    source = name_of(first)
    if own & {"loader", "dataloader"} and used == {"train"} and is_data(source):
        if split_of(source) == "train" and not any(
            keyword(value, name) for name in ("sampler", "batch_sampler")
        ):
            yield (
                "error", value.lineno,
                f"{label} loads the training data.", fix,
            )  # fmt: skip
    elif called(value) in _WRAPPERS and used == {"train"} and _is_of_training(value):
        yield "error", value.lineno, f"{label} is made of the training data.", fix
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


def _is_of_training(value: ast.Call) -> bool:
    """Whether everything that a data set is made of says so; a neutral index may choose others."""
    pending = list(value.args[:1] if called(value) == "DataLoader" else value.args)
    if called(value) == "Subset" and len(pending) == 2:
        return split_of(name_of(pending[1])) == "train"
    for node in pending:
        if isinstance(node, ast.Call):
            if called(node) not in _WRAPPERS | {
                "from_numpy",
                "tensor",
                "as_tensor",
                "float",
                "long",
            }:
                return False
            pending += [*node.args, *_receiver(node)]
        elif split_of(name_of(node)) != "train" or isinstance(node, ast.Subscript):
            return False
        elif not is_data(name_of(node)):
            return False
    return bool(pending)


def _receiver(node: ast.Call) -> list[ast.expr]:
    """`x.float()` is about x, `torch.tensor(x)` is not about torch."""
    return [node.func.value] if isinstance(node.func, ast.Attribute) and not node.args else []


def _provided(module: Module, node: ast.Return) -> Iterator[Found]:
    """`def test_dataloader(self): return DataLoader(self.train_set)`."""
    name = getattr(enclosing(module, node), "name", "")
    if node.value is not None and words(name)[-1:] in (("dataloader",), ("dataset",), ("loader",)):
        yield from _given(module, name, node.value)


def _target(module: Module, call: ast.Call) -> str:
    parent = module.parents.get(call)
    return name_of(parent.targets[0]) if isinstance(parent, ast.Assign) else ""


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
            if split_of(node.id) in ("test", "val") and is_data(node.id) and node.id not in read:
                idle.setdefault(enclosing(module, node), node.id)
    for node in module.nodes if idle else ():
        if not isinstance(node, ast.Call):
            continue
        verbs = set(words(called(node)))
        scope = enclosing(module, node)
        if scope in idle and verbs & {"evaluate", "eval", "test", "validate", "score"}:
            loaders = [label for label in map(name_of, node.args) if is_data(label)]
            if verbs & _TRAINS or not loaders or {split_of(x) for x in loaders} != {"train"}:
                continue
            if split_of(_target(module, node)) != "train":
                yield (
                    "error", node.lineno,
                    f"{called(node)} is given {loaders[0]}, and nothing reads {idle[scope]}.",
                    f"Evaluate on {idle[scope]}.",
                )  # fmt: skip


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
