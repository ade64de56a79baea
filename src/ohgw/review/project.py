"""A tree as a project: parsed modules, configurations and manifest. Nothing is ever imported."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from ohgw.review.config import Config, read_config
from ohgw.review.manifest import Manifest, read_manifest
from ohgw.review.tree import File, Tree


@dataclass(frozen=True)
class Problem:
    """Why a file does not parse."""

    line: int
    message: str


@dataclass(frozen=True)
class Definition:
    """A function, method or class."""

    name: str  # qualified within its module: Class.method
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    module: "Module"

    @property
    def is_class(self) -> bool:
        return isinstance(self.node, ast.ClassDef)

    @property
    def line(self) -> int:
        return self.node.lineno


class Module:
    """One Python file."""

    def __init__(self, file: File) -> None:
        self.path = file.path
        self.file = file
        self.tree: ast.Module | None = None
        self.problem: Problem | None = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes in code that is not ours
                self.tree = ast.parse(file.text or "", filename=file.path)
        except SyntaxError as error:
            self.problem = Problem(error.lineno or 1, error.msg or "invalid syntax")
        except (RecursionError, MemoryError, ValueError) as error:
            self.problem = Problem(1, f"cannot be parsed: {error or type(error).__name__}")

    @property
    def name(self) -> str:
        """Dotted, from the project's root: src.train."""
        parts = PurePosixPath(self.path).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node, outermost first, in order of the source where depths are equal."""
        return list(ast.walk(self.tree)) if self.tree else []

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in self.nodes for child in ast.iter_child_nodes(node)}

    @cached_property
    def definitions(self) -> dict[str, Definition]:
        """By qualified name, nested ones included; of two with one name the last, as in Python."""
        found: dict[str, Definition] = {}
        pending: list[tuple[str, ast.AST]] = [("", self.tree)] if self.tree else []
        while pending:
            prefix, node = pending.pop()
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    name = f"{prefix}{child.name}"
                    found[name] = Definition(name, child, self)
                    pending.append((f"{name}.", child))
                else:
                    pending.append((prefix, child))
        return dict(sorted(found.items(), key=lambda item: item[1].line))

    def source(self, line: int) -> str:
        """A line of the source, stripped; empty where there is none."""
        lines = self.file.lines
        return lines[line - 1].strip() if 0 < line <= len(lines) else ""


class Project:
    """Everything that checks look at. Parsed once, when first asked for."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.label = tree.label

    def at(self, path: str) -> str:
        return self.tree.at(path)

    @cached_property
    def modules(self) -> dict[str, Module]:
        """By path, those that do not parse included."""
        return {file.path: Module(file) for file in self.tree.texts(".py")}

    @cached_property
    def configs(self) -> dict[str, Config]:
        """YAML files by path, those that do not parse included."""
        return {
            file.path: read_config(file)
            for file in self.tree.texts(".yaml", ".yml")
            if not _hosting(file.path)
        }

    @cached_property
    def manifest(self) -> Manifest:
        return read_manifest(self.tree)

    def parsed(self) -> Iterator[Module]:
        """The modules that parse."""
        return (module for module in self.modules.values() if module.tree is not None)

    @cached_property
    def by_name(self) -> dict[str, Module]:
        """Modules by dotted name."""
        return {module.name: module for module in self.modules.values()}

    @cached_property
    def strings(self) -> dict[str, list[tuple[str, int]]]:
        """Every string constant of the code, with the places (path, line) where it stands."""
        found: dict[str, list[tuple[str, int]]] = {}
        for module in self.parsed():
            for node in module.nodes:
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.setdefault(node.value, []).append((module.path, node.lineno))
        return found


def _hosting(path: str) -> bool:
    """Workflows and hooks of a code host are no configuration of the experiment."""
    return path.startswith((".github/", ".gitlab", ".circleci/", ".pre-commit"))


def constant(node: ast.AST | None) -> Any:
    """The value of a constant expression; `...` where it is not one."""
    try:
        return ast.literal_eval(node) if isinstance(node, ast.expr) else ...
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ...


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of names and attributes, `a.b()` chains and others give ''."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join(reversed([*parts, node.id]))
