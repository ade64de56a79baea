"""Arguments that models and functions take and nothing gives them, though they are searched."""

import ast
import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.flow import Flow, flow
from ohgw.review.code.flow.scopes import parameters
from ohgw.review.code.nodes import Node, files
from ohgw.review.findings import Finding
from ohgw.review.project import Definition, Project

# The dimensions of search spaces, and the names that arguments for them have.
_DIMENSIONS = {
    "dropout": ("dropout", "dropout_rate", "dropout_p", "drop_rate", "resid_pdrop", "attn_pdrop"),
    "label smoothing": ("label_smoothing", "smoothing"),
    "weight decay": ("weight_decay", "wd", "l2"),
    "momentum": ("momentum",),
    "learning rate": ("lr", "learning_rate"),
    "warm-up": ("warmup", "warmup_steps", "num_warmup_steps"),
    "temperature": ("temperature",),
    "depth": ("depth", "num_layers", "n_layers", "layers"),
    "width": ("width", "hidden", "hidden_dim", "hidden_size", "hidden_units", "channels"),
}
_SPACE = re.compile(r"search[- ]space[^\n]{0,400}", re.IGNORECASE)


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    answers = flow(project)
    searched = _searched(context)
    unread = _unread(project, answers)
    for definition, argument, calls in _unused(project, answers):
        name = argument.arg
        dimension = next((d for d, known in searched.items() if name in known), None)
        setting = next((n for n in unread.get(name, ()) if _beside(answers, n, calls)), None)
        if dimension is None and setting is None:
            continue
        call, module = calls[0], answers.module_of[calls[0]]
        what = (
            f"the search space has {dimension}"
            if dimension
            else f"{setting.path if setting else ''} sets {name}, which nothing reads"
        )
        yield check.finding(
            "error",
            [project.at(module.path), project.at(definition.module.path)],
            [call.lineno, argument.lineno],
            f"{definition.name} takes {name}, but no call gives it, while {what}: it keeps its "
            "default in every run.",
            evidence=module.source(call.lineno),
            fix=f"Pass {name} from the configuration.",
        )


def _searched(context: Context) -> dict[str, tuple[str, ...]]:
    """Dimensions that the description of the search space names."""
    text = context.spec.description or context.spec.method
    spaces = " ".join(_SPACE.findall(text)).lower().replace("-", " ")
    return {
        dimension: known
        for dimension, known in _DIMENSIONS.items()
        if dimension.replace("-", " ") in spaces
    }


def _unread(project: Project, answers: Flow) -> dict[str, list[Node]]:
    """Settings by name that no code reads, of configurations that are read."""
    found: dict[str, list[Node]] = {}
    for root in files(project):
        if any(node in answers.read_nodes for node in root.walk() if node is not root):
            for leaf in root.leaves():
                if isinstance(leaf.key, str) and leaf.origin not in answers.read_nodes:
                    found.setdefault(leaf.key, []).append(leaf)
    return found


def _beside(answers: Flow, setting: Node, calls: list[ast.Call]) -> bool:
    """Whether a call is given other settings of the same mapping."""
    return any(
        part.parent is setting.parent
        for call in calls
        for value in [*call.args, *(keyword.value for keyword in call.keywords)]
        for part in answers.parts(value)
    )


def _unused(
    project: Project, answers: Flow
) -> Iterator[tuple[Definition, ast.arg, list[ast.Call]]]:
    """Parameters with a default that no call of the project passes, of what is called at all."""
    for module in project.parsed():
        for definition in module.definitions.values():
            node = definition.node
            if isinstance(node, ast.ClassDef):
                continue
            calls = [call for call, _ in answers.callers.get(node, [])]
            calls = [call for call in calls if call in answers.module_of]
            constructor = node.name == "__init__"
            if not calls or (node.name.startswith("__") and not constructor):
                continue
            if any(_spread(call) for call in calls) or _is_entry(node):
                continue
            defaults = _with_defaults(node.args)
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
            bound = 1 if "." in definition.name and names[:1] in (["self"], ["cls"]) else 0
            for argument in parameters(node.args):
                if argument.arg not in defaults:
                    continue
                place = names.index(argument.arg) - bound if argument.arg in names else None
                if not any(_passes(call, argument.arg, place) for call in calls):
                    yield definition, argument, calls


def _is_entry(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Command-line functions get their arguments from outside."""
    return bool(node.decorator_list) or node.name == "main"


def _spread(call: ast.Call) -> bool:
    return any(isinstance(a, ast.Starred) for a in call.args) or any(
        keyword.arg is None for keyword in call.keywords
    )


def _passes(call: ast.Call, name: str, place: int | None) -> bool:
    if any(keyword.arg == name for keyword in call.keywords):
        return True
    return place is not None and len(call.args) > place


def _with_defaults(arguments: ast.arguments) -> set[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    found = {a.arg for a in positional[len(positional) - len(arguments.defaults) :]}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            found.add(argument.arg)
    return found


CHECK = Check("argument-not-passed", "Method Fidelity", "method implemented", _run)
