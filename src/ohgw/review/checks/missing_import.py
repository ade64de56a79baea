"""Imports of the tree's own modules and names that are not there."""

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.bindings import bindings
from ohgw.review.code.memo import once
from ohgw.review.code.resolve import absolute, names
from ohgw.review.dependencies import is_optional
from ohgw.review.findings import Finding
from ohgw.review.packages import STDLIB, is_known
from ohgw.review.project import Module, Project

Problem = tuple[int, str, str]  # line, message, fix


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    for module in project.parsed():
        for line, message, fix in {
            found[1]: found for found in _attributes(project, module)
        }.values():
            yield check.finding(
                "error",
                project.at(module.path),
                line,
                message,
                evidence=module.source(line),
                fix=fix,
            )
        for node in module.nodes:
            if not isinstance(node, ast.Import | ast.ImportFrom) or is_optional(module, node):
                continue
            for line, message, fix in _problems(project, module, node):
                yield check.finding(
                    "error",
                    project.at(module.path),
                    line,
                    message,
                    evidence=module.source(line),
                    fix=fix,
                )


def _attributes(project: Project, module: Module) -> Iterator[Problem]:
    """`import model` and `model.perplexity(...)`, where model.py has no such name."""
    imported = names(project).imports.get(module, {})
    rebound = {n.id for n in module.nodes
               if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}  # fmt: skip
    rebound |= {n.arg for n in module.nodes if isinstance(n, ast.arg)}
    rebound |= {n.rpartition(".")[2] for n in module.definitions}
    for node in module.nodes:
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        name = node.value.id
        found = imported.get(name)
        if found is None or found.module is None or found.name is not None or name in rebound:
            continue
        own = found.module
        if own is module or own.tree is None or own.path.endswith("__init__.py"):
            continue
        if own.name != found.package or found.package in STDLIB or is_known(found.package):
            continue  # an installed package may be meant
        bound = bindings(project, own)
        if isinstance(node.ctx, ast.Load) and node.attr not in bound.top and not bound.is_open:
            if not node.attr.startswith("__") and not _is_set(project, node.attr):
                yield (
                    node.lineno,
                    f"{name}.{node.attr} is used, but {own.path} neither defines nor imports "
                    f"{node.attr}.",
                    f"Define {node.attr} in {own.path}, or use what is there.",
                )


@once
def _assigned(project: Project) -> frozenset[str]:
    return frozenset(
        node.attr
        for module in project.parsed()
        for node in module.nodes
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)
    )


def _is_set(project: Project, name: str) -> bool:
    """Whether code sets such an attribute of anything: `settings.verbose = True`."""
    return name in _assigned(project)


def _problems(
    project: Project, module: Module, node: ast.Import | ast.ImportFrom
) -> Iterator[Problem]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if gone := _gone(project, module, alias.name):
                yield node.lineno, gone, f"Write {alias.name}, or import what there is."
        return
    if node.level and _is_beyond(project, module, node):
        dots = "." * node.level
        yield (
            node.lineno,
            f"`from {dots}{node.module or ''} import ...` goes beyond the top of the tree.",
            "Import from where the module is, with fewer dots.",
        )
        return
    package = absolute(module, node)
    found = names(project).module(package, module)
    if found is None:
        if gone := _gone(project, module, package, bool(node.level)):
            yield node.lineno, gone, f"Write {package}, or import what there is."
        elif node.level or package in _packages(project):
            yield from _from_folder(project, module, node, package)
        return
    if found.tree is None or found is module or _is_other(project, found, node):
        return
    bound = bindings(project, found)
    for alias in node.names:
        name = alias.name
        if name == "*" or name in bound.top or bound.is_open:
            continue
        if _below(project, found, name) or name in ("__file__", "__doc__", "__name__", "__path__"):
            continue
        line = _line(alias, node)
        yield (
            line,
            f"{name} is imported from {package}, but {found.path} neither defines nor imports it.",
            f"Define {name} in {found.path}, or import it from where it is.",
        )


def _from_folder(
    project: Project, module: Module, node: ast.ImportFrom, package: str
) -> Iterator[Problem]:
    """From a folder without `__init__.py`: only modules and folders can be imported."""
    if package not in _packages(project) or (not node.level and is_known(package)):
        return  # a folder of scripts that use a package may be called like it
    for alias in node.names:
        inner = f"{package}.{alias.name}" if package else alias.name
        if alias.name == "*" or inner in project.by_name or inner in _packages(project):
            continue
        if _compiled(project, inner):
            continue
        yield (
            _line(alias, node),
            f"{alias.name} is imported from {package or 'the top folder'}, a folder that holds no "
            "module of that name and no __init__.py.",
            f"Write the module {alias.name}, or import it from where it is.",
        )


def _line(alias: ast.alias, node: ast.ImportFrom) -> int:
    return getattr(alias, "lineno", node.lineno)


def _gone(project: Project, module: Module, name: str, relative: bool = False) -> str:
    """What is wrong where a dotted name begins inside the tree and ends nowhere."""
    if not name or names(project).module(name, module) or name in _packages(project):
        return ""
    if not relative and any(
        own.endswith(f".{name}") for own in (*project.by_name, *_packages(project))
    ):
        return ""  # the top of a tree inside this one
    top, _, rest = name.partition(".")
    if not relative:
        inside = top in _packages(project) or top in project.by_name
        if not inside or not rest or top in STDLIB or is_known(top):
            return ""
        if top not in _packages(project) and module.path.count("/"):
            return ""  # a file's name alone may be that of an installed package
    if _compiled(project, name):
        return ""
    stem = name.replace(".", "/")
    return f"{name} is imported, but the tree has neither {stem}.py nor a folder {stem}."


def _compiled(project: Project, name: str) -> bool:
    """An extension module, a stub, or a file that was left out for its size."""
    stem = name.replace(".", "/")
    endings = (".so", ".pyx", ".pyd", ".pyi", ".py", ".cpp", ".c", ".cu")
    return (
        any(
            path.startswith((f"{stem}.", f"src/{stem}."))
            and (path.endswith(endings) or ".proto" in path)
            for path in project.tree.files
        )
        or f"{stem.removesuffix('_pb2')}.proto" in project.tree.files
    )


@once
def _packages(project: Project) -> frozenset[str]:
    """Dotted names of the folders that hold modules, at any depth below them."""
    found = {
        ".".join(parent.parts)
        for path in project.modules
        for parent in PurePosixPath(path).parents
        if parent.parts
    }
    return frozenset(found)


def _below(project: Project, found: Module, name: str) -> bool:
    if not found.path.endswith("__init__.py"):
        return False
    inner = f"{found.name}.{name}" if found.name else name
    return inner in project.by_name or inner in _packages(project) or _compiled(project, inner)


def _is_beyond(project: Project, module: Module, node: ast.ImportFrom) -> bool:
    if "__init__.py" in project.tree.files:
        return False  # the whole tree is a package inside another
    depth = len(PurePosixPath(module.path).parts) - 1
    return node.level > depth + 1 or (node.level > 1 and node.level > depth)


def _is_other(project: Project, found: Module, node: ast.ImportFrom) -> bool:
    """Whether an absolute import may be of an installed package of that name."""
    if node.level:
        return False
    top = (node.module or "").partition(".")[0]
    folders = {part for path in _packages(project) for part in path.split(".")}
    if found.name != node.module and top in folders:
        return True
    return top in STDLIB or (is_known(top) and not found.path.startswith(f"{top}/"))


CHECK = Check("missing-import", "Not Executable", "imports resolve", _run)
