"""Methods of configurations and displays, and of argparse's parsers."""

import ast
from typing import TYPE_CHECKING

from ohgw.review.code.flow import calls
from ohgw.review.code.flow.scopes import Scope
from ohgw.review.code.flow.values import (
    EACH,
    MERGED,
    NOTHING,
    OPEN,
    At,
    Obj,
    Ref,
    Text,
    Value,
    derived,
    union,
)
from ohgw.review.code.nodes import Node
from ohgw.review.project import constant

if TYPE_CHECKING:
    from ohgw.review.code.flow.solver import Solver


def get_attribute(
    solver: "Solver", node: ast.Call, positional: list[Value], last: str, scope: Scope
) -> Value:
    name = constant(node.args[1])
    keys = [name] if isinstance(name, str) else []
    keys += [item.value for item in positional[1] if isinstance(item, Text) and not keys]
    optional = last == "hasattr" or len(node.args) > 2
    solver.read(node, scope, keys, positional[0], "get", optional)
    if last == "hasattr":
        return NOTHING
    found = solver.items(positional[0], list(keys))
    return found | (positional[2] if len(positional) > 2 else NOTHING)


def method(
    solver: "Solver", node: ast.Call, function: ast.Attribute, base: Value, scope: Scope
) -> Value | None:
    """A method of a part of a configuration, a display or a parser; None where it is none."""
    name = function.attr
    parsers = [item for item in base if isinstance(item, Obj) and item.kind == "parser"]
    if parsers:
        return _parser(solver, node, name, parsers, scope)
    data = frozenset(
        item
        for item in base
        if isinstance(item, At) or (isinstance(item, Obj) and item.kind in ("display", "namespace"))
    )
    if not data:
        known = name in calls.SELF_METHODS or name in calls.TEXT_METHODS
        return base if base and known and _texts(solver, node, scope) else None
    if name in ("get", "pop", "setdefault"):
        return _get(solver, node, name, base, scope)
    arguments = [solver.value_of(argument, scope) for argument in node.args]
    named = {k.arg: solver.value_of(k.value, scope) for k in node.keywords}
    if name == "items":
        site, pair = (node, "items"), (node, "pair")
        solver.heap.store(pair, 0, solver.elements(data))
        solver.heap.store(pair, 1, solver.below(data))
        solver.heap.store(site, EACH, {Obj(pair)})
        solver.heap.store(site, "items", data)
        for item in data:
            if isinstance(item, At):
                solver.record.whole |= set(_scalars(item))
        return frozenset({Obj(site)})
    if name == "values":
        solver.heap.store(node, EACH, solver.below(data))
        return frozenset({Obj(node)})
    if name == "keys":
        return data
    if name in ("append", "add", "insert", "extend"):
        given = union(arguments)
        given = solver.elements(given) if name == "extend" else given
        for item in data:
            solver.heap.store(item.node if isinstance(item, At) else item.site, EACH, given)
        return NOTHING
    if name == "update":
        for value in arguments:
            solver.write_all(data, value)
        for key, value in named.items():
            if key is not None:
                solver.write(data, key, value)
        return NOTHING
    if name in calls.SELF_METHODS:
        return data
    if name in calls.TEXT_METHODS:
        return derived(data)  # another text
    methods = [
        item for item in solver.value_of(function, scope) if isinstance(item, Ref)
    ] if any(isinstance(item, Obj) for item in base) else []  # fmt: skip
    return None if methods else NOTHING


def _texts(solver: "Solver", node: ast.Call, scope: Scope) -> bool:
    """Evaluates the arguments of a method of a string or path."""
    for argument in node.args:
        solver.value_of(argument, scope)
    return True


def _scalars(item: At) -> list[Node]:
    """Keys gone through by a loop are read."""
    return [child for child in (item.node.children or {}).values() if child.is_scalar]


def _get(solver: "Solver", node: ast.Call, name: str, base: Value, scope: Scope) -> Value:
    values = [solver.value_of(argument, scope) for argument in node.args]
    extra = [solver.value_of(keyword.value, scope) for keyword in node.keywords]
    keys = solver.keys_of(node.args[0], scope) if node.args else []
    optional = name != "pop" or len(node.args) > 1
    texts = [key for key in keys if isinstance(key, str)]
    if name == "pop" and node.args:
        solver.remove(node.args[0], base, node.args[0], scope)
    certain = bool(node.args) and isinstance(node.args[0], ast.Constant)
    solver.read(node, scope, texts, base, "get", optional or not certain)
    found = solver.items(base, keys)
    if name == "setdefault":
        for key in texts:
            solver.write(base, key, values[1] if len(values) > 1 else NOTHING)
    return found.union(*values[1:], *extra)


def _parser(solver: "Solver", node: ast.Call, name: str, parsers: list[Obj], scope: Scope) -> Value:
    """argparse: options are fields of the parser, parse_args gives them as a namespace."""
    named = {k.arg: k.value for k in node.keywords}
    for keyword in node.keywords:
        solver.value_of(keyword.value, scope)
    for argument in node.args:
        solver.value_of(argument, scope)
    for parser in parsers:
        if name == "add_argument":
            destination = _destination(node, named)
            if destination:
                default = named.get("default")
                given = solver.value_of(default, scope) if default is not None else NOTHING
                solver.heap.store(parser.site, destination, given | {OPEN})
            else:
                solver.heap.store(parser.site, MERGED, {OPEN})
        elif name == "set_defaults":
            for key, value in named.items():
                if key:
                    solver.heap.store(parser.site, key, solver.value_of(value, scope))
                else:
                    solver.heap.store(parser.site, MERGED, {OPEN})
        elif name in ("parse_args", "parse_known_args", "parse_intermixed_args"):
            space = (parser.site, "namespace")
            for option in solver.heap.keys(parser.site):
                solver.heap.store(space, option, solver.heap.field(parser.site, option))
            if name == "parse_known_args":
                solver.heap.store(node, 0, {Obj(space, "namespace")})
                return frozenset({Obj(node)})
            return frozenset({Obj(space, "namespace")})
        elif name in ("add_argument_group", "add_mutually_exclusive_group", "add_subparsers",
                      "add_parser"):  # fmt: skip
            destination = constant(named.get("dest"))
            if isinstance(destination, str):
                solver.heap.store(parser.site, destination, {OPEN})
            return frozenset(parsers)
    return NOTHING


def _destination(node: ast.Call, named: dict[str | None, ast.expr]) -> str:
    given = constant(named.get("dest"))
    if isinstance(given, str):
        return given
    flags = [value for value in map(constant, node.args) if isinstance(value, str)]
    long = [flag for flag in flags if flag.startswith("--")] or flags
    return long[0].lstrip("-").replace("-", "_") if long else ""
