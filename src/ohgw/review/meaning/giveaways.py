"""Labels given away: among the inputs of what is fitted or scored, or in place of predictions."""

import ast
from collections.abc import Iterator

from ohgw.review.meaning.metrics import above, called, enclosing, name_of, quantity, split_of, words
from ohgw.review.project import Module, constant

_LABELS = frozenset("label labels target targets y gold truth groundtruth".split())
_GUESSES = frozenset("pred preds prediction predictions predicted yhat logits probs".split())
_EXCUSED = frozenset("oracle true gold dummy random majority upper naive last".split())
_FEATURES = frozenset("x xs inputs input features feats".split())
_BATCHES = frozenset("batch example examples sample row item".split())
_JOINS = frozenset("cat concat concatenate hstack column_stack c_ insert append".split())
# What takes inputs and the labels that belong to them.
_SUPERVISES = frozenset(
    "train_test_split fit fit_transform TensorDataset cross_val_score cross_validate score "
    "GridSearchCV Pool DMatrix partial_fit".split()
)

Found = tuple[int, str, str]


def giveaways(module: Module) -> Iterator[Found]:
    """(line, message, fix) of one module."""
    for node in module.nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _assigned(module, target, node.value)
    yield from _undropped(module)


def _assigned(module: Module, target: ast.expr, value: ast.expr) -> Iterator[Found]:
    said = set(words(name_of(target)))
    if said & _GUESSES and not said & _EXCUSED and isinstance(target, ast.Name):
        yield from _guessed(module, target.id, value)
    if said & _FEATURES:
        yield from _joined(module, name_of(target), value)


def _guessed(module: Module, label: str, value: ast.expr) -> Iterator[Found]:
    """Predictions that are the labels."""
    if isinstance(value, ast.Constant | ast.List | ast.Dict | ast.Tuple | ast.ListComp):
        return
    column = _core(value)
    if isinstance(column, ast.Subscript) and name_of(column.value) in _BATCHES:
        if _is_label(str(constant(column.slice))):
            yield (
                value.lineno,
                f"{label} is {ast.unparse(column)}: the predictions are the labels.",
                "Predict with the model.",
            )
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
    if any(
        isinstance(up, ast.For) and isinstance(up.target, ast.Name) and up.target.id in data
        for up in above(module, value)
    ):
        return  # one of the labels there are, looked for in what a model said
    if any(isinstance(n, ast.Compare | ast.Attribute) and not _plain_method(n)
           for n in ast.walk(value)):  # fmt: skip
        return
    yield (
        value.lineno,
        f"{label} is made of {data[0]} alone: the predictions are the labels.",
        "Predict with the model.",
    )  # fmt: skip


def _core(value: ast.expr) -> ast.expr:
    """`batch["label"]` of `batch["label"].to(device)`."""
    for _ in range(4):
        if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Attribute):
            break
        if not _plain_method(value.func):
            break
        value = value.func.value
    return value


def _plain_method(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in (
        "copy", "clone", "one_hot", "float", "long", "detach", "cpu", "numpy", "eye", "array",
        "asarray", "tensor", "functional", "nn", "view", "to", "int",
    )  # fmt: skip


def _is_label(name: str) -> bool:
    parts = set(words(name))
    return bool(parts & _LABELS) and not parts & (_GUESSES | {"scores", "hat"})


def _joined(module: Module, label: str, value: ast.expr) -> Iterator[Found]:
    """Labels among the features of what is fitted or scored."""
    if isinstance(value, ast.Call) and called(value) in _JOINS:
        first = value.args[0] if value.args else None
        parts = first.elts if isinstance(first, ast.List | ast.Tuple) else list(value.args)
    elif isinstance(value, ast.Subscript) and name_of(value.value) == "c_":
        parts = value.slice.elts if isinstance(value.slice, ast.Tuple) else []
    else:
        return
    names = [name for part in parts for name in _roots(part)]
    guilty = [name for name in names if _is_label(name)]
    if not guilty or all(_is_label(name) for name in names):
        return
    function = enclosing(module, value)
    scored = isinstance(value, ast.Call) and (
        split_of(label) == "test"
        or any(
            (quantity(name_of(n)) or ("", False))[0] in ("accuracy", "AUC", "F1")
            for n in ast.walk(function)
            if isinstance(n, ast.Name)
        )
    )
    if scored or _are_supervised(function, label, guilty[0], value.lineno):
        yield (
            value.lineno,
            f"{label} is given {guilty[0]}: the labels are among the inputs of what is scored.",
            "Take the labels out of the inputs.",
        )


def _are_supervised(function: ast.AST, inputs: str, labels: str, line: int) -> bool:
    """Whether the same labels are then what is to be predicted from the inputs."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and called(node) in _SUPERVISES and node.lineno > line:
            given = [n.id for a in (*node.args, *(k.value for k in node.keywords))
                     for n in (a,) if isinstance(n, ast.Name)]  # fmt: skip
            if inputs in given and labels in given:
                return True
    return False


def _undropped(module: Module) -> Iterator[Found]:
    """`x, y = frame, frame["label"]` where nothing drops the column."""
    whole: dict[tuple[ast.AST, str], tuple[str, int]] = {}
    columns: dict[tuple[ast.AST, str], tuple[str, str]] = {}
    for node in module.nodes:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        pairs = [(node.targets[0], node.value)]
        if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(node.targets[0].elts, node.value.elts, strict=False))
        scope = enclosing(module, node)
        for target, value in pairs:
            if not isinstance(target, ast.Name):
                continue
            value = _plain(value)
            if isinstance(value, ast.Name) and set(words(target.id)) & _FEATURES:
                whole[scope, value.id] = (target.id, node.lineno)
            elif isinstance(value, ast.Subscript) and isinstance(value.value, ast.Name):
                if _is_label(target.id) and isinstance(constant(value.slice), str):
                    columns[scope, value.value.id] = (target.id, ast.unparse(value))
    for key, (inputs, line) in whole.items():
        if key not in columns or _drops(key[0]):
            continue
        labels, column = columns[key]
        if _are_supervised(key[0], inputs, labels, line):
            yield (
                line,
                f"{inputs} is all of {key[1]}, and {labels} is {column}: the labels are among the "
                "inputs.",
                "Drop the column of the labels.",
            )


def _plain(value: ast.expr) -> ast.expr:
    """`frame` of `frame.values` and `frame.to_numpy()`."""
    for _ in range(4):
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
            if value.func.attr not in ("to_numpy", "copy", "astype"):
                break
            value = value.func.value
        elif isinstance(value, ast.Attribute) and value.attr == "values":
            value = value.value
        else:
            break
    return value


def _drops(function: ast.AST) -> bool:
    """Whether columns of a frame are dropped, popped or deleted."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and called(node) in ("drop", "pop"):
            return True
        if isinstance(node, ast.Delete) or (isinstance(node, ast.Name) and node.id == "features"):
            return True
    return False


def _roots(node: ast.AST) -> list[str]:
    return [n.id for n in ast.walk(node)
            if isinstance(n, ast.Name) and n.id not in ("np", "torch", "F", "None")]  # fmt: skip
