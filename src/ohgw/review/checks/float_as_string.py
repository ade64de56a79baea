"""`1e-3` in YAML: a string to PyYAML, which wants `1.0e-3`. Arithmetic with it fails."""

import ast
import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.flow import At, Flow, flow
from ohgw.review.code.flow.calls import PYYAML
from ohgw.review.code.flow.uses import uses
from ohgw.review.code.nodes import Node, files
from ohgw.review.code.resolve import names
from ohgw.review.compose import compositions
from ohgw.review.findings import Finding
from ohgw.review.project import Project, dotted

_NUMBER = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+")
_ORDERS = ast.Lt | ast.LtE | ast.Gt | ast.GtE


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    loads = _loads(project)
    if not loads:
        return
    answers = flow(project)
    hydra = [c.folder for c in compositions(project) if c.folder]
    found: dict[tuple[str, str, bool], list[tuple[Node, str]]] = {}
    for root in files(project):
        if not root.path.endswith((".yaml", ".yml")):
            continue
        for leaf in root.leaves():
            if not isinstance(leaf.value, str) or leaf.quoted or not _NUMBER.fullmatch(leaf.text):
                continue
            read_otherwise = [i.load for _, i in answers.occurrences.get(leaf, ()) if i.load]
            if read_otherwise and not any(load in loads for load in read_otherwise):
                continue  # OmegaConf reads it as a number
            if not read_otherwise and root.path.startswith(tuple(f"{f}/" for f in hydra)):
                continue
            raw = _raw(answers, leaf, loads)
            found.setdefault((leaf.path, str(leaf.key), bool(raw)), []).append((leaf, raw))
    for (path, key, _), places in found.items():
        yield _finding(check, project, path, key, places)


def _finding(
    check: Check, project: Project, path: str, key: str, places: list[tuple[Node, str]]
) -> Finding:
    leaf, raw = places[0]
    number = f"{float(leaf.text.replace('_', '')):.10f}".rstrip("0")
    lines = [place.line for place, _ in places]
    what = (
        f"and {raw} uses it as a number: the run stops there, or goes wrong."
        if raw
        else "though nothing was seen to use it as a number without converting it."
    )
    return check.finding(
        "error" if raw else "warning",
        project.at(path) if len(lines) == 1 else [project.at(path)] * len(lines),
        lines[0] if len(lines) == 1 else lines,
        f"PyYAML reads {key}: {leaf.text} as the string {leaf.text!r}, {what}",
        evidence=f"{key}: {leaf.text}",
        fix=f"Write {number}, or convert it with float() where it is read.",
    )


def _loads(project: Project) -> set[ast.AST]:
    """Calls that read YAML with PyYAML."""
    resolver = names(project)
    return {
        node
        for module in project.parsed()
        for node in module.nodes
        if isinstance(node, ast.Call) and resolver.full(module, node.func) in PYYAML
    }


def _raw(answers: Flow, leaf: Node, loads: set[ast.AST]) -> str:
    """Where the string is used as a number; '' where it is not, or is converted."""
    items = answers.occurrences.get(leaf, [])
    if any(_converted(answers, expr) for expr, _ in items):
        return ""
    if not any(item.load in loads and not item.derived for _, item in items):
        return _handed_whole(answers, leaf)
    for use in uses(answers, leaf):
        parent = use.module.parents.get(use.expr)
        if isinstance(parent, ast.keyword):
            parent = use.module.parents.get(parent)
        line = getattr(use.expr, "lineno", 1)
        item = next((i for e, i in items if e is use.expr), None)
        if item is None or item.derived:
            continue
        ordered = isinstance(parent, ast.Compare) and isinstance(parent.ops[0], _ORDERS)
        computed = isinstance(parent, ast.BinOp) and not isinstance(parent.op, ast.Mod)
        handed = use.kind == "value" and isinstance(parent, ast.Call)
        if ordered or computed or handed:
            return f"{use.module.path}:{line}"
    return _handed_whole(answers, leaf) or _among_numbers(answers, leaf)


def _converted(answers: Flow, expr: ast.AST) -> bool:
    """`float(x)`, `int(x)`, `np.float64(x)`."""
    module = answers.module_of.get(expr)
    parent = module.parents.get(expr) if module else None
    return (
        isinstance(parent, ast.Call)
        and expr in parent.args
        and dotted(parent.func).rpartition(".")[2] in ("float", "int", "float64", "float32", "eval")
    )


def _among_numbers(answers: Flow, leaf: Node) -> str:
    """A string beside numbers in one list, or where the other variations have a number."""
    siblings = (leaf.parent.children or {}).values() if leaf.parent else ()
    if leaf.parent is not None and leaf.parent.key_kind is int:
        mixed = any(isinstance(n.value, int | float) for n in siblings)
        if mixed and (leaf in answers.read_nodes or leaf.parent in answers.read_nodes):
            return "whatever reads the list of numbers that it stands in"
    return ""


def _handed_whole(answers: Flow, leaf: Node) -> str:
    """`SGD(parameters, **cfg["optimizer"])`, `np.random.uniform(*cfg["range"])`."""
    if leaf.parent in answers.record.whole and leaf.parent.key_kind is int:
        return "the call that the list is handed to"
    return _splat(answers, leaf)


def _splat(answers: Flow, leaf: Node) -> str:
    """`SGD(parameters, **cfg["optimizer"])`."""
    for splat in answers.splats:
        if splat.callee is None and any(
            isinstance(part, At) and part.node is leaf.parent for part in splat.parts
        ):
            return f"{splat.module.path}:{splat.call.lineno}"
    return ""


CHECK = Check("float-as-string", "Configuration", "configurations compose", _run)
