"""What counts as the same code: benign edits stay clean, removals are found at their place."""

import ast
from itertools import combinations

import pytest

from ohgw.review.checks import (
    Context,
    placeholder,
    removed_file,
    removed_symbol,
    shortened_body,
    stub,
)
from ohgw.review.preservation import compare
from ohgw.review.project import Project
from ohgw.review.tree import from_mapping

CHECKS = [
    module.CHECK for module in (placeholder, removed_file, removed_symbol, shortened_body, stub)
]

TRAIN = '''
"""Training of small classifiers."""

import argparse
import json
from pathlib import Path

import torch
from torch import nn

from src.model import build


def set_seed(seed: int) -> None:
    """The same numbers every time."""
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)
    torch.backends.cudnn.deterministic = True


def make_optimizer(name: str, values, lr: float):
    if name == "sgd":
        return torch.optim.SGD(values, lr=lr, momentum=0.9)
    elif name == "adam":
        return torch.optim.Adam(values, lr=lr, betas=(0.9, 0.99))
    elif name == "rmsprop":
        return torch.optim.RMSprop(values, lr=lr, alpha=0.95)
    else:
        raise ValueError(f"unknown optimizer {name}")


def accuracy(output: torch.Tensor, target: torch.Tensor) -> float:
    best = output.argmax(dim=1)
    right = best.eq(target).sum().item()
    return right / target.size(0)


def train_epoch(model, loader, optimizer, device):
    model.train()
    total, right = 0.0, 0.0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        optimizer.zero_grad()
        output = model(x)
        loss = nn.functional.cross_entropy(output, y)
        loss.backward()
        optimizer.step()
        total += loss.item() * x.size(0)
        right += accuracy(output, y) * x.size(0)
    return total / len(loader.dataset), right / len(loader.dataset)


def run(cfg: dict, loader, path: Path, smoke_test: bool) -> dict:
    set_seed(cfg["seed"])
    epochs = min(2, cfg["epochs"]) if smoke_test else cfg["epochs"]
    model = build(cfg["model"], cfg["classes"])
    optimizer = make_optimizer(cfg["optimizer"], model.parameters(), cfg["lr"])
    history = []
    for epoch in range(epochs):
        loss, score = train_epoch(model, loader, optimizer, "cpu")
        history.append({"epoch": epoch, "loss": loss, "accuracy": score})
    results = {"history": history, "best": max(row["accuracy"] for row in history)}
    path.mkdir(parents=True, exist_ok=True)
    (path / "results.json").write_text(json.dumps(results, indent=2))
    torch.save(model.state_dict(), path / "model.pt")
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--smoke-test", action="store_true")
    args = parser.parse_args()
    run(json.loads(args.config.read_text()), [], Path("results"), args.smoke_test)
'''

MODEL = '''
"""Models by name."""

from torch import nn


class Perceptron(nn.Module):
    """Two layers."""

    def __init__(self, classes: int, width: int = 64):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(32, width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, x):
        return self.net(x.flatten(1))


class Convolution(nn.Module):
    """One layer of filters."""

    def __init__(self, classes: int):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, kernel_size=3, padding=1), nn.ReLU())
        self.head = nn.Linear(16, classes)

    def forward(self, x):
        return self.head(self.features(x).mean(dim=(2, 3)))


def build(name: str, classes: int) -> nn.Module:
    """A model."""
    if name == "perceptron":
        return Perceptron(classes)
    if name == "convolution":
        return Convolution(classes)
    raise ValueError(name)
'''

EVALUATE = '''
"""Comparison of finished runs."""

import json
from pathlib import Path

import numpy as np


def load(root: Path) -> list[dict]:
    found = []
    for folder in sorted(root.iterdir()):
        file = folder / "results.json"
        if file.exists():
            found.append(json.loads(file.read_text()))
    return found


def calibration_error(scores, labels, bins: int = 10) -> float:
    confidence = scores.max(axis=1)
    right = scores.argmax(axis=1) == labels
    total = 0.0
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if inside.any():
            total += abs(right[inside].mean() - confidence[inside].mean()) * inside.mean()
    return float(total)


def summary(runs: list[dict]) -> dict:
    best = np.array([run["best"] for run in runs])
    return {"mean": float(best.mean()), "std": float(best.std(ddof=1)), "count": len(best)}
'''

