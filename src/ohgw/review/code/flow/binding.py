"""Arguments to parameters: calls of the project's own functions and classes."""

import ast
from functools import cache
from typing import TYPE_CHECKING

from ohgw.review.code.flow.scopes import Scope, parameters
from ohgw.review.code.flow.values import (
    EACH,
    OPEN,
    At,
    Obj,
    Open,
    Ref,
    Splat,
    Text,
    Value,
    union,
)
from ohgw.review.project import Definition, dotted

if TYPE_CHECKING:
    from ohgw.review.code.flow.solver import Solver

_DICTIONARIES = ("dict", "Namespace", "SimpleNamespace", "UserDict")


def apply(
    solver: "Solver",
    node: ast.Call,
    target: Ref,
    positional: list[Value],
    scope: Scope,
    everything: Value,
) -> Value:
    """A function or class of the project."""
    definition = target.definition
    if not isinstance(definition.node, ast.ClassDef):
        bind(solver, node, target, positional, scope)
        return solver.heap.returned(definition.node)
    made: Value = frozenset({Obj(definition.node, "class")})
    splat(solver, node, definition, scope)
    constructor = _constructor(solver, definition.node)
    if constructor is not None:
        me = Obj(definition.node, "class")
        bind(solver, node, Ref(solver.definitions[constructor], me), positional, scope)
    else:
        _fill(solver, node, definition.node, positional, scope)
    if _transparent(definition.node):
        made |= frozenset(item for item in everything if isinstance(item, At | Open))
    return made


@cache
def _transparent(node: ast.ClassDef) -> bool:
    """Whether an instance has whatever attributes the mapping that it is made of has."""
    if any(dotted(base).rpartition(".")[2] in _DICTIONARIES for base in node.bases):
        return True
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef) and inner.name == "__getattr__":
            return True
        if isinstance(inner, ast.Attribute) and inner.attr == "__dict__":
            return True
        if isinstance(inner, ast.Call) and dotted(inner.func) == "setattr":
            return True
    return False


def _constructor(solver: "Solver", node: ast.ClassDef) -> ast.FunctionDef | None:
    for owner in (node, *solver.ancestors(node)):
        for statement in owner.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                return statement
    return None


def _fill(
    solver: "Solver", node: ast.Call, owner: ast.ClassDef, positional: list[Value], scope: Scope
) -> None:
    """The fields of a dataclass, a named tuple or a model."""
    fields = annotated(solver, owner)
    for name, value in zip(fields, positional, strict=False):
        solver.heap.store(owner, name, value)
    for keyword in node.keywords:
        value = solver.value_of(keyword.value, scope)
        if keyword.arg is None:
            for name in fields:
                solver.heap.store(owner, name, solver.item(value, name))
        else:
            solver.heap.store(owner, keyword.arg, value)


def annotated(solver: "Solver", owner: ast.ClassDef) -> list[str]:
    """Annotated names of a class body, those of its bases first."""
    found: list[str] = []
    for node in (*reversed(solver.ancestors(owner)), owner):
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                if statement.target.id not in found:
                    found.append(statement.target.id)
    return found


def bind(
    solver: "Solver",
    node: ast.Call,
    target: Ref,
    positional: list[Value],
    scope: Scope,
    skip: int = 0,
) -> None:
    """Arguments to parameters; `skip` leading arguments of the call are not the function's."""
    function = target.definition.node
    if isinstance(function, ast.ClassDef):
        constructor = _constructor(solver, function)
        if constructor is None:
            _fill(solver, node, function, positional, scope)
            return
        target = Ref(solver.definitions[constructor], Obj(function, "class"))
        function = constructor
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if is_class_method(function):
        names = names[1:]
    elif target.me is not None and not _static(function) and names:
        solver.heap.bind(function, names[0], {target.me})
        names = names[1:]
    given = node.args[skip:]
    if any(isinstance(argument, ast.Starred) for argument in given):
        pooled = union(solver.elements(v) | v for v in positional)
        for name in names:
            solver.heap.bind(function, name, {i for i in pooled if not isinstance(i, Text)})
    else:
        for name, value in zip(names, positional, strict=False):
            solver.heap.bind(function, name, value)
        if arguments.vararg is not None:
            for value in positional[len(names) :]:
                solver.heap.store((function, "*"), EACH, value)
            solver.heap.bind(function, arguments.vararg.arg, {Obj((function, "*"))})
    known = {*names, *(argument.arg for argument in arguments.kwonlyargs)}
    for keyword in node.keywords:
        value = solver.value_of(keyword.value, scope)
        if keyword.arg is None:
            for name in sorted(known):
                solver.heap.bind(function, name, solver.item(value, name))
            if arguments.kwarg is not None:
                solver.heap.bind(function, arguments.kwarg.arg, value)
        elif keyword.arg in known:
            solver.heap.bind(function, keyword.arg, value)
        elif arguments.kwarg is not None:
            solver.heap.store(function, keyword.arg, value)
            solver.heap.bind(function, arguments.kwarg.arg, {Obj(function)})
    splat(solver, node, target.definition, scope)


def is_class_method(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(dotted(item) == "classmethod" for item in function.decorator_list)


def _static(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(dotted(item) == "staticmethod" for item in function.decorator_list)


def splat(solver: "Solver", node: ast.Call, callee: Definition | None, scope: Scope) -> None:
    """Remembers `**part`: its keys are read as arguments."""
    for keyword in node.keywords:
        if keyword.arg is None:
            value = solver.value_of(keyword.value, scope)
            if any(isinstance(item, At | Obj) for item in value):
                solver.record.splats[node] = Splat(node, scope.module, callee, value)


def release(solver: "Solver", reference: Ref) -> None:
    function = reference.definition.node
    if isinstance(function, ast.FunctionDef):
        for argument in parameters(function.args):
            solver.heap.bind(function, argument.arg, {OPEN})


def signature(solver: "Solver", callee: Definition) -> tuple[list[str], set[str]] | None:
    """(parameters, those without a default) of a function or class; None where it takes any."""
    node = callee.node
    if isinstance(node, ast.ClassDef):
        constructor = _constructor(solver, node)
        if constructor is None:
            return _fields(solver, node)
        node = constructor
        skip = 1
    else:
        skip = 0 if "." not in callee.name or _static(node) else 1
    arguments = node.args
    if arguments.kwarg is not None or arguments.vararg is not None:
        return None
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    required = set(positional[: len(positional) - len(arguments.defaults)])
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is None:
            required.add(argument.arg)
    names = positional[skip:]
    return names + [a.arg for a in arguments.kwonlyargs], required & {
        *names,
        *(a.arg for a in arguments.kwonlyargs),
    }


def _fields(solver: "Solver", node: ast.ClassDef) -> tuple[list[str], set[str]] | None:
    """Of a dataclass of the project; None for other classes without a constructor."""
    owners = [node, *solver.ancestors(node)]
    if len(owners) != 1 + sum(len(owner.bases) for owner in owners):
        return None  # a base that is not the project's may have fields, too
    if not any(
        dotted(d.func if isinstance(d, ast.Call) else d).rpartition(".")[2] == "dataclass"
        for d in node.decorator_list
    ):
        return None
    required: set[str] = set()
    for owner in reversed(owners):
        for statement in owner.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                if "ClassVar" in ast.dump(statement.annotation):
                    continue
                value = statement.value
                given = value is not None
                if isinstance(value, ast.Call) and dotted(value.func).endswith("field"):
                    names = {keyword.arg for keyword in value.keywords}
                    given = bool(names & {"default", "default_factory", "init"})
                (required.discard if given else required.add)(statement.target.id)
    return annotated(solver, node), required
