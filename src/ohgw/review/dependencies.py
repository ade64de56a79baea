"""What a tree declares to need, in any form, and what its code imports from outside."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ohgw.review.code.memo import once
from ohgw.review.manifest import normalise, requirement_name
from ohgw.review.packages import STDLIB
from ohgw.review.project import Module, Project, dotted

_TESTS = re.compile(r"(?:^|/)(?:tests?|docs?)/|(?:^|/)(?:test_[^/]*|conftest|setup|noxfile)\.py$")


@dataclass(frozen=True)
class Declaration:
    """Distributions by normalised name, each with the file and line that declares it."""

    places: dict[str, tuple[str, int]]
    is_there: bool  # whether anything declares dependencies at all
    is_open: bool  # whether there may be more than could be read
    home: str  # the file to write into

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.places)


@dataclass(frozen=True)
class Import:
    """One import of a top-level package that is not the tree's own."""

    name: str
    module: Module
    line: int
    optional: bool  # guarded against its absence, or for type checkers only


@once
def declaration(project: Project) -> Declaration:
    """Standard declarations and those that an installer would not read.

    A declaration in the wrong form is reported as such; that its packages are missing would be the
    same thing said again.
    """
    manifest = project.manifest
    places = {d.name: (d.path, d.line) for d in reversed(manifest.declared)}
    files = project.tree.files
    is_open = bool(manifest.problem)
    for text, line in _odd_tables(manifest.data):
        name = normalise(re.split(r"[<>=!~;\[ (@]", text.strip(), maxsplit=1)[0])
        if name and name != "python":
            places.setdefault(name, ("pyproject.toml", manifest.line(line)))
    for path in ("environment.yml", "environment.yaml", "conda.yaml", "conda.yml"):
        if path in project.configs:
            for name, line_number in _conda(project, path):
                places.setdefault(name, (path, line_number))
    for path in ("setup.py", "setup.cfg", "Pipfile"):
        if path in files:
            found = list(_setup(project, path))
            is_open = is_open or not found
            for name, line_number in found:
                places.setdefault(name, (path, line_number))
    for file in project.tree.texts(".txt", ".in"):
        if "requirements" in PurePosixPath(file.path).name:
            is_open = is_open or any(
                line.lstrip().startswith(("git+", "http", "-e", "--editable"))
                for line in file.lines
            )
    is_open = is_open or ".gitmodules" in files
    dynamic = manifest.data.get("project", {})
    if isinstance(dynamic, dict) and "dependencies" in (dynamic.get("dynamic") or ()):
        is_open = is_open or not places
    sources = [
        path
        for path in files
        if path in ("pyproject.toml", "setup.py", "setup.cfg", "Pipfile")
        or path.startswith(("requirements", "environment", "conda."))
    ]
    sources += sorted({path for path, _ in places.values()})
    home = "pyproject.toml" if "pyproject.toml" in files else (sources or [""])[0]
    return Declaration(places, bool(sources), is_open, home)


def _odd_tables(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(requirement, key) of tables that are not PEP 621: Poetry's, a table in place of the list."""
    project = data.get("project")
    tool = data.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    tables: list[Any] = [data.get("dependencies")]
    if isinstance(project, dict):
        tables.append(project.get("dependencies"))
        tables += [v for v in project.values() if isinstance(v, dict) and "dependencies" in v]
    if isinstance(poetry, dict):
        tables += [poetry.get("dependencies"), poetry.get("dev-dependencies")]
        groups = poetry.get("group")
        for group in groups.values() if isinstance(groups, dict) else ():
            tables.append(group.get("dependencies") if isinstance(group, dict) else None)
    for table in tables:
        if isinstance(table, dict) and "dependencies" in table:
            table = table["dependencies"]
        if isinstance(table, dict):
            yield from ((str(key), str(key)) for key in table)
        elif isinstance(table, list):
            yield from ((text, text) for text in table if isinstance(text, str))


def _conda(project: Project, path: str) -> Iterator[tuple[str, int]]:
    for entry in project.configs[path].leaves():
        if isinstance(entry.value, str) and "dependencies" in entry.path:
            name = re.split(r"[<>=!~\[ ]", entry.value.rpartition("::")[2], maxsplit=1)[0]
            yield normalise("torch" if name == "pytorch" else name), entry.line


def _setup(project: Project, path: str) -> Iterator[tuple[str, int]]:
    """Requirements among the texts of a setup file."""
    module = project.modules.get(path)
    if module is not None:
        for node in module.nodes:
            if isinstance(node, ast.keyword) and node.arg in ("install_requires", "extras_require"):
                for part in ast.walk(node.value):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        if name := requirement_name(part.value):
                            yield name, part.lineno
        return
    for number, text in enumerate(project.tree.files[path].lines, 1):
        text = text.partition(" = ")[0] if path == "Pipfile" else text
        if (text[:1].isspace() or path == "Pipfile") and (name := requirement_name(text.strip())):
            yield name, number


@once
def outside_imports(project: Project) -> list[Import]:
    """Of every module that parses, tests and set-up files left out."""
    own = set()
    for path in project.tree.files:
        if path.endswith((".py", ".pyi", ".so", ".pyx")):
            parts = PurePosixPath(path)
            own |= {parts.name.partition(".")[0], *parts.parts[:-1]}
    found = []
    for module in project.parsed():
        if _TESTS.search(module.path):
            continue
        looked_up = _looked_up(module)
        for node in module.nodes:
            if isinstance(node, ast.Import):
                tops = [alias.name.partition(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops = [(node.module or "").partition(".")[0]]
            else:
                continue
            for top in tops:
                if top and top not in STDLIB and top not in own:
                    optional = top in looked_up or is_optional(module, node)
                    found.append(Import(top, module, node.lineno, optional))
    return found


def is_optional(module: Module, node: ast.AST) -> bool:
    """Inside try ... except ImportError, or under TYPE_CHECKING."""
    inner: ast.AST = node
    up = module.parents.get(node)
    while up is not None:
        if isinstance(up, ast.Try):
            if inner in up.handlers or (inner in up.body and _catches(up)):
                return True
        elif isinstance(up, ast.If) and "TYPE_CHECKING" in dotted(up.test):
            return True
        elif isinstance(up, ast.With) and any("suppress" in ast.dump(i) for i in up.items):
            return True
        inner, up = up, module.parents.get(up)
    return False


def _catches(node: ast.Try) -> bool:
    """Whether a missing package is caught, and not only to be raised again."""
    for handler in node.handlers:
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        names = {dotted(kind).rpartition(".")[2] for kind in kinds if kind is not None}
        wide = handler.type is None or names & {
            "ImportError",
            "ModuleNotFoundError",
            "Exception",
            "BaseException",
        }
        if wide and not isinstance(handler.body[-1], ast.Raise):
            return True
    return False


def _looked_up(module: Module) -> frozenset[str]:
    """Packages that the module looks for before it imports them."""
    return frozenset(
        argument.value.partition(".")[0]
        for node in module.nodes
        if isinstance(node, ast.Call)
        and dotted(node.func).rpartition(".")[2] in ("find_spec", "importorskip")
        for argument in node.args[:1]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    )
