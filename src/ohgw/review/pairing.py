"""Statements of an older body beside what stands in their place in a newer one.

Two statements are a pair where neither is in the other body as it is and they differ in few places.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_DIFFERENCES = 4
MAX_SHARE = 0.5  # of a statement that may differ
MAX_STATEMENTS = 300  # of a body: every one is compared with every other
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Difference:
    """Two nodes at the same place. `path` leads there from the statement, outermost first."""

    old: ast.AST
    new: ast.AST
    path: tuple[ast.AST, ...]  # nodes of the newer statement


@dataclass(frozen=True)
class Pair:
    """An older statement and the newer one in its place."""

    old: ast.AST
    new: ast.AST
    differences: tuple[Difference, ...]

    @property
    def line(self) -> int:
        return getattr(self.new, "lineno", 1)

    @property
    def old_line(self) -> int:
        return getattr(self.old, "lineno", 1)


def pairs(old: Sequence[ast.AST], new: Sequence[ast.AST], moved: Counter[str]) -> list[Pair]:
    """`moved` counts statements of the whole newer tree: what is elsewhere now is in no pair."""
    before, after = _parts(old)[:MAX_STATEMENTS], _parts(new)[:MAX_STATEMENTS]
    kept = Counter(_key(node) for node in after)
    left = [node for node in before if not _take(kept, _key(node)) and not moved[_key(node)]]
    known = Counter(_key(node) for node in before)
    fresh = [node for node in after if not _take(known, _key(node))]
    possible = []
    for k, one in enumerate(left):
        for n, other in enumerate(fresh):
            if type(one) is type(other):
                found = differences(one, other)
                share = _share(found, other) if found is not None else 1.0
                if found is not None and share <= MAX_SHARE:
                    possible.append((share, abs(k - n), k, n, found))
    chosen: list[Pair] = []
    taken_old: set[int] = set()
    taken_new: set[int] = set()
    for _, _, k, n, found in sorted(possible, key=lambda item: item[:4]):
        if k not in taken_old and n not in taken_new:
            taken_old.add(k)
            taken_new.add(n)
            chosen.append(Pair(left[k], fresh[n], found))
    return chosen


def _share(found: Sequence[Difference], node: ast.AST) -> float:
    """How much of a statement differs; a statement that is little else may be one value."""
    changed = sum(min(size(d.old), size(d.new)) for d in found)
    return changed / max(size(node), 1)


def size(node: ast.AST) -> int:
    return sum(not isinstance(n, ast.expr_context) for n in ast.walk(node))


def statement_counts(bodies: Sequence[Sequence[ast.AST]]) -> Counter[str]:
    return Counter(_key(node) for body in bodies for node in _parts(body))


def _take(counts: Counter[str], key: str) -> bool:
    if counts[key] > 0:
        counts[key] -= 1
        return True
    return False


def _parts(body: Sequence[ast.AST]) -> list[ast.AST]:
    """Simple statements, and the heads of the others, without what inner definitions hold."""
    found: list[ast.AST] = []
    pending = list(reversed(body))
    while pending:
        node = pending.pop()
        if isinstance(node, _INNER):
            continue
        if isinstance(node, ast.If | ast.While):
            found += _conditions(node.test)
        elif isinstance(node, ast.For | ast.AsyncFor):
            found.append(node.iter)
        elif isinstance(node, ast.With | ast.AsyncWith):
            found += [item.context_expr for item in node.items]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        elif isinstance(node, ast.stmt) and not hasattr(node, "body"):
            found.append(node)
        inner = [c for c in ast.iter_child_nodes(node) if isinstance(c, _STATEMENTS)]
        pending += reversed(inner)
    return found


def _conditions(test: ast.expr) -> list[ast.AST]:
    """The parts of `a and (b or c)`."""
    found: list[ast.AST] = []
    pending: list[ast.expr] = [test]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.BoolOp):
            pending += reversed(node.values)
        else:
            found.append(node)
    return found


_STATEMENTS = (ast.stmt, ast.ExceptHandler, ast.match_case)


def _key(node: ast.AST) -> str:
    """What a statement says, without its place. Does not recurse."""
    words: list[str] = []
    pending: list[object] = [node]
    while pending:
        item = pending.pop()
        if isinstance(item, ast.AST):
            words.append(type(item).__name__)
            pending += [value for _, value in ast.iter_fields(item)][::-1]
        elif isinstance(item, list):
            words.append(f"[{len(item)}")
            pending += item[::-1]
        else:
            words.append(repr(item)[:200])
    return " ".join(words)


def differences(old: ast.AST, new: ast.AST) -> tuple[Difference, ...] | None:
    """The outermost nodes that differ; None where there are more than a few."""
    found: list[Difference] = []
    pending: list[tuple[ast.AST, ast.AST, tuple[ast.AST, ...]]] = [(old, new, ())]
    while pending:
        one, other, path = pending.pop()
        parts = _children(one, other)
        if parts is None:
            found.append(Difference(one, other, path))
            if len(found) > MAX_DIFFERENCES or (not path and one is old):
                return None  # nothing in common
        else:
            pending += [(a, b, (*path, other)) for a, b in parts]
    return tuple(found)


def _children(one: ast.AST, other: ast.AST) -> list[tuple[ast.AST, ast.AST]] | None:
    """Nodes that stand at the same places; None where the two nodes themselves differ."""
    if type(one) is not type(other):
        return None
    found: list[tuple[ast.AST, ast.AST]] = []
    for name, value in ast.iter_fields(one):
        there = getattr(other, name, None)
        if isinstance(value, ast.AST) and isinstance(there, ast.AST):
            found.append((value, there))
        elif isinstance(value, list) and isinstance(there, list):
            if len(value) != len(there):
                return None
            for a, b in zip(value, there, strict=True):
                if isinstance(a, ast.AST) and isinstance(b, ast.AST):
                    found.append((a, b))
                elif a != b:
                    return None
        elif value != there and name not in ("kind", "type_comment"):
            return None
    return found


def names_in(node: ast.AST) -> Iterator[str]:
    """Names, attributes and short texts of an expression."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id
        elif isinstance(inner, ast.Attribute):
            yield inner.attr
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            if len(inner.value) < 60:
                yield inner.value
