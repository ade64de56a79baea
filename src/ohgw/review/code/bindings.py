"""Which names a module binds, anywhere in it, and whether it may have others that cannot be seen.

Wide on purpose: what is bound under a condition, in a loop or by `global` counts as bound.
"""

import ast
import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ohgw.review.code.resolve import absolute, names
from ohgw.review.project import Module, Project, dotted

ALWAYS = frozenset(dir(builtins)) | {
    "__file__", "__path__", "__builtins__", "__class__", "__annotations__", "__module__",
    "__qualname__", "__dict__", "__firstlineno__", "__static_attributes__", "WindowsError",
}  # fmt: skip
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Bindings:
    """Of one module."""

    top: frozenset[str]  # at module level: what another module can import
    anywhere: frozenset[str]  # in any scope
    is_open: bool  # `__getattr__`, a star import of something unknown, exec, globals()[...] = ...


_known: WeakKeyDictionary[Module, Bindings] = WeakKeyDictionary()


def bindings(project: Project, module: Module) -> Bindings:
    if module not in _known:
        _known[module] = Bindings(frozenset(), frozenset(), True)  # two that star-import each other
        _known[module] = _read(project, module)
    return _known[module]


def _read(project: Project, module: Module) -> Bindings:
    if module.tree is None:
        return Bindings(frozenset(), frozenset(), True)
    top = set(_bound(own_scope(module.tree)))
    anywhere = set(_bound(module.nodes))
    is_open = False
    for node in module.nodes:
        if isinstance(node, ast.Global):
            top |= set(node.names)
        elif isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            is_open = is_open or module.parents.get(node) is module.tree
        elif isinstance(node, ast.Call):
            is_open = is_open or _writes_names(node)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            holder = node.value
            is_open = is_open or (
                isinstance(holder, ast.Call) and dotted(holder.func) in ("globals", "vars")
            )
        elif isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            other = names(project).module(absolute(module, node), module)
            if other is None or other is module:
                is_open = True
            else:
                given = bindings(project, other)
                top |= given.top
                anywhere |= given.top
                is_open = is_open or given.is_open
    return Bindings(frozenset(top), frozenset(anywhere | top), is_open)


def _writes_names(node: ast.Call) -> bool:
    name = dotted(node.func)
    if name in ("exec", "globals", "builtins.exec", "gettext.install"):
        inside = name == "globals"
        return not inside or not node.args  # globals() may be written through
    if name == "setattr" and node.args:
        return "sys.modules" in ast.dump(node.args[0]) or "modules" in ast.dump(node.args[0])
    return False


def own_scope(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of the functions, classes and lambdas inside it."""
    pending = list(reversed(list(ast.iter_child_nodes(scope))))
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, _INNER):
            pending += reversed(getattr(node, "decorator_list", []))
        elif isinstance(node, _COMPREHENSIONS):
            # a comprehension's own variables are its own, but `:=` inside it is not
            pending += [inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
        else:
            pending += reversed(list(ast.iter_child_nodes(node)))


def _bound(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        elif isinstance(node, ast.arg):
            yield node.arg
        elif type(node).__name__ in ("TypeVar", "ParamSpec", "TypeVarTuple"):
            yield str(getattr(node, "name", ""))