BASE = {"src/train.py": TRAIN, "src/model.py": MODEL, "src/evaluate.py": EVALUATE}
PATHS = sorted(BASE)
RENAMED = {
    "set_seed": "fix_seed",
    "accuracy": "hit_rate",
    "train_epoch": "one_pass",
    "load": "read_runs",
    "calibration_error": "expected_error",
    "Perceptron": "TwoLayers",
    "build": "create_model",
}


def project(label, files):
    return Project(from_mapping(label, label, files))


def findings(files, base=BASE):
    context = Context(project("derived", files), project("base", base))
    return [finding for check in CHECKS for finding in check.run(check, context)]


def trees(files):
    return {path: ast.parse(text) for path, text in files.items()}


def written(modules):
    return {path: ast.unparse(ast.fix_missing_locations(tree)) for path, tree in modules.items()}


def definitions(modules):
    for tree in modules.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                yield node


# Benign edits: of all files, by one rule.


def reformatted(files):
    return written(trees(files))


def consistently_renamed(files):
    modules = trees(files)
    for tree in modules.values():
        for node in ast.walk(tree):
            for name in ("id", "name"):
                if getattr(node, name, None) in RENAMED:
                    setattr(node, name, RENAMED[getattr(node, name)])
    return written(modules)


def with_other_locals(files):
    modules = trees(files)
    for function in definitions(modules):
        own = {
            n.id
            for n in ast.walk(function)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in own:
                node.id = f"the_{node.id}"
    return written(modules)


def with_other_docstrings(files):
    modules = trees(files)
    for function in definitions(modules):
        if ast.get_docstring(function) is None:
            function.body.insert(0, ast.Expr(ast.Constant("Says what it does.")))
        elif len(function.body) > 1:
            del function.body[0]
    return written(modules)


def without_hints(files):
    modules = trees(files)
    for function in definitions(modules):
        function.returns = None
        for argument in function.args.args:
            argument.annotation = None
    return written(modules)


def with_hints(files):
    modules = trees(files)
    for function in definitions(modules):
        function.returns = function.returns or ast.Name("object")
        for argument in function.args.args:
            argument.annotation = argument.annotation or ast.Name("object")
    return written(modules)


def reordered(files):
    modules = trees(files)
    for tree in modules.values():
        places = [k for k, node in enumerate(tree.body) if isinstance(node, ast.FunctionDef)]
        functions = [tree.body[k] for k in reversed(places)]
        for k, node in zip(places, functions, strict=True):
            tree.body[k] = node
    return written(modules)


def moved_with_reexport(files):
    modules = trees(files)
    tree = modules["src/evaluate.py"]
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    modules["src/figures.py"] = ast.Module([*imports, *functions], [])
    names = [ast.alias(n.name) for n in functions]
    tree.body = [ast.ImportFrom("src.figures", names, 0)]
    return written(modules)


def split_in_two(files):
    modules = trees(files)
    tree = modules["src/train.py"]
    (function,) = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "run"]
    k = next(k for k, n in enumerate(function.body) if isinstance(n, ast.For)) + 1
    before = {n.id for s in function.body[:k] for n in ast.walk(s) if isinstance(n, ast.Name)}
    after = {n.id for s in function.body[k:] for n in ast.walk(s) if isinstance(n, ast.Name)}
    inputs = sorted(after & (before | {a.arg for a in function.args.args}))
    arguments = ast.arguments([], [ast.arg(name) for name in inputs], None, [], [], None, [])
    helper = ast.FunctionDef("finish", arguments, function.body[k:], [])
    call = ast.Call(ast.Name("finish"), [ast.Name(name) for name in inputs], [])
    function.body[k:] = [ast.Return(call)]
    tree.body.insert(tree.body.index(function), helper)
    return written(modules)


