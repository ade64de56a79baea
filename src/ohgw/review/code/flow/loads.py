"""What a call that reads a file may give: by the name of the file, or by what the code writes."""

import ast
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ohgw.review.code.flow.values import NOTHING, OPEN, At, Item, Obj, Text, Value
from ohgw.review.compose import compositions
from ohgw.review.meaning.runs import runs

if TYPE_CHECKING:
    from ohgw.review.code.flow.solver import Solver


def load(solver: "Solver", node: ast.Call, argument: Value, any_root: bool, form: str) -> Value:
    """What a call that reads a file may give: files of that name, or any, or what is dumped."""
    named = {
        PurePosixPath(item.value).name
        for item in argument
        if isinstance(item, Text) and "." in item.value
    }
    roots = [root for root in solver.roots if PurePosixPath(root.path).name in named]
    unknown = False
    unmatched = named - {PurePosixPath(root.path).name for root in roots}
    suggestive = any(
        word in name.lower() for name in unmatched for word in ("conf", "cfg", "run", "param")
    )
    dumped: Value = NOTHING
    if OPEN in argument or not named or suggestive:
        if not any_root and not suggestive:
            return frozenset({OPEN})
        roots = list(solver.roots)
        dumped = _dumped(solver, form)
        unknown = bool(compositions(solver.project))  # files that Hydra's users keep elsewhere
    given = [item.node for item in dumped if isinstance(item, At) and item.node.children]
    roots = list(dict.fromkeys([*roots, *given]))
    objects: Value = frozenset(item for item in dumped if not isinstance(item, At))
    if solver.choose is not None:
        roots, objects = solver.choose(node, roots, objects)
    solver.loaded[node] = set(roots)
    found: set[Item] = {At(root, node) for root in roots} | objects
    return frozenset(found | {OPEN} if unknown or not found else found)


def _dumped(solver: "Solver", form: str) -> Value:
    """Configurations that the code itself writes, for another process to read.

    Where it cannot be known what is written, it may be any variation.
    """
    found: set[Item] = set()
    held = solver.heap.field(form, "dumped")
    if OPEN in held:
        variations = [run.node for run in runs(solver.project) if run.node.parent]
        found |= {At(node, None) for node in variations if node.path.endswith((".yaml", ".yml"))}
    for item in held:
        if isinstance(item, At) and item.node.children:
            found.add(item)
        elif isinstance(item, Obj) and any(isinstance(i, At) for i in solver.spread({item})):
            found.add(item)
    return frozenset(found)
