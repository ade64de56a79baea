"""Editing sources by the places that their syntax trees know, so that all else stays as written."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import yaml

Function = ast.FunctionDef | ast.AsyncFunctionDef
T = TypeVar("T")


class Source:
    """A Python file: its text, its tree, and replacement of what a node spans."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines = text.splitlines(keepends=True)

    def offset(self, line: int, column: int) -> int:
        """Of a place as syntax trees give it: lines from 1, columns in bytes of UTF-8."""
        before = self._lines[line - 1].encode()[:column] if line <= len(self._lines) else b""
        return self._starts[line - 1] + len(before.decode())

    def span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno, node.end_col_offset),
        )

    def segment(self, node: ast.AST) -> str:
        first, last = self.span(node)
        return self.text[first:last]

    def replaced(self, node: ast.AST, new: str) -> str:
        first, last = self.span(node)
        return self.text[:first] + new + self.text[last:]

    def lines(self, first: int, last: int) -> str:
        """Lines `first` to `last`, both included."""
        return self.text[self._starts[first - 1] : self._starts[last]]

    def with_lines(self, first: int, last: int, new: str) -> str:
        """The text with these lines replaced; an empty range inserts before `first`."""
        start = self._starts[first - 1]
        end = self._starts[last] if last >= first else start
        return self.text[:start] + new + self.text[end:]

    def functions(self) -> Iterator[tuple[str, Function]]:
        """Functions and methods with qualified names, in order of the file; none nested in one."""
        pending: list[tuple[str, ast.stmt]] = [("", node) for node in reversed(self.tree.body)]
        while pending:
            prefix, node = pending.pop()
            if isinstance(node, Function):
                yield prefix + node.name, node
            elif isinstance(node, ast.ClassDef):
                pending += [(f"{node.name}.", child) for child in reversed(node.body)]

    def with_body(self, function: Function, body: str) -> str:
        """The text with another body below the docstring; `body` is not yet indented."""
        statements = after_docstring(function)
        indent = " " * statements[0].col_offset
        new = "".join(f"{indent}{line}\n" if line else "\n" for line in body.splitlines())
        return self.with_lines(statements[0].lineno, statements[-1].end_lineno, new)


def after_docstring(node: Function | ast.ClassDef | ast.Module) -> list[ast.stmt]:
    return node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body


def substantial(node: Function) -> bool:
    """More than one expression or a return of what was given."""
    body = after_docstring(node)
    return sum(1 for statement in body for _ in ast.walk(statement)) >= 12


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, evenly from first to last."""
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[0]]
    return [items[k * (len(items) - 1) // (count - 1)] for k in range(count)]


@dataclass(frozen=True)
class Scalar:
    """A scalar of a YAML file, with the keys on the way to it and its place in the text."""

    route: tuple[str | int, ...]
    value: object
    start: int
    end: int


def scalars(text: str) -> Iterator[Scalar]:
    """In order of the file; what an alias refers to is seen once, where it is written."""
    loader = yaml.SafeLoader(text)
    root = loader.get_single_node()
    pending = [((), root)] if root is not None else []
    seen: set[int] = set()
    while pending:
        route, node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            items = [((*route, str(k.value)), v) for k, v in node.value]
            pending += reversed(items)
        elif isinstance(node, yaml.SequenceNode):
            pending += reversed([((*route, k), v) for k, v in enumerate(node.value)])
        elif isinstance(node, yaml.ScalarNode):
            value = loader.construct_object(node)
            yield Scalar(route, value, node.start_mark.index, node.end_mark.index)


@dataclass(frozen=True)
class Item:
    """An item of a block list of a YAML file, with the lines it stands on (from 1)."""

    name: str  # its own, or that of its run_id, id or name
    first: int
    last: int
    text: str


def list_items(text: str, *keys: str) -> list[Item]:
    """Of the first list below one of the keys; empty where there is none in block style."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines = text.splitlines(keepends=True)
    for key, node in root.value if isinstance(root, yaml.MappingNode) else []:
        if key.value not in keys or not isinstance(node, yaml.SequenceNode) or node.flow_style:
            continue
        starts = [item.start_mark.line for item in node.value]
        ends = [*starts[1:], _end(lines, starts[-1])]
        return [
            Item(_name(item), first + 1, last, "".join(lines[first:last]))
            for item, first, last in zip(node.value, starts, ends, strict=True)
        ]
    return []


def _end(lines: list[str], start: int) -> int:
    """The line after the last item: the next one that is indented less, or the end."""
    indent = len(lines[start]) - len(lines[start].lstrip())
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            return number
    return len(lines)


def _name(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value in ("run_id", "id", "name"):
                return str(value.value)
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def without_lines(text: str, first: int, last: int) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[: first - 1] + lines[last:])


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))