def chain_to_registry(files):
    tree = trees(files)["src/train.py"]
    (function,) = [
        n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "make_optimizer"
    ]
    registry = ast.parse(
        "OPTIMIZERS = {\n"
        '    "sgd": lambda v, lr: torch.optim.SGD(v, lr=lr, momentum=0.9),\n'
        '    "adam": lambda v, lr: torch.optim.Adam(v, lr=lr, betas=(0.9, 0.99)),\n'
        '    "rmsprop": lambda v, lr: torch.optim.RMSprop(v, lr=lr, alpha=0.95),\n'
        "}\n"
        "def make_optimizer(name, values, lr):\n"
        "    return OPTIMIZERS[name](values, lr)\n"
    )
    position = tree.body.index(function)
    tree.body[position : position + 1] = registry.body
    return {**files, **written({"src/train.py": tree})}


def vectorised(files):
    start = files["src/evaluate.py"].index("def calibration_error")
    end = files["src/evaluate.py"].index("def summary")
    text = (
        "def calibration_error(scores, labels, bins=10):\n"
        "    confidence = scores.max(axis=1)\n"
        "    right = scores.argmax(axis=1) == labels\n"
        "    place = np.ceil(confidence * bins).astype(int)\n"
        "    gaps = np.bincount(place, weights=right - confidence, minlength=bins + 1)\n"
        "    return float(np.abs(gaps).sum() / len(labels))\n\n\n"
    )
    return {
        **files,
        "src/evaluate.py": files["src/evaluate.py"][:start] + text + files["src/evaluate.py"][end:],
    }


EDITS = [
    reformatted,
    consistently_renamed,
    with_other_locals,
    with_other_docstrings,
    without_hints,
    with_hints,
    reordered,
    moved_with_reexport,
    split_in_two,
    chain_to_registry,
]


@pytest.mark.parametrize("edit", [*EDITS, vectorised], ids=lambda edit: edit.__name__)
def test_benign_edit_is_clean(edit):
    assert findings(edit(BASE)) == []


@pytest.mark.parametrize(
    "edits", list(combinations(EDITS, 2)), ids=lambda pair: "-".join(e.__name__ for e in pair)
)
def test_two_benign_edits_are_clean(edits):
    first, second = edits
    assert findings(second(first(BASE))) == []


def test_all_benign_edits_at_once_lose_nothing():
    files = BASE
    for edit in EDITS:
        files = edit(files)
    assert [finding for finding in findings(files) if finding.severity == "error"] == []


def test_fates_name_what_became_of_each_piece():
    files = moved_with_reexport(consistently_renamed(BASE))
    fates = compare(project("base", BASE), project("derived", files)).fates
    assert {fate.old.name: (fate.kind, fate.new.name) for fate in fates if fate.new} == {
        fate.old.name: (
            "moved" if fate.old.name == "summary" else
            "renamed" if fate.old.name in RENAMED else
            "moved" if fate.old.owner in RENAMED else "kept",
            ".".join(RENAMED.get(part, part) for part in fate.old.name.split(".")),
        )
        for fate in fates
    }  # fmt: skip


# Removals: each is an error at the right place.


def functions_of(path):
    for node in ast.walk(ast.parse(BASE[path])):
        if isinstance(node, ast.FunctionDef):
            yield node


FUNCTIONS = [(path, node.name, node.lineno) for path in PATHS for node in functions_of(path)]
TOP = [
    (path, node.name, node.lineno)
    for path in PATHS
    for node in ast.parse(BASE[path]).body
    if isinstance(node, ast.FunctionDef)
]


