"""Hydra's compositions, worked out from the YAML files alone: what each entry point receives.

Neither Hydra nor the reviewed code is imported. What cannot be known statically (a path from the
environment, a store of structured configurations) makes an answer unknown, not a problem.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from ohgw.review.code.memo import once
from ohgw.review.code.nodes import Node, copied, from_config, merged
from ohgw.review.code.resolve import names
from ohgw.review.project import Definition, Module, Project, constant

MAX_ROOTS = 64


@dataclass(frozen=True)
class Problem:
    """Why a composition fails, and where."""

    path: str
    line: int
    message: str
    fix: str


@dataclass
class Composition:
    """What one function decorated with `hydra.main` receives.

    `roots` holds one configuration for each option of the group that varies most (the runs);
    empty with `known` False where it cannot be told.
    """

    entry: Definition
    decorator: ast.Call
    folder: str | None = None  # of the primary configuration, in the tree
    primary: str | None = None
    roots: list[Node] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)  # group -> its options
    chosen: set[str] = field(default_factory=set)  # groups that the defaults list names
    problems: list[Problem] = field(default_factory=list)
    known: bool = True
    complete: bool = True  # False where something is left to the command line or missing


@once
def compositions(project: Project) -> list[Composition]:
    """Every function that Hydra calls, with what it receives."""
    found = []
    resolver = names(project)
    for module in project.parsed():
        for definition in module.definitions.values():
            for decorator in definition.node.decorator_list:
                if isinstance(decorator, ast.Call) and resolver.full(
                    module, decorator.func
                ).endswith("hydra.main"):
                    found.append(_compose(project, definition, decorator))
    return found


def _compose(project: Project, entry: Definition, decorator: ast.Call) -> Composition:
    result = Composition(entry, decorator)
    given = dict(zip(("config_path", "config_name"), decorator.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in decorator.keywords if keyword.arg}
    if any(keyword.arg is None for keyword in decorator.keywords):
        result.known = False
        return result
    module, line = entry.module, decorator.lineno
    folder = _folder(module, given.get("config_path"))
    name = _text(module, given.get("config_name"))
    if "config_name" not in given or constant(given["config_name"]) is None:
        result.known = False  # legal where the command line gives --config-name
        result.folder = folder
        return result
    if folder is None or name is None or _stores(project):
        result.known, result.folder = False, folder
        return result
    result.folder = folder
    path = _file(project, folder, name)
    if path is None:
        inside = [p for p in project.configs if p.startswith(f"{folder}/" if folder else "")]
        what = f"no file {name}.yaml in {folder or '.'}" if inside else f"no folder {folder}"
        result.known = False
        result.problems.append(
            Problem(
                module.path,
                line,
                f"hydra.main asks for the configuration {name!r}, but there is {what}.",
                "Correct config_path (relative to this file) or config_name, or add the file.",
            )
        )
        return result
    result.primary = path
    if project.configs[path].problem:
        result.known = False
        return result
    _Composer(project, result).compose()
    return result


def _stores(project: Project) -> bool:
    """Structured configurations are stored by code: the names they answer to are not files."""
    return any(
        isinstance(node, ast.Name) and node.id == "ConfigStore"
        for module in project.parsed()
        for node in module.nodes
    )


def _text(module: Module, node: ast.AST | None) -> str | None:
    """A string, also by the name of a constant of the module."""
    value = constant(node)
    if isinstance(value, str):
        return value
    if isinstance(node, ast.Name):
        bound = _bound(module, node.id)
        value = constant(bound) if bound is not None else ...
        if isinstance(value, str):
            return value
    return None


def _bound(module: Module, name: str) -> ast.expr | None:
    for statement in module.tree.body if module.tree else []:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    return statement.value
    return None


def _folder(module: Module, node: ast.AST | None) -> str | None:
    """The folder in the tree that config_path means; None where it cannot be told."""
    here = PurePosixPath(module.path).parent
    text = _text(module, node)
    if text is None:
        if isinstance(node, ast.Name):
            node = _bound(module, node.id)
        return _from_file(here, node) if node is not None else None
    if text.startswith(("/", "pkg:", "~")):
        return None
    parts: list[str] = [] if str(here) == "." else list(here.parts)
    for part in PurePosixPath(text).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _from_file(here: PurePosixPath, node: ast.AST) -> str | None:
    """`str(Path(__file__).resolve().parent.parent / "config")` and its like."""
    source = ast.unparse(node) if isinstance(node, ast.expr) else ""
    if "__file__" not in source or len(source) > 500:
        return None
    ups = source.count(".parent") + source.count("dirname(") + 2 * source.count("parents[1]")
    ups += source.count("parents[0]") + 3 * source.count("parents[2]") - source.count(".parents")
    tail = [part for part in re.findall(r"'([\w./-]+)'", source)]
    parts = [] if str(here) == "." else list(here.parts)
    if ups < 1 or ups - 1 > len(parts):
        return None
    for part in [p for text in tail for p in PurePosixPath(text).parts]:
        if part == "..":
            ups += 1
    parts = parts[: len(parts) - (ups - 1)] if ups > 1 else parts
    return "/".join([*parts, *(p for t in tail for p in PurePosixPath(t).parts if p not in "..")])


def _file(project: Project, folder: str, name: str) -> str | None:
    stem = name.removesuffix(".yaml").removesuffix(".yml")
    for suffix in (".yaml", ".yml"):
        path = f"{folder}/{stem}{suffix}" if folder else f"{stem}{suffix}"
        if path in project.configs:
            return path
    return None


class _Composer:
    """Follows defaults lists from the primary configuration."""

    def __init__(self, project: Project, result: Composition) -> None:
        self.project = project
        self.result = result
        self.folder = result.folder or ""
        self.groups = _groups(project, self.folder)
        result.groups = self.groups
        self.depth = 0

    def compose(self) -> None:
        primary = self.result.primary or ""
        root = self._load(primary, "")
        choice = self._runs(root)
        if choice is None:
            self.result.roots = [root]
            return
        group, options = choice
        for option in options[:MAX_ROOTS]:
            path = _file(self.project, f"{self.folder}/{group}" if self.folder else group, option)
            if path and not self.project.configs[path].problem:
                chosen = self._load(primary, "", {group: option})
                self.result.roots.append(chosen)
        if not self.result.roots:
            self.result.roots = [root]

    def _runs(self, root: Node) -> tuple[str, list[str]] | None:
        """The group with the most options among those that the primary defaults list names."""
        chosen = [(len(options), group) for group, options in self.groups.items()
                  if group in self.result.chosen]  # fmt: skip
        if not chosen:
            return None
        count, group = max(chosen)
        return (group, self.groups[group]) if count > 1 else None

    def _load(
        self, path: str, package: str, choices: dict[str, str] | None = None, depth: int = 0
    ) -> Node:
        """One file with its own defaults, put where its package says."""
        own = copied(from_config(self.project.configs[path]))
        defaults = own.children.pop("defaults", None) if own.children else None
        package = _package(self.project, path, package)
        placed = _wrapped(own, package)
        if defaults is None or depth > 10:
            return placed
        low: Node | None = None
        seen_self = False
        for entry in list((defaults.children or {}).values()):
            if entry.is_scalar and entry.value == "_self_":
                low = merged(low, placed) if low is not None else placed
                seen_self = True
                continue
            for part in self._entry(entry, path, choices or {}, depth):
                low = merged(low, part) if low is not None else part
        if not seen_self:
            low = merged(low, placed) if low is not None else placed
        return low if low is not None else placed

    def _entry(self, entry: Node, path: str, choices: dict[str, str], depth: int) -> Iterator[Node]:
        """What one item of a defaults list brings in."""
        items: list[tuple[str, object]]
        if entry.is_scalar:
            items = [(str(entry.value), ...)] if isinstance(entry.value, str) else []
        else:
            items = [(str(k), c.value if c.is_scalar else c.plain())
                     for k, c in (entry.children or {}).items()]  # fmt: skip
        for key, option in items:
            words = key.split()
            optional, override = "optional" in words[:-1], "override" in words[:-1]
            group, _, package = words[-1].partition("@") if words else ("", "", "")
            if group.startswith(("hydra/", "/hydra/")):
                continue
            relative = str(PurePosixPath(path).parent.relative_to(self.folder or "."))
            base = "" if relative == "." or group.startswith("/") else f"{relative}/"
            group = group.lstrip("/")
            if option is ...:  # a file by its path: `- base`, `- model/base`
                yield from self._include(base + group, package, entry, optional, depth)
                continue
            group = base + group
            if base == "":
                self.result.chosen.add(group)
            option = choices.get(group, option)
            if option in ("???", None) and group not in choices:  # left to the command line
                self.result.complete = self.result.complete and group in self.groups
            if override or option is None or option == "???":
                continue
            for name in option if isinstance(option, list) else [option]:
                if isinstance(name, str) and "${" not in name:
                    where = package or group.replace("/", ".")
                    yield from self._include(f"{group}/{name}", where, entry, optional, depth)

    def _include(
        self, name: str, package: str, entry: Node, optional: bool, depth: int
    ) -> Iterator[Node]:
        path = _file(self.project, self.folder, name)
        if path is None:
            self.result.complete = False
            if not optional and "${" not in name:
                group = name.rpartition("/")[0]
                known = ", ".join(self.groups.get(group, [])[:8])
                self.result.problems.append(
                    Problem(
                        entry.path,
                        entry.line,
                        f"the defaults list names {name!r}, but there is no "
                        f"{self.folder + '/' if self.folder else ''}{name}.yaml.",
                        f"Options of {group!r}: {known}." if known else "Add the file.",
                    )
                )
            return
        if not self.project.configs[path].problem:
            if not package:
                parent = str(PurePosixPath(name).parent)
                package = "" if parent == "." else parent.replace("/", ".")
            yield self._load(path, package, None, depth + 1)


def _groups(project: Project, folder: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    prefix = f"{folder}/" if folder else ""
    for path in sorted(project.configs):
        inside = PurePosixPath(path.removeprefix(prefix))
        if path.startswith(prefix) and str(inside.parent) != ".":
            found.setdefault(str(inside.parent), []).append(inside.stem)
    return found


def _package(project: Project, path: str, package: str) -> str:
    """`# @package _global_` at the head of a file moves it."""
    for line in project.configs and project.tree.files[path].lines[:5]:
        header = re.match(r"#\s*@package\s+(\S+)", line)
        if header:
            name = header[1]
            return "" if name == "_global_" else name.replace("_group_", package)
    return "" if package == "_global_" else package


def _wrapped(node: Node, package: str) -> Node:
    for key in reversed([part for part in package.split(".") if part and part != "_global_"]):
        outer = Node(node.path, node.line)
        outer.add(key, node)
        node = outer
    return node
