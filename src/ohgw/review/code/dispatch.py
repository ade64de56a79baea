"""Texts that code chooses by: the values of if-chains and match statements, keys of registries."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ohgw.review.code.likeness import FUNCTIONS
from ohgw.review.code.memo import once
from ohgw.review.project import Module, Project


@dataclass(frozen=True)
class Branch:
    """A text for which there is code of its own."""

    value: str
    line: int
    module: Module
    function: ast.AST | None
    kind: Literal["branch", "key"]
    names: frozenset[str]  # what that code calls
    body: tuple[ast.stmt, ...] = ()  # of a branch


@once
def branches(project: Project) -> list[Branch]:
    """Of every module that parses, without branches that only raise an error."""
    return [branch for module in project.parsed() for branch in _of(module)]


@once
def texts(project: Project) -> frozenset[str]:
    """Every text that code or configuration may choose by."""
    found = set(project.strings)
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.keyword) and node.arg:
                found.add(node.arg)  # dict(adam=...)
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)  # registered under its own name, or found by getattr
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
    return frozenset(found)


def _of(module: Module) -> Iterator[Branch]:
    for node in module.nodes:
        if isinstance(node, ast.If) and not _only_raises(node.body):
            called, function = _called(node.body), _function(module, node)
            for value in _compared(node.test):
                body = tuple(node.body)
                yield Branch(value, node.lineno, module, function, "branch", called, body)
        elif isinstance(node, ast.match_case) and not _only_raises(node.body):
            called, function = _called(node.body), _function(module, node)
            for part in ast.walk(node.pattern):
                text = part.value if isinstance(part, ast.MatchValue) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    place, body = text.lineno, tuple(node.body)
                    yield Branch(text.value, place, module, function, "branch", called, body)
        elif isinstance(node, ast.Dict) and len(node.keys) > 1:
            yield from _keys(module, node)


def _called(body: Sequence[ast.AST]) -> frozenset[str]:
    """The last parts of the names that some code calls or refers to as a class."""
    found = set()
    for root in body:
        for node in ast.walk(root):
            target = node.func if isinstance(node, ast.Call) else node
            name = getattr(target, "id", None) or getattr(target, "attr", None)
            if isinstance(name, str) and (target is not node or name[:1].isupper()):
                found.add(name)
    return frozenset(found)


def _keys(module: Module, node: ast.Dict) -> Iterator[Branch]:
    """Keys of a display whose values are all functions or classes: a registry."""
    made = (ast.Name, ast.Attribute, ast.Lambda)
    values = [v for v in node.values if not (isinstance(v, ast.Constant) and v.value is None)]
    if not values or not all(isinstance(value, made) for value in values):
        return
    if not any(isinstance(v, ast.Lambda) or _is_definition(module, v) for v in values):
        return
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            if not isinstance(value, ast.Constant):
                name = getattr(value, "id", None) or getattr(value, "attr", None)
                called = frozenset([name]) if name else _called([value])
                function = _function(module, node)
                yield Branch(key.value, key.lineno, module, function, "key", called)


def _is_definition(module: Module, value: ast.expr) -> bool:
    name = str(getattr(value, "id", None) or getattr(value, "attr", ""))
    return name in module.definitions or name[:1].isupper()


def _compared(test: ast.expr) -> Iterator[str]:
    """Texts that a test compares something with for equality, or looks for it among."""
    pending: list[ast.expr] = [test]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.BoolOp):
            pending += node.values
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            (right,) = node.comparators
            if isinstance(node.ops[0], ast.Eq):
                sides = [node.left, right]
            elif isinstance(node.ops[0], ast.In) and isinstance(
                right, ast.Tuple | ast.List | ast.Set
            ):
                sides = list(right.elts)
            else:
                continue
            for side in sides:
                if isinstance(side, ast.Constant) and isinstance(side.value, str):
                    if side.value and side.value != "__main__":
                        yield side.value


def _only_raises(body: list[ast.stmt]) -> bool:
    return all(isinstance(node, ast.Raise | ast.Pass) for node in body)


def _function(module: Module, node: ast.AST) -> ast.AST | None:
    """The outermost function around a node, or the method."""
    up = module.parents.get(node)
    last: ast.AST | None = None
    while up is not None:
        if isinstance(up, FUNCTIONS):
            last = up
        up = module.parents.get(up)
    return last
