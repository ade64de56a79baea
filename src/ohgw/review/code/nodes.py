"""Configurations as trees of nodes that know their place, wherever they were written.

YAML, JSON and TOML files and the literals of Python modules all become `Node`s, so that a check
asks one question of them all. Merging (as Hydra does) makes new nodes that remember the old.
"""

import ast
import json
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from ohgw.review.code.memo import once
from ohgw.review.config import MAX_DEPTH, Config, Path, read_config
from ohgw.review.project import Module, Project, constant
from ohgw.review.tree import File

MAX_PYTHON_NODES = 20_000


class Node:
    """A mapping, a list or a scalar of a configuration."""

    __slots__ = (
        "__weakref__", "children", "expr", "key", "line", "origin", "parent", "path", "quoted",
        "text", "value",
    )  # fmt: skip

    def __init__(self, path: str, line: int, key: str | int | None = None) -> None:
        self.path = path  # of the file
        self.line = line
        self.key = key
        self.parent: Node | None = None
        self.children: dict[str | int, Node] | None = None  # None for scalars
        self.value: Any = None  # of a scalar
        self.text = ""
        self.quoted = False
        self.expr: ast.expr | None = None  # of code that is more than a literal
        self.origin: Node = self  # of what a merge copied

    @property
    def is_mapping(self) -> bool:
        return self.children is not None and self.key_kind is not int

    @property
    def key_kind(self) -> type | None:
        """int for lists, str for mappings, None for what has no children."""
        if not self.children:
            return None
        return int if all(isinstance(key, int) for key in self.children) else str

    @property
    def is_scalar(self) -> bool:
        return self.children is None

    def child(self, key: str | int) -> "Node | None":
        return self.children.get(key) if self.children else None

    def add(self, key: str | int, child: "Node") -> None:
        if self.children is None:
            self.children = {}
        child.key, child.parent = key, self
        self.children[key] = child

    def at(self, *keys: str | int) -> "Node | None":
        node: Node | None = self
        for key in keys:
            node = node.child(key) if node else None
        return node

    def walk(self) -> Iterator["Node"]:
        """This node and everything below it."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending += reversed(list(node.children.values())) if node.children else []

    def leaves(self) -> Iterator["Node"]:
        return (node for node in self.walk() if not node.children)

    @property
    def route(self) -> tuple[str | int, ...]:
        """Keys from the root."""
        keys: list[str | int] = []
        node = self
        while node.parent is not None and node.key is not None:
            keys.append(node.key)
            node = node.parent
        return tuple(reversed(keys))

    @property
    def dotted(self) -> str:
        return ".".join(map(str, self.route))

    @property
    def root(self) -> "Node":
        node = self
        while node.parent is not None:
            node = node.parent
        return node

    def plain(self) -> Any:
        """As Python values."""
        if self.children is None:
            return self.value
        if self.key_kind is int:
            return [child.plain() for child in self.children.values()]
        return {key: child.plain() for key, child in self.children.items()}


def from_config(config: Config) -> Node:
    root = Node(config.path, 1)
    _give(root, config.value)
    by_path: dict[Path, Node] = {(): root}
    for path in sorted(config.entries, key=len):
        entry = config.entries[path]
        node = Node(config.path, entry.line)
        _give(node, entry.value)
        node.text, node.quoted = entry.text, entry.quoted
        by_path[path] = node
        by_path[path[:-1]].add(path[-1], node)
    if isinstance(config.value, dict | list) and root.children:
        for node in by_path.values():  # in the order of the file, not of depth
            if node.children:
                node.children = dict(sorted(node.children.items(), key=lambda item: item[1].line))
    return root


def _give(node: Node, value: Any) -> None:
    if isinstance(value, dict | list):
        node.children = {}
    else:
        node.value = value


def copied(node: Node) -> Node:
    """A copy with the same places; recursion is bounded by the depth of what was read."""
    copy = Node(node.path, node.line, node.key)
    copy.value, copy.text, copy.quoted, copy.origin = (
        node.value,
        node.text,
        node.quoted,
        node.origin,
    )
    if node.children is not None:
        copy.children = {}
        for key, child in node.children.items():
            copy.add(key, copied(child))
    return copy


def merged(low: Node, high: Node) -> Node:
    """`high` over `low`: mappings key by key, everything else replaced."""
    both_mappings = low.children is not None and high.children is not None
    if not both_mappings or low.key_kind is int or high.key_kind is int:
        return copied(high)
    result = copied(low)
    for key, child in (high.children or {}).items():
        below = result.child(key)
        result.add(key, merged(below, child) if below is not None else copied(child))
    return result


@once
def configurations(project: Project) -> list[Node]:
    """The roots of every configuration file and of every literal mapping of the code."""
    roots = [from_config(config) for config in project.configs.values() if not config.problem]
    for file in project.tree.texts(".json"):
        if PurePosixPath(file.path).suffix == ".json" and _may_configure(file.path):
            roots += _json(file)
    for file in project.tree.texts(".toml"):
        if file.path != "pyproject.toml" and _may_configure(file.path):
            roots += _toml(file)
    for module in project.parsed():
        roots += _python(module)
    return roots


@once
def files(project: Project) -> list[Node]:
    """The roots that are files, not literals of the code."""
    return [root for root in configurations(project) if not root.path.endswith(".py")]


_RESULT_WORDS = (
    "result",
    "metric",
    "output",
    "log",
    "vocab",
    "tokenizer",
    "package",
    "lock",
    "dvc",
)


def _may_configure(path: str) -> bool:
    parts = [part.lower() for part in PurePosixPath(path).parts]
    return not any(part.startswith(".") for part in parts) and not any(
        word in part for part in parts for word in _RESULT_WORDS
    )


def _json(file: File) -> list[Node]:
    """JSON is YAML, but for tabs, which only cost the line numbers."""
    config = read_config(file)
    if not config.problem:
        return [from_config(config)] if isinstance(config.value, dict | list) else []
    try:
        value = json.loads(file.text or "")
    except (ValueError, RecursionError):
        return []
    return [_plain(file, value)] if isinstance(value, dict | list) else []


def _toml(file: File) -> list[Node]:
    try:
        return [_plain(file, tomllib.loads(file.text or ""))]
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return []


def _plain(file: File, value: Any) -> Node:
    """A value without lines: each key is put at the first line after its parent's that has it."""
    root = Node(file.path, 1)
    pending: list[tuple[Node, Any, int]] = [(root, value, 0)]
    while pending:
        node, content, depth = pending.pop()
        _give(node, content)
        items: Iterable[tuple[str | int, Any]] = ()
        if isinstance(content, dict) and depth < MAX_DEPTH:
            items = content.items()
        elif isinstance(content, list) and depth < MAX_DEPTH:
            items = enumerate(content)
        for key, item in items:
            child = Node(file.path, _line_of(file, str(key), node.line))
            if isinstance(item, str):
                child.text, child.quoted = item, True
            node.add(key, child)
            pending.append((child, item, depth + 1))
    return root


