"""What the code reads from the configuration, and what each value of it reaches."""

import ast
from collections import defaultdict
from functools import cached_property

from ohgw.review.code.flow.solver import Solver
from ohgw.review.code.flow.values import At, Item, Obj, Read, Record, Ref, Splat, Value
from ohgw.review.code.memo import once
from ohgw.review.code.nodes import Node
from ohgw.review.project import Module, Project


class Flow:
    """The answer of the solver, indexed by what checks ask."""

    def __init__(self, project: Project, record: Record, solver: Solver) -> None:
        self.project = project
        self.record = record
        self.solver = solver

    @property
    def reads(self) -> list[Read]:
        return list(self.record.reads.values())

    @property
    def splats(self) -> list[Splat]:
        return list(self.record.splats.values())

    @cached_property
    def read_nodes(self) -> set[Node]:
        """Nodes, as first written, that some code reads by name, in a loop or as a whole."""
        found: set[Node] = set()
        for read in self.reads:
            for item in read.bases:
                if isinstance(item, At) and (child := item.node.child(read.key)) is not None:
                    found.add(child.origin)
        for splat in self.splats:  # the project's own functions read what they use, themselves
            for item in splat.parts if splat.callee is None else ():
                if isinstance(item, At):
                    found |= {child.origin for child in (item.node.children or {}).values()}
        for value in self.record.values.values():
            found |= {item.node.origin for item in value if isinstance(item, At)}
        for node in self.record.whole:
            found |= {below.origin for below in node.walk()}
        return found

    @cached_property
    def occurrences(self) -> dict[Node, list[tuple[ast.AST, At]]]:
        """Expressions that may be a scalar of the configuration."""
        found: dict[Node, list[tuple[ast.AST, At]]] = defaultdict(list)
        for expr, value in self.record.values.items():
            for item in value:
                if isinstance(item, At) and item.node.is_scalar:
                    found[item.node.origin].append((expr, item))
        return found

    @cached_property
    def callers(self) -> dict[ast.AST, list[tuple[ast.Call, bool]]]:
        """Calls by the function they may reach; True where one of several is chosen."""
        found: dict[ast.AST, list[tuple[ast.Call, bool]]] = defaultdict(list)
        for module in self.project.parsed():
            for node in module.nodes:
                if not isinstance(node, ast.Call):
                    continue
                value = self.record.values.get(node.func, frozenset())
                targets = [item.definition.node for item in value if isinstance(item, Ref)]
                chosen = len(targets) > 1 or isinstance(node.func, ast.Subscript | ast.Call)
                for target in targets:
                    found[target].append((node, chosen))
                    for inner in target.body if isinstance(target, ast.ClassDef) else ():
                        if isinstance(inner, ast.FunctionDef):
                            found[inner].append((node, chosen))
        return found

    @cached_property
    def module_of(self) -> dict[ast.AST, Module]:
        return {node: module for module in self.project.parsed() for node in module.nodes}

    def exact(self, expr: ast.AST) -> list[Node]:
        """The nodes that an expression may be, where it can be nothing else."""
        value = self.record.values.get(expr, frozenset())
        items = [item for item in value if isinstance(item, At)]
        if len(items) < len(value) or any(item.loose or item.derived for item in items):
            return []
        return [item.node for item in items]

    def parts(self, expr: ast.AST) -> list[Node]:
        """The nodes that an expression may be."""
        value = self.record.values.get(expr, frozenset())
        return [item.node for item in value if isinstance(item, At)]


@once
def flow(project: Project) -> Flow:
    """Solved twice: the first pass says which configurations each load can mean."""
    first = Solver(project)
    record = first.solve()
    wanted: dict[ast.AST, set[str]] = defaultdict(set)
    for read in record.reads.values():
        counts: dict[ast.AST, int] = defaultdict(int)
        for item in first.spread(read.bases):
            if isinstance(item, At) and item.load is not None and not item.loose:
                counts[item.load] += item.node in first.loaded.get(item.load, ())
        for load, count in counts.items():
            if count and count == len(first.loaded[load]):  # of what was loaded, not of a part
                wanted[load].add(read.key)

    def choose(load: ast.AST, given: list[Node], objects: Value) -> tuple[list[Node], Value]:
        keys = wanted.get(load)
        if not keys:
            return given, objects
        scores = {root: sum(root.child(key) is not None for key in keys) for root in given}
        merged = {item: sum(_holds(first, item, key) for key in keys) for item in objects}
        best = max([*scores.values(), *merged.values()], default=0)
        kept = [root for root in given if best and scores[root] * 2 >= best]
        return kept, frozenset(item for item in objects if best and merged[item] * 2 >= best)

    solver = Solver(project, choose)
    return Flow(project, solver.solve(), solver)


def _holds(solver: Solver, item: Item, key: str) -> bool:
    """Whether an object has a key, or any of the mappings merged into it."""
    return any(
        (isinstance(part, At) and part.node.child(key) is not None)
        or (isinstance(part, Obj) and key in solver.heap.keys(part.site))
        for part in solver.spread({item})
    )


__all__ = ["Flow", "Obj", "flow"]
