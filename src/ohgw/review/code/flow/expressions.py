"""What each kind of expression may be, from what its parts may be."""

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from ohgw.review.code.flow.applying import call
from ohgw.review.code.flow.scopes import Scope
from ohgw.review.code.flow.values import (
    EACH,
    MERGED,
    NOTHING,
    OPEN,
    At,
    Item,
    Obj,
    Open,
    Ref,
    Text,
    Value,
    derived,
    is_container,
    union,
)
from ohgw.review.project import dotted

if TYPE_CHECKING:
    from ohgw.review.code.flow.solver import Solver


def evaluate(solver: "Solver", node: ast.expr, scope: Scope) -> Value:
    known = _KINDS.get(type(node))
    if known is not None:
        return known(solver, node, scope)
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            solver.value_of(child, scope)
    return NOTHING


def _constant(solver: "Solver", node: ast.Constant, scope: Scope) -> Value:
    return frozenset({Text(node.value)}) if isinstance(node.value, str) else NOTHING


def _name(solver: "Solver", node: ast.Name, scope: Scope) -> Value:
    name = node.id
    current: Scope | None = scope
    while current is not None:
        visible = current is scope or not current.is_class
        if visible and name in current.locals and name not in current.globals:
            found = solver.heap.variable(current.node, name)
            if current.outer is not None or found:
                return found
        current = current.outer
    imported = solver.resolver.imports.get(scope.module, {}).get(name)
    if imported is not None and imported.module is not None and imported.name:
        tree = imported.module.tree
        value = solver.heap.variable(tree, imported.name) if tree else NOTHING
        if value:
            return value
    definition = solver.resolver.definition(scope.module, name)
    return frozenset({Ref(definition)}) if definition else NOTHING


def _attribute(solver: "Solver", node: ast.Attribute, scope: Scope) -> Value:
    base = solver.value_of(node.value, scope)
    if not base:
        return _of_module(solver, node, scope)
    found: set[Item] = set()
    data: set[Item] = set()
    for item in base:
        if isinstance(item, Obj) and item.kind == "class":
            for value in solver.field_of(item, node.attr):
                method = isinstance(value, Ref) and not value.definition.is_class
                found.add(Ref(value.definition, item) if method else value)  # type: ignore[union-attr]
        elif isinstance(item, Ref) and isinstance(item.definition.node, ast.ClassDef):
            found |= solver.field_of(Obj(item.definition.node, "class"), node.attr)
        elif isinstance(item, At | Obj):
            data.add(item)
        elif isinstance(item, Open):
            found.add(OPEN)
    if data:
        solver.read(node, scope, [node.attr], frozenset(data) | (base & {OPEN}), "attribute")
        found |= solver.item(frozenset(data), node.attr)
    return frozenset(found)


def _of_module(solver: "Solver", node: ast.Attribute, scope: Scope) -> Value:
    """A name of an imported module of the project."""
    name = dotted(node)
    if not name:
        return NOTHING
    bound = solver.resolver.imports.get(scope.module, {}).get(name.partition(".")[0])
    if bound is None or bound.module is None:
        return NOTHING
    if bound.name is None and bound.module.tree:
        value = solver.heap.variable(bound.module.tree, node.attr)
        if value:
            return value
    definition = solver.resolver.definition(scope.module, name)
    return frozenset({Ref(definition)}) if definition else NOTHING


def _subscript(solver: "Solver", node: ast.Subscript, scope: Scope) -> Value:
    base = solver.value_of(node.value, scope)
    if not base:
        solver.value_of(node.slice, scope)
        return NOTHING
    if isinstance(node.slice, ast.Slice):
        return base
    keys = solver.keys_of(node.slice, scope)
    texts = [key for key in keys if isinstance(key, str)]
    solver.read(node, scope, texts, base, "item", not isinstance(node.slice, ast.Constant))
    return solver.items(base, keys)


def _either(solver: "Solver", node: ast.BoolOp, scope: Scope) -> Value:
    return union(solver.value_of(item, scope) for item in node.values)


def _conditional(solver: "Solver", node: ast.IfExp, scope: Scope) -> Value:
    solver.value_of(node.test, scope)
    return solver.value_of(node.body, scope) | solver.value_of(node.orelse, scope)


def _named(solver: "Solver", node: ast.NamedExpr, scope: Scope) -> Value:
    value = solver.value_of(node.value, scope)
    solver.assign(node.target, value, scope)
    return value


