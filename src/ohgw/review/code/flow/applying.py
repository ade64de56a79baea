"""What a call gives: the project's functions by their returns, a library's by their names."""

import ast
from typing import TYPE_CHECKING

from ohgw.review.code.flow import calls
from ohgw.review.code.flow.binding import apply, bind, release, splat
from ohgw.review.code.flow.loads import load
from ohgw.review.code.flow.methods import get_attribute, method
from ohgw.review.code.flow.scopes import Scope
from ohgw.review.code.flow.values import (
    EACH,
    MERGED,
    NOTHING,
    OPEN,
    At,
    Item,
    Obj,
    Ref,
    Value,
    derived,
    union,
)

if TYPE_CHECKING:
    from ohgw.review.code.flow.solver import Solver


def call(solver: "Solver", node: ast.Call, scope: Scope) -> Value:
    """The value of a call; binds arguments to parameters on the way."""
    full = solver.resolver.full(scope.module, node.func)
    last = full.rpartition(".")[2] or (
        node.func.attr if isinstance(node.func, ast.Attribute) else ""
    )
    base = NOTHING
    if isinstance(node.func, ast.Attribute):
        base = solver.value_of(node.func.value, scope)
        answer = method(solver, node, node.func, base, scope)
        if answer is not None:
            return answer
    function = solver.value_of(node.func, scope) if not _data(base) else NOTHING
    positional = [solver.value_of(argument, scope) for argument in node.args]
    named = {k.arg: solver.value_of(k.value, scope) for k in node.keywords}
    everything = union((*positional, *named.values()))
    if last in ("getattr", "hasattr") and len(node.args) >= 2:
        return get_attribute(solver, node, positional, last, scope)
    targets = [item for item in function if isinstance(item, Ref)]
    if targets:
        found: set[Item] = set()
        for target in targets:
            found |= apply(solver, node, target, positional, scope, everything)
        return frozenset(found)
    splat(solver, node, None, scope)
    return _library(solver, node, full, last, base, positional, named, everything, scope)


def _data(base: Value) -> bool:
    return any(isinstance(item, At) for item in base)


def _library(
    solver: "Solver",
    node: ast.Call,
    full: str,
    last: str,
    base: Value,
    positional: list[Value],
    named: dict[str | None, Value],
    everything: Value,
    scope: Scope,
) -> Value:
    if _loads(full, node):
        around = f"{getattr(scope.node, 'name', '')} {_words(node)}".lower()
        hinted = any(word in around for word in ("config", "cfg", "conf", "spec", "setting"))
        form = "json" if full.startswith("json") else "other"
        return load(solver, node, everything, form == "other" or hinted, form)
    if full.endswith(calls.DUMPS):
        form = "json" if full.startswith("json") else "other"
        given = union(positional[:1]) | named.get("config", NOTHING)
        solver.heap.store(form, "dumped", given or frozenset({OPEN}))
    if full.endswith(("hydra.compose", "hydra.experimental.compose")):
        return frozenset({OPEN})
    if full.endswith("ArgumentParser"):
        return frozenset({Obj(node, "parser")})
    if full.endswith(tuple(calls.MERGES)) or last in calls.MERGES:
        solver.heap.store(node, MERGED, everything or {OPEN})
        return frozenset({Obj(node)})
    if last in calls.NUMBERS:
        return derived(everything) | frozenset(i for i in everything if isinstance(i, Obj))
    if last == "partial" and positional:
        for item in positional[0]:
            if isinstance(item, Ref):
                bind(solver, node, item, positional[1:], scope, skip=1)
        return positional[0]
    if last in ("delayed", "remote", "wraps", "jit", "compile") and positional:
        return positional[0]
    references = [item for item in everything if isinstance(item, Ref)]
    if last in ("map", "imap", "imap_unordered", "starmap", "map_async") and references:
        elements = union(solver.elements(v) for v in positional[1:])
        for reference in references:
            bind(solver, node, reference, [elements], scope, skip=len(node.args))
        return NOTHING
    if last in ("submit", "apply", "apply_async", "spawn", "Thread", "Process") and references:
        rest = positional[1:] if positional else []
        packed = named.get("args", NOTHING)
        if packed:
            rest = [solver.item(packed, k) for k in range(8)]
        for reference in references:
            bind(solver, node, reference, rest, scope, skip=0)
        return NOTHING
    if last in calls.COPIES:
        return _copy(solver, node, last, positional, named, everything)
    held = frozenset(item for item in everything if isinstance(item, At))
    if last in calls.SILENT:
        solver.record.dumped |= {item.node for item in held}
        for item in base:
            if isinstance(item, Obj) and last in ("append", "extend", "add", "insert"):
                given = everything if last != "extend" else solver.elements(everything)
                solver.heap.store(item.site, EACH, given)
        return NOTHING
    solver.record.whole |= {i.node for i in held if i.node.is_scalar or not i.loose}
    for reference in references:  # called from elsewhere, with what we cannot see
        release(solver, reference)
    return NOTHING


def _words(node: ast.Call) -> str:
    """The names in the first argument."""
    names = [n.id for a in node.args[:1] for n in ast.walk(a) if isinstance(n, ast.Name)]
    return " ".join(names + [n.attr for a in node.args[:1] for n in ast.walk(a)
                             if isinstance(n, ast.Attribute)])  # fmt: skip


def _loads(full: str, node: ast.Call) -> bool:
    if any(full == name or full.endswith(f".{name}") for name in calls.LOADS):
        return True
    return full.endswith(".load") and "yaml" in full.lower()


def _copy(
    solver: "Solver",
    node: ast.Call,
    last: str,
    positional: list[Value],
    named: dict[str | None, Value],
    everything: Value,
) -> Value:
    if last in ("enumerate", "zip"):
        parts = [solver.elements(value) for value in positional]
        if last == "enumerate":
            parts = [NOTHING, *parts]
        inner = (node, "tuple")
        for k, part in enumerate(parts):
            solver.heap.store(inner, k, part)
        solver.heap.store(node, EACH, {Obj(inner)})
        return frozenset({Obj(node)})
    if last in ("next", "choice"):
        return union(solver.elements(value) for value in positional)
    if named and last in ("dict", "Namespace", "SimpleNamespace", "Munch", "Box", "Config"):
        for key, value in named.items():
            solver.heap.store(node, MERGED if key is None else key, value)
        for value in positional:
            solver.heap.store(node, MERGED, value)
        return frozenset({Obj(node)})
    return everything
