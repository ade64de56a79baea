"""Branches on the name of a variation: if-chains, match statements and registries by its id."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ohgw.review.project import Module, Project, dotted


@dataclass(frozen=True)
class Chain:
    """A place of the code that tells variations apart by their ids and raises for any other."""

    module: Module
    line: int
    known: frozenset[str]


def chains(project: Project, wanted: frozenset[str]) -> Iterator[Chain]:
    """Only those that know at least one of the wanted ids and refuse what they do not know."""
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.If):
                parent = module.parents.get(node)
                if isinstance(parent, ast.If) and parent.orelse == [node]:
                    continue
                chain = _conditions(module, node, wanted)
            elif isinstance(node, ast.Match):
                chain = _cases(module, node, wanted)
            elif isinstance(node, ast.Dict):
                chain = _registry(project, module, node, wanted)
            else:
                continue
            if chain is not None:
                yield chain


def _about(known: set[str], wanted: frozenset[str]) -> bool:
    """Whether the values are ids of variations, not names that happen to be one."""
    common = len(known & wanted)
    return common > 0 and common * 2 >= len(wanted) and common * 2 > len(known)


def _conditions(module: Module, top: ast.If, wanted: frozenset[str]) -> Chain | None:
    parent = module.parents.get(top)
    block = next(
        (b for n in ("body", "orelse") if top in (b := getattr(parent, n, None) or [])), [top]
    )
    subject, known, refuses = None, set[str](), False
    start = block.index(top)
    for statement in block[start:]:
        if not isinstance(statement, ast.If):
            refuses = refuses or (bool(known) and isinstance(statement, ast.Raise))
            break
        current: ast.If | None = statement
        while current is not None:
            found = _equals(current.test)
            if found is None or (subject not in (None, found[0])):
                return None
            subject = found[0]
            known |= found[1]
            leaves = isinstance(current.body[-1], ast.Return | ast.Raise | ast.Continue)
            if len(current.orelse) == 1 and isinstance(current.orelse[0], ast.If):
                current = current.orelse[0]
                continue
            if current.orelse:
                refuses = isinstance(current.orelse[-1], ast.Raise)
            elif not leaves:
                return None
            current = None
        if refuses:
            break
    if not refuses or not _about(known, wanted):
        return None
    return Chain(module, top.lineno, frozenset(known))


def _equals(test: ast.expr) -> tuple[str, set[str]] | None:
    """(subject, values) of `x == "a"`, `x in ("a", "b")` and their `or`."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        parts = [_equals(item) for item in test.values]
        first = parts[0]
        if first is None or any(part is None or part[0] != first[0] for part in parts):
            return None
        return first[0], {value for part in parts if part for value in part[1]}
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    if not isinstance(test.ops[0], ast.Eq | ast.In):
        return None
    other = test.comparators[0]
    items = other.elts if isinstance(other, ast.Tuple | ast.List | ast.Set) else [other]
    values = {i.value for i in items if isinstance(i, ast.Constant) and isinstance(i.value, str)}
    if len(values) != len(items):
        return None
    return ast.dump(test.left), values


def _cases(module: Module, node: ast.Match, wanted: frozenset[str]) -> Chain | None:
    known: set[str] = set()
    refuses = False
    for case in node.cases:
        pattern = case.pattern
        parts = pattern.patterns if isinstance(pattern, ast.MatchOr) else [pattern]
        for part in parts:
            if isinstance(part, ast.MatchValue) and isinstance(part.value, ast.Constant):
                known.add(str(part.value.value))
            elif isinstance(part, ast.MatchAs) and part.pattern is None:
                refuses = isinstance(case.body[-1], ast.Raise)
            else:
                return None
    return (
        Chain(module, node.lineno, frozenset(known)) if refuses and _about(known, wanted) else None
    )


def _registry(
    project: Project, module: Module, node: ast.Dict, wanted: frozenset[str]
) -> Chain | None:
    """A mapping at module level from ids to functions or settings that is subscripted."""
    statement = module.parents.get(node)
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return None
    if module.parents.get(statement) is not module.tree:
        return None
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
    if not isinstance(target, ast.Name) or len(keys) != len(node.keys):
        return None
    known = {key for key in keys if isinstance(key, str)}
    if not _about(known, wanted):
        return None
    subscripted = False
    for other in project.parsed():
        for item in other.nodes:
            if isinstance(item, ast.Subscript) and _named(item.value, target.id):
                if isinstance(item.ctx, ast.Store):
                    return None  # filled elsewhere too
                subscripted = subscripted or not isinstance(item.slice, ast.Constant)
            elif isinstance(item, ast.Attribute) and _named(item.value, target.id):
                if item.attr in ("get", "update", "setdefault", "items", "keys", "values"):
                    return None
            elif isinstance(item, ast.For) and _named(item.iter, target.id):
                return None
    if not subscripted:
        return None
    return Chain(module, statement.lineno, frozenset(known))


def _named(node: ast.AST, name: str) -> bool:
    return dotted(node).rpartition(".")[2] == name
