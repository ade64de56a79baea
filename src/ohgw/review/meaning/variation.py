"""What tells one variation from another: its settings, and the code that asks for its name."""

import ast
from typing import Any

from ohgw.review.code.flow import flow
from ohgw.review.code.flow.uses import Use, uses
from ohgw.review.code.memo import once
from ohgw.review.code.nodes import Node
from ohgw.review.meaning.runs import ID_KEYS, Run
from ohgw.review.project import Project

_NAMES = frozenset(
    {"run_id", "id", "variation", "variation_id", "run_name", "exp_id", "experiment_id",
     "description", "desc", "notes", "note", "comment", "title", "label", "tag", "tags", "doc",
     "display_name", "output_dir", "results_dir", "out_dir", "save_dir", "log_dir", "color"}
)  # fmt: skip
_SEEDS = frozenset({"seed", "random_seed", "seeds"})


def is_name(node: Node, root: Node) -> bool:
    """Whether a leaf only names its variation: `run_id: a`, `description: ...`."""
    return node.key in _NAMES or (
        node.parent is root and node.key in ID_KEYS and node.key == "name"
    )


def settings(root: Node, seeds: bool = False) -> dict[tuple[str, ...], Any]:
    """Leaves by their keys below `root`, without names and (unless asked for) seeds."""
    depth = len(root.route)
    found: dict[tuple[str, ...], Any] = {}
    for leaf in root.leaves():
        if leaf is root or is_name(leaf, root) or (leaf.key in _SEEDS and not seeds):
            continue
        value = leaf.value if leaf.expr is None else ast.dump(leaf.expr)
        found[tuple(map(str, leaf.route[depth:]))] = value
    return found


@once
def _asked(project: Project) -> frozenset[str]:
    """Strings that the code compares something with, looks up or matches, in lower case."""
    found: set[str] = set()

    def collect(node: ast.AST) -> None:
        for item in ast.walk(node):
            if isinstance(item, ast.Constant) and isinstance(item.value, str):
                found.add(item.value.lower())

    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Compare):
                collect(node)
            elif isinstance(node, ast.MatchValue):
                collect(node.value)
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    code = isinstance(value, ast.Name | ast.Attribute | ast.Lambda | ast.Call)
                    if isinstance(key, ast.Constant) and code:  # not a table of settings
                        collect(key)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in (
                    "startswith", "endswith", "search", "match", "fullmatch", "find", "count",
                    "split", "register", "partition",
                ):  # fmt: skip
                    collect(node)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                for decorator in node.decorator_list:
                    collect(decorator)
    return frozenset(text for text in found if len(text) >= 2)


def dispatched(project: Project, first: Run, second: Run) -> bool:
    """Whether code asks for something that only one of the two ids has."""
    answers = flow(project)
    named = [
        leaf
        for run in (first, second)
        for leaf in run.node.leaves()
        if leaf.value == run.id and (leaf.key in ID_KEYS or leaf is run.node)
    ]
    if any(leaf.origin in answers.occurrences for leaf in named):
        found = [use for leaf in named for use in uses(answers, leaf) if not use.loose]
        if not any(use.kind in ("test", "registry") or _loads_by(use) for use in found):
            return False  # the id is only shown, or names a folder
    elif asked_for(project, first.id) or asked_for(project, second.id):
        return True  # asked for by the name of a file or of an option
    one, other = first.id.lower(), second.id.lower()
    return any((text in one) != (text in other) for text in _asked(project))


def _loads_by(use: Use) -> bool:
    """Whether a name is handed to something that finds code or data by it."""
    parent = use.module.parents.get(use.expr)
    name = ast.unparse(parent.func) if isinstance(parent, ast.Call) else ""
    return any(word in name for word in ("load", "import", "getattr", "create", "match", "search"))


def asked_for(project: Project, name: str) -> bool:
    """Whether code compares something with this very id, or has it as a key."""
    return name.lower() in _asked(project)