def _line_of(file: File, key: str, start: int) -> int:
    for number in range(start, len(file.lines) + 1):
        if key in file.lines[number - 1]:
            return number
    return start


def _python(module: Module) -> list[Node]:
    """Module-level names bound to a mapping, or to a list of mappings or names, one root a module.

    Calls with keywords (`Run(name="a", lr=0.1)`, `dict(lr=0.1)`) count as mappings.
    """
    root = Node(module.path, 1)
    count = 0
    for statement in module.tree.body if module.tree else []:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if not isinstance(target, ast.Name) or not isinstance(
            value, ast.Dict | ast.List | ast.Tuple
        ):
            continue
        node = literal(module.path, value)
        count += sum(1 for _ in node.walk())
        if count > MAX_PYTHON_NODES:
            break
        node.line = statement.lineno
        if node.children:
            root.add(target.id, node)
    return [root] if root.children else []


def literal(path: str, value: ast.expr, depth: int = 0) -> Node:
    """A display of Python as a node; what is no literal is a scalar `...`."""
    node = Node(path, value.lineno)
    node.value = ...
    if depth > MAX_DEPTH:
        return node
    if isinstance(value, ast.Dict):
        node.children = {}
        for key, item in zip(value.keys, value.values, strict=True):
            name = constant(key)
            if isinstance(name, str | int):
                child = literal(path, item, depth + 1)
                child.line = key.lineno if key else child.line
                node.add(name, child)
    elif isinstance(value, ast.List | ast.Tuple | ast.Set):
        node.children = {}
        for k, item in enumerate(value.elts):
            node.add(k, literal(path, item, depth + 1))
    elif isinstance(value, ast.Call) and value.keywords:
        node.children, node.expr = {}, value
        for keyword in value.keywords:
            if keyword.arg:
                child = literal(path, keyword.value, depth + 1)
                child.line = keyword.value.lineno
                node.add(keyword.arg, child)
    else:
        node.value = constant(value)
        node.expr = value if node.value is ... else None
        node.text, node.quoted = str(node.value), isinstance(node.value, str)
    return node