def _operation(solver: "Solver", node: ast.BinOp, scope: Scope) -> Value:
    left, right = solver.value_of(node.left, scope), solver.value_of(node.right, scope)
    numbers = frozenset(
        item
        for item in derived(left) | derived(right)
        if isinstance(item, At) and not isinstance(item.node.value, str)
    )
    if isinstance(node.op, ast.Div):  # of paths, or of numbers
        return numbers | frozenset(item for item in right if isinstance(item, Text | Open))
    if isinstance(node.op, ast.BitOr) and any(
        isinstance(item, Obj) or is_container(item) for item in left | right
    ):
        solver.heap.store(node, MERGED, left | right)
        return frozenset({Obj(node)})
    if isinstance(node.op, ast.Add):  # lists too
        both = left | right
        return numbers | frozenset(i for i in both if isinstance(i, Obj) or is_container(i))
    return numbers


def _unary(solver: "Solver", node: ast.UnaryOp, scope: Scope) -> Value:
    return derived(solver.value_of(node.operand, scope))


def _compare(solver: "Solver", node: ast.Compare, scope: Scope) -> Value:
    left = solver.value_of(node.left, scope)
    for operator, item in zip(node.ops, node.comparators, strict=True):
        right = solver.value_of(item, scope)
        if isinstance(operator, ast.In | ast.NotIn) and right:
            keys = [i.value for i in left if isinstance(i, Text)]
            solver.read(node, scope, keys, right, "in", optional=True)
    return NOTHING


def _mapping(solver: "Solver", node: ast.Dict, scope: Scope) -> Value:
    for key, item in zip(node.keys, node.values, strict=True):
        value = solver.value_of(item, scope)
        if key is None:
            solver.heap.store(node, MERGED, value or frozenset({OPEN}))
        else:
            solver.heap.store(node, solver.key_of(key, scope), value)
    return frozenset({Obj(node)})


def _display(solver: "Solver", node: ast.Tuple | ast.List | ast.Set, scope: Scope) -> Value:
    for k, item in enumerate(node.elts):
        if isinstance(item, ast.Starred):
            solver.heap.store(node, EACH, solver.elements(solver.value_of(item.value, scope)))
        else:
            solver.heap.store(node, k, solver.value_of(item, scope))
    return frozenset({Obj(node)})


Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


def _comprehension(solver: "Solver", node: Comprehension, scope: Scope) -> Value:
    sources = NOTHING
    for generator in node.generators:
        value = solver.value_of(generator.iter, scope)
        sources |= value
        solver.assign(generator.target, solver.elements(value), scope)
        for test in generator.ifs:
            solver.value_of(test, scope)
    if not isinstance(node, ast.DictComp):
        solver.heap.store(node, EACH, solver.value_of(node.elt, scope))
        return frozenset({Obj(node)})
    solver.value_of(node.key, scope)
    held = solver.value_of(node.value, scope)
    # {k: v for k, v in part.items() if ...} is the part, or less of it
    mappings = union(
        solver.heap.field(item.site, "items") for item in sources if isinstance(item, Obj)
    )
    if mappings:
        solver.heap.store(node, MERGED, mappings | {OPEN})
    solver.heap.store(node, EACH, held)
    return frozenset({Obj(node)})


def _joined(solver: "Solver", node: ast.JoinedStr, scope: Scope) -> Value:
    """The name of a file, where the text ends in one."""
    last = ""
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            solver.value_of(part.value, scope)
            last = ""
        elif isinstance(part, ast.Constant):
            last = str(part.value)
    if "/" in last:
        return frozenset({Text(last.rpartition("/")[2])})
    return frozenset({OPEN}) if "." in last else NOTHING


def _passed(
    solver: "Solver", node: ast.Await | ast.Starred | ast.Yield | ast.YieldFrom, scope: Scope
) -> Value:
    value = solver.value_of(node.value, scope) if node.value else NOTHING
    if isinstance(node, ast.Yield):
        solver.heap.store(scope.node, EACH, value)
        solver.heap.give(scope.node, frozenset({Obj(scope.node)}))
    return value


def _function(solver: "Solver", node: ast.Lambda, scope: Scope) -> Value:
    solver.defaults(node.args, node, scope)
    return NOTHING


_KINDS: dict[type[ast.expr], Callable[..., Value]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Call: call,
    ast.BoolOp: _either,
    ast.IfExp: _conditional,
    ast.NamedExpr: _named,
    ast.BinOp: _operation,
    ast.UnaryOp: _unary,
    ast.Compare: _compare,
    ast.Dict: _mapping,
    ast.Tuple: _display,
    ast.List: _display,
    ast.Set: _display,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _comprehension,
    ast.JoinedStr: _joined,
    ast.Await: _passed,
    ast.Starred: _passed,
    ast.Yield: _passed,
    ast.YieldFrom: _passed,
    ast.Lambda: _function,
}
