"""Imports that the module's own definition of the same name puts out of reach."""

import ast
import re
from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.bindings import own_scope
from ohgw.review.code.resolve import absolute, names
from ohgw.review.code.signatures import signature
from ohgw.review.findings import Finding, Severity
from ohgw.review.project import Definition, Module, Project, dotted

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Own = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        imported: dict[str, ast.Import | ast.ImportFrom] = {}
        for statement in module.tree.body if module.tree else []:
            guarded = statement.body if isinstance(statement, ast.Try) else [statement]
            for inner in guarded:
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    for alias in inner.names:
                        imported[alias.asname or alias.name.partition(".")[0]] = inner
            name = _defines(statement)
            origin = imported.pop(name, None) if name else None
            if origin is None or _uses(statement, name):
                continue
            own = statement
            if _between(module, name, origin, own):
                continue
            severity, why = _verdict(project, module, name, origin, own)
            if not why:
                continue
            yield check.finding(
                severity,
                project.at(module.path),
                own.lineno,
                f"{name} is imported in line {origin.lineno} and then defined here, so the import "
                f"is out of reach: {why}.",
                evidence=f"{module.source(origin.lineno)}\n{module.source(own.lineno)}",
                fix="Give the definition another name, or import the other one under an alias.",
            )


def _defines(statement: ast.stmt) -> str:
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
        return statement.name
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        return target.id if isinstance(target, ast.Name) else ""
    return ""


def _uses(statement: ast.stmt, name: str) -> bool:
    """Whether the definition is made of the import: a wrapper, a decorated or derived one."""
    outer: list[ast.AST] = list(getattr(statement, "decorator_list", []))
    if isinstance(statement, ast.ClassDef):
        outer += [*statement.bases, *statement.keywords]
    elif isinstance(statement, ast.Assign):
        outer.append(statement.value)
    elif isinstance(statement, _FUNCTIONS):
        outer += [*statement.args.defaults, *(d for d in statement.args.kw_defaults if d)]
    return any(
        isinstance(node, ast.Name) and node.id == name for part in outer for node in ast.walk(part)
    )


def _between(module: Module, name: str, origin: ast.stmt, own: ast.stmt) -> bool:
    """Whether the import is used at module level before it is overwritten."""
    for statement in module.tree.body if module.tree else []:
        if origin.lineno < statement.lineno < own.lineno:
            if isinstance(statement, (*_FUNCTIONS, ast.Import, ast.ImportFrom, ast.Try)):
                continue
            if any(isinstance(n, ast.Name) and n.id == name for n in own_scope(statement)):
                return True
    return False


def _verdict(
    project: Project,
    module: Module,
    name: str,
    origin: ast.Import | ast.ImportFrom,
    own: ast.stmt,
) -> tuple[Severity, str]:
    uses = [
        node
        for node in module.nodes
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
    ]
    if not uses:
        return "warning", "nothing here uses either"
    inside = set(ast.walk(own))
    definition = module.definitions.get(name)
    known = None
    if definition is not None and definition.node is own:
        known = signature(project, definition)
    for use in uses:
        parent = module.parents.get(use)
        if isinstance(own, ast.Assign) and isinstance(own.value, ast.Constant):
            if isinstance(parent, ast.Attribute) or _is_call(parent, use):
                return "error", f"line {use.lineno} uses it as what was imported"
        elif isinstance(own, _FUNCTIONS):
            if isinstance(parent, ast.Attribute) and isinstance(parent.ctx, ast.Load):
                if not parent.attr.startswith("_") and not _is_set(module, name, parent.attr):
                    return "error", f"line {use.lineno} asks it for {parent.attr}, which it lacks"
            elif isinstance(parent, ast.Call) and _is_call(parent, use):
                if known is not None and (problem := known.problem(parent)):
                    return (
                        "error",
                        f"the call in line {use.lineno} is the import's, and it {problem}",
                    )
                if _gives_text(parent, own):
                    return "error", (
                        f"line {use.lineno} gives the import's text where the definition takes a "
                        "mapping"
                    )
                if use in inside and _is_certain(module, parent, own):
                    return "error", f"line {use.lineno} means the import and calls itself forever"
    return _of_tree(project, module, name, origin, definition)


def _of_tree(
    project: Project,
    module: Module,
    name: str,
    origin: ast.Import | ast.ImportFrom,
    definition: Definition | None,
) -> tuple[Severity, str]:
    if isinstance(origin, ast.ImportFrom):
        source = names(project).module(absolute(module, origin), module)
        if source is not None and source is not module and name in source.definitions:
            return "error", f"what {source.path} defines is never used here"
    return "warning", "every use here is of the definition"


def _gives_text(call: ast.Call, own: ast.stmt) -> bool:
    """Whether the first argument is a text, and the definition's first one is a mapping."""
    arguments = getattr(own, "args", None)
    if not call.args or not isinstance(arguments, ast.arguments) or not arguments.args:
        return False
    given, first = call.args[0], arguments.args[0]
    if not isinstance(given, ast.Constant) or not isinstance(given.value, str):
        return False
    if first.annotation is not None:
        kind = re.split(r"[^\w.]", ast.unparse(first.annotation))[0].rpartition(".")[2]
        return kind in ("Dict", "dict", "Mapping", "DictConfig", "Namespace")
    return any(
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == first.arg
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
        for node in ast.walk(own)
    )


def _is_call(parent: ast.AST | None, use: ast.Name) -> bool:
    return isinstance(parent, ast.Call) and parent.func is use


def _is_set(module: Module, name: str, attribute: str) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and dotted(node) == f"{name}.{attribute}"
        for node in module.nodes
    )


def _is_certain(module: Module, call: ast.AST, own: ast.stmt) -> bool:
    """Whether every call of the definition comes to this one: nothing stands before it."""
    up = module.parents.get(call)
    while up is not None and up is not own:
        if not isinstance(
            up, ast.expr | ast.keyword | ast.Assign | ast.Return | ast.Expr | ast.AnnAssign
        ):
            return False
        up = module.parents.get(up)
    return up is own and not any(
        isinstance(node, ast.Return | ast.Raise) and node.lineno < getattr(call, "lineno", 0)
        for node in ast.walk(own)
    )


CHECK = Check("shadowed-import", "Not Executable", "imports resolve", _run)
