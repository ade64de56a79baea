"""Reads of keys, resolved: which parts of the configuration have the key and which lack it."""

import ast
from dataclasses import dataclass

from ohgw.review.code.flow.branching import guarded, reachable
from ohgw.review.code.flow.reads import Flow
from ohgw.review.code.flow.values import EACH, MERGED, OPEN, At, Item, Obj, Read
from ohgw.review.code.memo import once
from ohgw.review.code.nodes import Node
from ohgw.review.project import Module, Project


@dataclass(frozen=True)
class Lookup:
    """`has` and `lacks` are mappings of configurations; `certain` where nothing else is read."""

    read: Read
    has: tuple[Node, ...]
    lacks: tuple[Node, ...]
    certain: bool
    merged: bool  # the mappings are one, merged: any of them may have the key


def lookup(answers: Flow, read: Read) -> Lookup | None:
    """None where no part of a configuration is asked."""
    has: list[Node] = []
    lacks: list[Node] = []
    certain, merged, found = OPEN not in read.bases, False, False
    for item in read.bases:
        members: set[Item] = {item}
        if isinstance(item, Obj):
            members = answers.solver.spread({item})
        parts = [m for m in members if isinstance(m, At) and _is_mapping(m.node)]
        if any(isinstance(m, At) and not _is_mapping(m.node) and m.node.children for m in members):
            certain = False  # a list, where a mapping is asked
        if OPEN in members or any(m.loose for m in parts):
            certain = False
        if isinstance(item, Obj):
            if item.kind != "display":
                certain = False
            elif _object_has(answers, members, read.key):
                found = True
            merged = merged or bool(parts)
        own = [m.node for m in parts if _has(answers, m.node, read.key)]
        if isinstance(item, Obj) and own:
            has += own  # what is merged needs the key once
        else:
            has += own
            lacks += [m.node for m in parts if m.node not in own]
            if isinstance(item, Obj) and not parts and not found:
                certain = False
    if not has and not lacks:
        return None
    return Lookup(read, tuple(has), tuple(lacks), certain and not found, merged)


def _is_mapping(node: Node) -> bool:
    return node.children is not None and node.key_kind is not int


def _has(answers: Flow, node: Node, key: str) -> bool:
    stored = answers.solver.heap.keys(node)
    return node.child(key) is not None or any(name in (key, EACH, MERGED) for name in stored)


def _object_has(answers: Flow, members: set[Item], key: str) -> bool:
    heap = answers.solver.heap
    return any(
        isinstance(m, Obj) and any(name in (key, EACH) for name in heap.keys(m.site))
        for m in members
    )


@once
def asked_keys(project: Project) -> dict[ast.AST, set[str]]:
    """Keys that a function tests for before it reads: `"a" in cfg`, `hasattr(cfg, "a")`."""
    found: dict[ast.AST, set[str]] = {}
    for module in project.parsed():
        for node in module.nodes:
            key: object = None
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
                key = getattr(node.left, "value", None)
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "hasattr":
                key = getattr(node.args[1], "value", None) if len(node.args) > 1 else None
            if isinstance(key, str):
                found.setdefault(function_of(module, node), set()).add(key)
    return found


def function_of(module: Module, node: ast.AST) -> ast.AST:
    """The innermost function around a node, or the module."""
    current = module.parents.get(node)
    while current is not None and not isinstance(current, ast.FunctionDef | ast.AsyncFunctionDef):
        current = module.parents.get(current)
    return current or module.tree or node


def happens(answers: Flow, read: Read, lacking: Node | None = None) -> bool:
    """Whether a read happens: in the variation of `lacking`, or in any where it is not given.

    Not where something catches its failure, asks for the key before, or is asked for by an option
    of the command line.
    """
    asked = asked_keys(answers.project).get(function_of(read.module, read.expr), set())
    if read.key in asked:
        return False
    if lacking is not None:
        leaf = next(lacking.leaves(), lacking)
        if guarded(answers, read.module, read.expr, leaf):
            return False
    elif not reachable(answers, read.module, read.expr):
        return False
    child: ast.AST = read.expr
    current = read.module.parents.get(child)
    while current is not None and not isinstance(current, ast.FunctionDef | ast.AsyncFunctionDef):
        if isinstance(current, ast.If | ast.IfExp | ast.While) and child is not current.test:
            if _optional_test(answers, current.test):
                return False
        if isinstance(current, ast.BoolOp) and child in current.values:
            before = current.values[: current.values.index(child)]
            if any(_may_guard(answers, value) for value in before):
                return False
        child, current = current, read.module.parents.get(current)
    return True


def _may_guard(answers: Flow, value: ast.expr) -> bool:
    """Whether a condition may ask something of the configuration; `reached is None` does not."""
    for item in ast.walk(value):
        if isinstance(item, ast.Call | ast.In | ast.NotIn):
            return True
        known = answers.record.values.get(item, frozenset())
        if any(found == OPEN or (isinstance(found, At) and not found.derived) for found in known):
            return True
    return False


_MODES = ("smoke", "full", "debug", "quick", "trial", "test", "dry")


def _optional_test(answers: Flow, test: ast.expr) -> bool:
    """A test of a command line's option other than the choice of smoke or full."""
    for item in ast.walk(test):
        value = answers.record.values.get(item, frozenset())
        name = getattr(item, "attr", getattr(item, "id", "")) or ""
        configured = any(isinstance(found, At) for found in value)  # `reachable` knows those
        if OPEN in value and not configured and not any(word in name.lower() for word in _MODES):
            return True
    return False
