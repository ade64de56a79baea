"""Where an object goes that an expression makes: names, fields, arguments of the tree's functions.

Asked of an object that must be acted upon, such as a scheduler that has to be stepped. What leaves
the tree, in a call of a library or inside a container, is out of sight: then it has escaped.
"""

import ast
from dataclasses import dataclass, field

from ohgw.review.code.flow import flow
from ohgw.review.code.flow.values import Ref
from ohgw.review.code.memo import once
from ohgw.review.code.resolve import names
from ohgw.review.meaning.metrics import enclosing
from ohgw.review.project import Definition, Module, Project

MAX_PLACES = 200
Place = tuple[str, object, str]  # kind, scope (or none), name


@dataclass
class Journey:
    """What happens to one object."""

    methods: set[str] = field(default_factory=set)  # called, or asked for as attributes
    escaped: bool = False
    arguments: list[ast.Call] = field(default_factory=list)  # library calls it is given to


class _Follower:
    def __init__(self, project: Project, harmless: frozenset[str]) -> None:
        self.project = project
        self.harmless = harmless
        self.journey = Journey()
        self.seen: set[Place] = set()
        self.pending: list[tuple[Place, Module]] = []

    def start(self, module: Module, node: ast.expr) -> Journey:
        self._use(module, node)
        while self.pending and not self.journey.escaped:
            place, where = self.pending.pop()
            if len(self.seen) > MAX_PLACES:
                self.journey.escaped = True
            self._follow(place, where)
        return self.journey

    def _add(self, place: Place, module: Module) -> None:
        if place not in self.seen:
            self.seen.add(place)
            self.pending.append((place, module))

    def _follow(self, place: Place, module: Module) -> None:
        kind, scope, name = place
        if kind == "field":
            for where, attribute in _fields(self.project).get(name, ()):
                if isinstance(attribute.ctx, ast.Load):
                    self._use(where, attribute)
            return
        if scope is module.tree:  # other modules may import it
            for other in self.project.parsed():
                for way in other.nodes:
                    if isinstance(way, ast.ImportFrom) and any(a.name == name for a in way.names):
                        self.journey.escaped = True
        for inner in ast.walk(scope) if isinstance(scope, ast.AST) else ():
            if isinstance(inner, ast.Name) and inner.id == name and isinstance(inner.ctx, ast.Load):
                self._use(module, inner)
            elif isinstance(inner, ast.Global | ast.Nonlocal) and name in inner.names:
                self.journey.escaped = True

    def _use(self, module: Module, node: ast.expr) -> None:
        parent = module.parents.get(node)
        if isinstance(parent, ast.keyword):
            call = module.parents.get(parent)
            if isinstance(call, ast.Call):
                self._given(module, call, None, parent.arg)
        elif isinstance(parent, ast.Call) and node in parent.args:
            self._given(module, parent, parent.args.index(node), None)
        elif isinstance(parent, ast.Call):
            self.journey.methods.add("__call__")
        elif isinstance(parent, ast.Attribute):
            self.journey.methods.add(parent.attr)
        elif isinstance(parent, ast.Assign):
            for target in parent.targets:
                self._bound(module, target)
        elif isinstance(parent, ast.AnnAssign | ast.NamedExpr):
            self._bound(module, parent.target)
            if isinstance(parent, ast.NamedExpr):
                self._use(module, parent)
        elif isinstance(parent, ast.IfExp) and node is not parent.test:
            self._use(module, parent)
        elif isinstance(parent, ast.Return):
            self._returned(module, parent)
        elif isinstance(
            parent, ast.Compare | ast.If | ast.While | ast.Assert | ast.Expr | ast.IfExp
        ):
            pass  # asked about, or thrown away
        elif isinstance(parent, ast.UnaryOp | ast.BoolOp) and self._is_asked(module, parent):
            pass
        elif isinstance(parent, ast.FormattedValue):
            pass
        else:
            self.journey.escaped = True

    def _is_asked(self, module: Module, node: ast.AST) -> bool:
        up = module.parents.get(node)
        while isinstance(up, ast.BoolOp | ast.UnaryOp):
            node, up = up, module.parents.get(up)
        return isinstance(up, ast.If | ast.While | ast.IfExp | ast.Assert) and up.test is node

    def _bound(self, module: Module, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            scope = enclosing(module, target)
            self._add(("name", scope, target.id), module)
        elif isinstance(target, ast.Attribute):
            self._add(("field", None, target.attr), module)
        else:
            self.journey.escaped = True

    def _returned(self, module: Module, node: ast.Return) -> None:
        scope = enclosing(module, node)
        calls = [call for call, _ in flow(self.project).callers.get(scope, [])]
        if not calls:
            self.journey.escaped = True
        for call in calls:
            where = flow(self.project).module_of.get(call)
            if where is not None:
                self._use(where, call)

    def _given(
        self, module: Module, call: ast.Call, place: int | None, keyword: str | None
    ) -> None:
        function = call.func
        last = getattr(function, "attr", getattr(function, "id", ""))
        if last in self.harmless:
            return
        target = self._callee(module, call)
        if target is None:
            self.journey.escaped = True
            return
        node = target.node
        if isinstance(node, ast.ClassDef):
            made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
            if not made:
                self.journey.escaped = True
                return
            inner, bound = made[0], 1
        else:
            inner = node  # type: ignore[assignment]
            first = [a.arg for a in inner.args.args[:1]]
            bound = 1 if first in (["self"], ["cls"]) else 0
        arguments = [*inner.args.posonlyargs, *inner.args.args]
        every = {a.arg for a in (*arguments, *inner.args.kwonlyargs)}
        starred = any(isinstance(a, ast.Starred) for a in call.args[: (place or 0) + 1])
        if keyword in every:
            self._add(("name", inner, str(keyword)), target.module)
        elif place is not None and not starred and place + bound < len(arguments):
            self._add(("name", inner, arguments[place + bound].arg), target.module)
        else:
            self.journey.escaped = True

    def _callee(self, module: Module, call: ast.Call) -> Definition | None:
        value = flow(self.project).record.values.get(call.func, frozenset())
        targets = [item.definition for item in value if isinstance(item, Ref)]
        if len(targets) == 1:
            return targets[0]
        if isinstance(call.func, ast.Name):
            return names(self.project).definition(module, call.func.id)
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            if call.func.value.id == "self":
                own = [
                    d
                    for name, d in module.definitions.items()
                    if name.endswith(f".{call.func.attr}") and not d.is_class
                ]
                return own[0] if len(own) == 1 else None
            return names(self.project).definition(module, f"{call.func.value.id}.{call.func.attr}")
        return None


@once
def _fields(project: Project) -> dict[str, list[tuple[Module, ast.Attribute]]]:
    found: dict[str, list[tuple[Module, ast.Attribute]]] = {}
    for module in project.parsed():
        for node in module.nodes:
            if isinstance(node, ast.Attribute):
                found.setdefault(node.attr, []).append((module, node))
    return found


def journey(
    project: Project, module: Module, node: ast.expr, harmless: frozenset[str] = frozenset()
) -> Journey:
    """Of the object that `node` makes; calls named in `harmless` keep nothing of it."""
    return _Follower(project, harmless).start(module, node)
