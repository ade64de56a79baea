"""The scopes of a module and the statements that are their own."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from ohgw.review.code.memo import once
from ohgw.review.project import Module, Project

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass
class Scope:
    """A module, class, function or lambda: `nodes` are its own, without those of inner scopes."""

    node: ast.AST
    module: Module
    outer: "Scope | None"
    nodes: list[ast.AST] = field(default_factory=list)  # statements and lambdas' bodies, in order
    locals: set[str] = field(default_factory=set)
    globals: set[str] = field(default_factory=set)

    @property
    def is_class(self) -> bool:
        return isinstance(self.node, ast.ClassDef)

    @property
    def is_function(self) -> bool:
        return isinstance(self.node, FUNCTIONS)


@once
def all_scopes(project: Project) -> dict[ast.AST, Scope]:
    """Of every module that parses."""
    found: dict[ast.AST, Scope] = {}
    for module in project.parsed():
        found |= scopes(module)
    return found


def scopes(module: Module) -> dict[ast.AST, Scope]:
    """By their node: the module first, outer ones before inner ones."""
    found: dict[ast.AST, Scope] = {}
    if module.tree is None:
        return found
    pending: list[tuple[ast.AST, Scope | None]] = [(module.tree, None)]
    while pending:
        node, outer = pending.pop(0)
        scope = Scope(node, module, outer)
        found[node] = scope
        if isinstance(node, FUNCTIONS):
            scope.locals |= {argument.arg for argument in parameters(node.args)}
        body = [node.body] if isinstance(node, ast.Lambda) else list(getattr(node, "body", []))
        for inner in _collect(body, scope):
            pending.append((inner, scope))
    return found


def _collect(body: list[ast.AST], scope: Scope) -> Iterator[ast.AST]:
    """Fills a scope; yields the nodes of scopes inside it."""
    pending = list(reversed(body))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.stmt) or (isinstance(scope.node, ast.Lambda) and not scope.nodes):
            scope.nodes.append(node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            scope.locals.add(node.id)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            scope.globals |= set(node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            scope.locals.add(node.name)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            if not isinstance(node, ast.Lambda):
                scope.locals.add(node.name)
            yield node
            pending += reversed(_outside(node))
            continue
        pending += reversed(list(ast.iter_child_nodes(node)))


def _outside(node: ast.AST) -> list[ast.AST]:
    """Decorators, defaults and bases: evaluated where the definition stands."""
    outside: list[ast.AST] = list(getattr(node, "decorator_list", []))
    if isinstance(node, ast.ClassDef):
        return [*outside, *node.bases, *(keyword.value for keyword in node.keywords)]
    arguments = getattr(node, "args", None)
    if isinstance(arguments, ast.arguments):
        outside += [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]
    return outside


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    """All of them, in order, * and ** last."""
    found = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return found + [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
