"""Names that nothing defines."""

import ast
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.bindings import ALWAYS, bindings
from ohgw.review.findings import Finding
from ohgw.review.project import Module, Project, dotted
from ohgw.review.tools import diagnostics

_RULES = {"F821", "F823", "unresolved-reference"}


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    found: dict[tuple[str, int, str], str] = {}
    for said in diagnostics(project):
        if said.rule in _RULES and "`" in said.message:
            name = said.message.split("`")[1]
            late = "" if said.rule != "F823" else "used before it is set in its function"
            found.setdefault((said.path, said.line, name), late)
    for module in project.parsed():
        known = bindings(project, module).anywhere | ALWAYS
        for node in module.nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                if node.id not in known:
                    found.setdefault((module.path, node.lineno, node.id), "")
    for (path, line, name), late in found.items():
        there = project.modules.get(path)
        if there is None or _is_fine(project, there, line, name):
            continue
        certain = not bindings(project, there).is_open
        yield check.finding(
            "error" if certain else "warning",
            project.at(path),
            line,
            f"{name} is {late or 'nowhere defined or imported'}: this line raises "
            f"{'UnboundLocalError' if late else 'NameError'}.",
            evidence=there.source(line),
            fix=f"Import or define {name}, or correct its spelling.",
        )


def _is_fine(project: Project, module: Module, line: int, name: str) -> bool:
    """Where the name is not looked up, or its absence is expected."""
    if name in ALWAYS:
        return True
    used = [
        node
        for node in module.nodes
        if isinstance(node, ast.Name) and node.lineno == line and node.id == name
    ]
    if not used:
        return True  # only in a text, such as a quoted annotation
    if _imports_all(project, module):
        return True
    return all(_is_expected(module, node) for node in used)


def _imports_all(project: Project, module: Module) -> bool:
    return bindings(project, module).is_open and any(
        alias.name == "*"
        for node in module.nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )


def _is_expected(module: Module, node: ast.AST) -> bool:
    inner, up = node, module.parents.get(node)
    lazy = _lazy_annotations(module)
    while up is not None:
        if isinstance(up, ast.Try) and inner in up.body:
            names = {
                dotted(part).rpartition(".")[2]
                for handler in up.handlers
                for part in (ast.walk(handler.type) if handler.type else ())
            }
            if names & {"NameError", "Exception"} or any(h.type is None for h in up.handlers):
                return True
        elif isinstance(up, ast.If):
            test = ast.dump(up.test)
            if any(word in test for word in ("version_info", "PY2", "PY3", "TYPE_CHECKING")):
                return True
        elif isinstance(up, ast.arg | ast.AnnAssign) and inner is up.annotation:
            if lazy or (isinstance(up, ast.AnnAssign) and _is_local(module, up)):
                return True
        elif isinstance(up, ast.FunctionDef | ast.AsyncFunctionDef) and inner is up.returns:
            if lazy:
                return True
        inner, up = up, module.parents.get(up)
    return False


def _is_local(module: Module, node: ast.AST) -> bool:
    """Inside a function, where the annotation of a variable is never evaluated."""
    up = module.parents.get(node)
    while up is not None and not isinstance(up, ast.ClassDef):
        if isinstance(up, ast.FunctionDef | ast.AsyncFunctionDef):
            return True
        up = module.parents.get(up)
    return False


def _lazy_annotations(module: Module) -> bool:
    body = module.tree.body if module.tree else []
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in body[:5]
    )


CHECK = Check("undefined-name", "Not Executable", "imports resolve", _run)
