"""Splits that hold the same examples: test data that are training data, whole or in part."""

import ast
from collections.abc import Iterator
from itertools import combinations

from ohgw.review.checks.check import Check, Context
from ohgw.review.code.memo import once
from ohgw.review.findings import Finding, Severity
from ohgw.review.meaning.metrics import enclosing, name_of, same, split_of
from ohgw.review.meaning.parts import Bounds, is_data, once_bound, overlap, span
from ohgw.review.meaning.split_sites import Role, Site, sites
from ohgw.review.project import Module, Project

_NAMED = {"train": "training", "val": "validation", "test": "test"}


def _run(check: Check, context: Context) -> Iterator[Finding]:
    project = context.derived
    apart = context.base is not None and _are_apart(context.base)
    reported: set[tuple[str, int]] = set()
    for site, first, second in overlaps(project):
        line = second.value.lineno
        if (site.module.path, line) in reported:
            continue
        reported.add((site.module.path, line))
        severity: Severity = "error"
        why = ""
        if _is_neutral(first.value) and same(first.value, second.value):
            severity = "warning"  # masks or samplers may tell the splits apart
        elif "train" not in (first.split, second.split):
            if apart:
                why = ", which the base keeps apart"
            else:  # many public data sets come with one held-out split only
                severity = "warning"
        yield check.finding(
            severity,
            project.at(site.module.path),
            line,
            f"{second.label} and {first.label} hold the same examples: {_NAMED[second.split]} and "
            f"{_NAMED[first.split]} data overlap{why}.",
            evidence="\n".join(f"{r.label}: {_shown(r.value)}" for r in (first, second)),
            fix="Give each split examples of its own.",
        )


def _is_neutral(node: ast.expr) -> bool:
    """A plain name that speaks of no split: `loader`, `self.data`."""
    return isinstance(node, ast.Name | ast.Attribute) and split_of(name_of(node)) is None


def _shown(node: ast.expr) -> str:
    return ast.unparse(node)[:100]


@once
def overlaps(project: Project) -> list[tuple[Site, Role, Role]]:
    """Pairs of roles of different splits that certainly share examples; training first."""
    found = []
    for site in sites(project):
        pairs = [
            (one, other)
            for one, other in combinations(site.roles, 2)
            if one.split != other.split and _match(one, other)
        ]
        bounds: Bounds = {}
        if pairs:
            bounds = once_bound(_nodes_of(site.module, site.scope))
        for pair in pairs:
            first, second = sorted(pair, key=lambda role: role.split != "train")
            if _are_bound_once(site, *pair) and overlap(first.value, second.value, bounds):
                found.append((site, first, second))
    return found


def _nodes_of(module: Module, scope: ast.AST) -> list[ast.AST]:
    return _by_scope(module).get(scope, [])


@once
def _by_scope(module: Module) -> dict[ast.AST, list[ast.AST]]:
    """What binds and reads names, by the function it is in."""
    found: dict[ast.AST, list[ast.AST]] = {}
    for node in module.nodes:
        if isinstance(node, ast.Name | ast.Assign):
            found.setdefault(enclosing(module, node), []).append(node)
    return found


def _match(one: Role, other: Role) -> bool:
    """x_train and x_test, not x_train and y_test."""
    return one.rest == other.rest


def _are_bound_once(site: Site, one: Role, other: Role) -> bool:
    """Of roles in several statements: both are in one block, and nothing between changes them."""
    if one.statement is None or other.statement is None:
        return one.statement is other.statement
    if not _is_plain(one.value) or not _is_plain(other.value):
        return False
    parents = site.module.parents
    block = parents.get(one.statement)
    if block is not parents.get(other.statement):
        return False
    if isinstance(block, ast.If | ast.Try):
        if (one.statement in block.body) != (other.statement in block.body):
            return False
    labels = [role.label for role in site.roles]
    if labels.count(one.label) > 1 or labels.count(other.label) > 1:
        return False
    low, high = sorted((one.statement.lineno, other.statement.lineno))
    used = {
        n.id
        for value in (one.value, other.value)
        for n in ast.walk(value)
        if isinstance(n, ast.Name)
    }
    stores: dict[str, int] = {}
    for node in _nodes_of(site.module, site.scope):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            stores[node.id] = stores.get(node.id, 0) + 1
            if node.id in used and low <= node.lineno <= high:
                return False
    return all(stores.get(role.label, 1) == 1 for role in (one, other))


def _is_plain(value: ast.expr) -> bool:
    """No iterator that gives something else the next time: next(it), queue.pop()."""
    part = span(value)
    return (is_data(value) or (part is not None and not part.is_whole)) and not any(
        isinstance(n, ast.Call) and getattr(n.func, "id", getattr(n.func, "attr", "")) in
        ("next", "pop", "popleft", "read", "sample", "choice", "choices")
        for n in ast.walk(value)
    )  # fmt: skip


def _are_apart(base: Project) -> bool:
    """Whether a project has both validation and test data, and they are different ones."""
    both = any({"val", "test"} <= {role.split for role in site.roles} for site in sites(base))
    return both and not any("train" not in (a.split, b.split) for _, a, b in overlaps(base))


CHECK = Check("splits-overlap", "Evaluation Validity", "metrics valid", _run)