def changed(path, line, change):
    """BASE with one function changed; other lines keep their numbers."""
    tree = ast.parse(BASE[path])
    (node,) = [n for n in ast.walk(tree) if getattr(n, "lineno", 0) == line and is_function(n)]
    change(tree, node)
    return {**BASE, **written({path: tree})}


def is_function(node):
    return isinstance(node, ast.FunctionDef)


def errors_at(files, path, line):
    """Errors that point at a place of the base."""
    return [
        finding
        for finding in findings(files)
        if finding.severity == "error" and (f"base/{path}", line) in finding.places
    ]


@pytest.mark.parametrize(("path", "name", "line"), FUNCTIONS)
@pytest.mark.parametrize("body", ["pass", "...", "raise NotImplementedError", "return None"])
def test_emptied_body_is_found(path, name, line, body):
    def empty(tree, node):
        node.body = ast.parse(f"def f():\n    {body}").body[0].body

    assert errors_at(changed(path, line, empty), path, line)


@pytest.mark.parametrize(("path", "name", "line"), TOP)
def test_removed_function_is_found(path, name, line):
    def remove(tree, node):
        tree.body.remove(node)

    found = [f for f in findings(changed(path, line, remove)) if f.id == "removed-symbol"]
    assert (f"base/{path}", line) in {place for finding in found for place in finding.places}
    used = name in ("set_seed", "make_optimizer", "accuracy", "train_epoch", "run", "build")
    assert {finding.severity for finding in found} == ({"error"} if used else {"warning"})


@pytest.mark.parametrize(("path", "name", "line"), FUNCTIONS)
def test_truncated_function_is_found(path, name, line):
    def cut(tree, node):
        node.body = node.body[: max(1, len(node.body) - 1)]

    before = BASE[path]
    files = changed(path, line, cut)
    if files[path] == written({path: ast.parse(before)})[path]:
        return  # one statement: there is nothing to cut
    assert [f.id for f in findings(files) if f.severity == "error"]


def test_truncated_file_is_found():
    for path in PATHS:
        tree = ast.parse(BASE[path])
        tree.body = tree.body[:-1]
        assert findings({**BASE, **written({path: tree})}), path


@pytest.mark.parametrize("value", ["sgd", "adam", "rmsprop", "perceptron", "convolution"])
def test_removed_branch_is_found(value):
    path = "src/train.py" if f'"{value}"' in TRAIN else "src/model.py"
    lines = BASE[path].splitlines()
    start = next(k for k, text in enumerate(lines) if f'name == "{value}"' in text)
    rest = lines[:start] + lines[start + 2 :]
    text = "\n".join(rest).replace(
        "lr: float):\n    elif", "lr: float):\n    if"
    )  # the next branch becomes the first
    assert errors_at({**BASE, path: text}, path, start + 1)


def test_missing_file_is_found():
    files = {path: text for path, text in BASE.items() if path != "src/evaluate.py"}
    assert [(f.id, f.severity) for f in findings(files)] == [("removed-file", "error")]


def test_lost_entry_point_is_found():
    tree = ast.parse(TRAIN)
    del tree.body[-1]
    found = findings({**BASE, **written({"src/train.py": tree})})
    assert [(f.id, f.severity) for f in found] == [("removed-symbol", "error")]


def test_constant_in_place_of_a_computation_is_found():
    line = next(line for path, name, line in FUNCTIONS if name == "calibration_error")

    def constant(tree, node):
        node.body = [ast.Return(ast.Constant(0.02))]

    assert errors_at(changed("src/evaluate.py", line, constant), "src/evaluate.py", line)


def test_deep_nesting_and_long_chains_do_not_stop_it():
    deep = "def f(x):\n    return " + "+".join(["x"] * 2000) + "\n"
    text = "def g(x):\n" + "".join("    " * (k + 1) + "if x:\n" for k in range(90))
    text += "    " * 91 + "return x\n"
    assert (
        findings({"src/a.py": deep, "src/b.py": text}, {"src/a.py": deep, "src/b.py": text}) == []
    )
