"""Values of every expression, to a fixed point over all functions of a project.

Flow-insensitive: a variable is the union of everything assigned to it. Objects are told apart by
where they are made; what a call gives a parameter reaches every use of that parameter.
"""

import ast
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import PurePosixPath

from ohgw.review.code.flow.binding import is_class_method
from ohgw.review.code.flow.expressions import evaluate
from ohgw.review.code.flow.heap import Heap
from ohgw.review.code.flow.scopes import Scope, all_scopes
from ohgw.review.code.flow.values import (
    EACH,
    MERGED,
    NOTHING,
    OPEN,
    At,
    Item,
    Obj,
    Open,
    Read,
    Record,
    Ref,
    Text,
    Value,
    loosened,
    union,
)
from ohgw.review.code.nodes import Node, configurations, files
from ohgw.review.code.resolve import names
from ohgw.review.compose import compositions
from ohgw.review.project import Definition, Module, Project, constant

ROUNDS = 8
MAX_DEPTH = 60

Chooser = Callable[[ast.AST, list[Node], Value], tuple[list[Node], Value]]


class Solver:
    """One run over a project. `choose` narrows which roots a load may give."""

    def __init__(self, project: Project, choose: Chooser | None = None) -> None:
        self.project = project
        self.resolver = names(project)
        self.choose = choose
        self.heap = Heap()
        self.record = Record()
        self.loaded: dict[ast.AST, set[Node]] = {}
        self.depth = 0
        self.scopes = all_scopes(project)
        self.definitions: dict[ast.AST, Definition] = {}
        self.modules: dict[ast.AST, Module] = {}
        self.python_roots = {r.path: r for r in configurations(project) if r.path.endswith(".py")}
        self.roots = files(project)
        for module in project.parsed():
            assert module.tree is not None
            self.modules[module.tree] = module
            for definition in module.definitions.values():
                self.definitions[definition.node] = definition
        for scope in self.scopes.values():
            node = scope.node
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.definitions.setdefault(node, Definition(node.name, node, scope.module))

    def solve(self) -> Record:
        for composition in compositions(self.project):
            node = composition.entry.node
            if isinstance(node, ast.FunctionDef) and node.args.args:
                value: set[Item] = {At(root, composition.decorator) for root in composition.roots}
                if not composition.known or not composition.complete:
                    value.add(OPEN)
                self.heap.bind(node, node.args.args[0].arg, value)
        for scope in self.scopes.values():
            self.heap.queue(scope)
        for _ in range(ROUNDS * len(self.scopes)):
            current = self.heap.next()
            if current is None:
                break
            for statement in current.nodes:
                self._statement(statement, current)
        self.heap.current = None
        return self.record

    # What changes -------------------------------------------------------------------------

    def assign(self, target: ast.AST, value: Value, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            owner: Scope | None = scope
            if target.id in scope.globals:
                while owner is not None and owner.outer is not None:
                    owner = owner.outer
            assert owner is not None
            self.heap.bind(owner.node, target.id, value)
            if owner.is_class:
                self.heap.store(owner.node, target.id, value)
            self.record.values[target] = value
        elif isinstance(target, ast.Tuple | ast.List):
            for k, item in enumerate(target.elts):
                if isinstance(item, ast.Starred):
                    self.assign(item.value, self.elements(value), scope)
                else:
                    self.assign(item, self.item(value, k), scope)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, value, scope)
        elif isinstance(target, ast.Attribute):
            base = self.value_of(target.value, scope)
            self.record.writes[target] = (target.attr, base)
            self.write(base, target.attr, value)
        elif isinstance(target, ast.Subscript):
            base = self.value_of(target.value, scope)
            keys = self.keys_of(target.slice, scope)
            self.write(base, keys[0] if len(keys) == 1 else EACH, value)
            possible: set[Item] = {Text(str(key)) for key in keys}
            for made in base:
                if isinstance(made, Obj | At):
                    place = made.site if isinstance(made, Obj) else made.node
                    self.heap.store(("keys", place), EACH, possible or {OPEN})

    def write(self, base: Value, key: str | int, value: Value) -> None:
        for item in base:
            if isinstance(item, Obj):
                self.heap.store(item.site, key, value)
            elif isinstance(item, At):
                self.record.written.add(str(key))
                self.heap.store(item.node, key, value)

    def write_all(self, base: Value, value: Value) -> None:
        """`base.update(value)`."""
        for item in self.spread(value):
            if isinstance(item, At):
                for key, child in (item.node.children or {}).items():
                    self.write(base, key, self.child(item, child))
            elif isinstance(item, Obj):
                for key in self.heap.keys(item.site):
                    if key != MERGED:
                        self.write(base, key, self.heap.field(item.site, key))
        if not value:
            self.write(base, MERGED, frozenset({OPEN}))

    def remove(self, node: ast.AST, base: Value, key: ast.expr, scope: Scope) -> None:
        """`del base[key]`, `base.pop(key)`."""
        texts = [text for text in self.keys_of(key, scope) if isinstance(text, str)]
        self.read(node, scope, texts, base, "remove", optional=True)

    # Statements ---------------------------------------------------------------------------

    def _statement(self, node: ast.AST, scope: Scope) -> None:
        if isinstance(node, ast.Assign):
            value = self.value_of(node.value, scope)
            if scope.outer is None and len(node.targets) == 1:
                value = self._python_literal(node.targets[0], scope) or value
            for target in node.targets:
                self.assign(target, value, scope)
        elif isinstance(node, ast.AnnAssign):
            value = self.value_of(node.value, scope) if node.value else NOTHING
            if scope.outer is None:
                value = self._python_literal(node.target, scope) or value
            self.assign(node.target, value, scope)
        elif isinstance(node, ast.AugAssign):
            self.assign(node.target, self.value_of(node.value, scope), scope)
        elif isinstance(node, ast.For | ast.AsyncFor):
            self.assign(node.target, self.elements(self.value_of(node.iter, scope)), scope)
        elif isinstance(node, ast.With | ast.AsyncWith):
            for with_item in node.items:
                value = self.value_of(with_item.context_expr, scope)
                if with_item.optional_vars is not None:
                    self.assign(with_item.optional_vars, value, scope)
        elif isinstance(node, ast.Return):
            if node.value is not None:
                self.heap.give(scope.node, self.value_of(node.value, scope))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._define(node, scope)
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                if isinstance(target, ast.Subscript):
                    self.remove(target, self.value_of(target.value, scope), target.slice, scope)
        elif isinstance(node, ast.expr):  # the body of a lambda
            self.heap.give(scope.node, self.value_of(node, scope))
        elif isinstance(node, ast.stmt):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.value_of(child, scope)

    def _define(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, scope: Scope
    ) -> None:
        reference = Ref(self.definitions[node])
        self.heap.bind(scope.node, node.name, {reference})
        if scope.is_class:
            self.heap.store(scope.node, node.name, {reference})
        for decorator in node.decorator_list:
            self.value_of(decorator, scope)
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                self.value_of(base, scope)
            return
        self.defaults(node.args, node, scope)
        if scope.is_class and node.args.args:
            me: Item = Obj(scope.node, "class")
            if is_class_method(node):
                me = Ref(self.definitions[scope.node])
            self.heap.bind(node, node.args.args[0].arg, {me})

    def defaults(self, arguments: ast.arguments, node: ast.AST, scope: Scope) -> None:
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = list(zip(reversed(positional), reversed(arguments.defaults), strict=False))
        pairs += [
            (argument, default)
            for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if default is not None
        ]
        for argument, default in pairs:
            self.heap.bind(node, argument.arg, self.value_of(default, scope))

    def _python_literal(self, target: ast.AST, scope: Scope) -> Value:
        root = self.python_roots.get(scope.module.path)
        node = root.child(target.id) if root and isinstance(target, ast.Name) else None
        return frozenset({At(node, None)}) if node is not None else NOTHING

    # Parts --------------------------------------------------------------------------------

    def spread(self, base: Iterable[Item]) -> set[Item]:
        """With everything that was merged into its objects."""
        found: set[Item] = set()
        pending = list(base)
        while pending:
            item = pending.pop()
            if item not in found:
                found.add(item)
                if isinstance(item, Obj):
                    pending += self.heap.field(item.site, MERGED)
        return found

    def item(self, base: Value, key: str | int) -> Value:
        """What `key` of `base` is; a number also means any element of a list."""
        found: set[Item] = set()
        for item in self.spread(base):
            if isinstance(item, At):
                child = item.node.child(key)
                if child is None and isinstance(key, int) and item.node.key_kind is int:
                    found |= self.elements(frozenset({item}))
                if child is not None:
                    found |= self.child(item, child)
                found |= self.heap.field(item.node, key)
                found |= _named(self.heap.field(item.node, EACH), key)
            elif isinstance(item, Obj):
                found |= self.field_of(item, key)
            elif isinstance(item, Open):
                found.add(OPEN)
        return frozenset(found)

    def child(self, item: At, child: Node) -> Value:
        value: Value = frozenset({At(child, item.load, False, item.loose)})
        if child.expr is not None:
            module = self.project.modules.get(child.path)
            if module is not None and module.tree is not None:
                value |= self.value_of(child.expr, self.scopes[module.tree])
        return value

    def field_of(self, item: Obj, key: str | int) -> Value:
        found = self.heap.field(item.site, key)
        if item.kind == "class" and isinstance(item.site, ast.ClassDef):
            for base in self.ancestors(item.site):
                found |= self.heap.field(base, key)
        else:
            found |= _named(self.heap.field(item.site, EACH), key)
        return found

    def ancestors(self, node: ast.ClassDef) -> list[ast.ClassDef]:
        """The bases of a class that are the project's, nearest first."""
        found: list[ast.ClassDef] = []
        pending = [node]
        while pending and len(found) < 20:
            current = pending.pop(0)
            for base in current.bases:
                definition = self.resolver.definition(
                    self.scopes[current].module, ast.unparse(base)
                )
                if definition and isinstance(definition.node, ast.ClassDef):
                    if definition.node not in found and definition.node is not node:
                        found.append(definition.node)
                        pending.append(definition.node)
        return found

    def elements(self, base: Value) -> Value:
        """What iterating gives."""
        found: set[Item] = set()
        for item in self.spread(base):
            if isinstance(item, At):
                node = item.node
                if node.key_kind is int:
                    for child in (node.children or {}).values():
                        found |= self.child(item, child)
                elif node.key_kind is str:
                    found |= {Text(str(key)) for key in node.children or {}}
                found |= self.heap.field(node, EACH)
            elif isinstance(item, Obj):
                for key in self.heap.keys(item.site):
                    if key == EACH or isinstance(key, int):
                        found |= self.heap.field(item.site, key)
                    elif key != MERGED and item.kind == "display":
                        found.add(Text(str(key)))
            elif isinstance(item, Open):
                found.add(OPEN)
        return frozenset(found)

    def below(self, base: Value) -> Value:
        """Every value of a mapping, for a key that is not known."""
        found: set[Item] = set()
        for item in self.spread(base):
            if isinstance(item, At):
                children = list((item.node.children or {}).values())
                values: set[Item] = set()
                for child in children:
                    values |= self.child(item, child)
                found |= values if _alike(item) else loosened(frozenset(values))
            elif isinstance(item, Obj):
                for key in self.heap.keys(item.site):
                    if key != MERGED:
                        found |= loosened(self.heap.field(item.site, key))
            elif isinstance(item, Open):
                found.add(OPEN)
        return frozenset(found)

    def keys_of(self, node: ast.expr, scope: Scope) -> list[str | int]:
        """The constant keys that a subscript may be; empty where it is not constant."""
        value = constant(node)
        if isinstance(value, str | int) and not isinstance(value, bool):
            self.record.values.pop(node, None)
            return [value]
        given = self.value_of(node, scope)
        texts = [item.value for item in given if isinstance(item, Text)]
        for item in given:  # a key that the configuration names
            if isinstance(item, At) and item.node.is_scalar and isinstance(item.node.value, str):
                texts.append(item.node.value)
        return list(dict.fromkeys(texts)) if OPEN not in given else []

    def read(
        self,
        node: ast.AST,
        scope: Scope,
        keys: Iterable[str],
        base: Value,
        kind: str,
        optional: bool = False,
    ) -> None:
        """Remember that code asks `base` for `keys`."""
        if any(isinstance(item, At | Obj) for item in base):
            for key in keys:
                self.record.reads[(node, key)] = Read(
                    node, scope.module, scope.node, key, base, optional, kind
                )

    def key_of(self, node: ast.expr, scope: Scope) -> str | int:
        """The one key under which something is stored; EACH where there may be several."""
        keys = self.keys_of(node, scope)
        return keys[0] if len(keys) == 1 else EACH

    def items(self, base: Value, keys: list[str | int]) -> Value:
        """What any of the keys of `base` is; everything where no key is known."""
        if len(keys) == 1:
            return self.item(base, keys[0])
        if not keys:
            return self.below(base)
        found = union(self.item(base, key) for key in keys)
        return found if all(_alike(item) for item in base) else loosened(found)

    # Expressions --------------------------------------------------------------------------

    def value_of(self, node: ast.expr, scope: Scope) -> Value:
        if self.depth > MAX_DEPTH:
            return NOTHING
        self.depth += 1
        try:
            value = evaluate(self, node, scope)
        finally:
            self.depth -= 1
        if value:
            self.record.values[node] = value
        return value


@lru_cache(maxsize=4096)  # asked again and again while values grow
def _alike(item: Item) -> bool:
    """Whether every value of a mapping is a mapping: a table, in which any key will do."""
    if not isinstance(item, At):
        return not isinstance(item, Obj)
    return all(child.key_kind is str for child in (item.node.children or {}).values())


def _named(value: Value, key: str | int) -> Value:
    """Of values stored under keys that are not known: those whose own key it is, if any."""
    own = {
        item
        for item in value
        if isinstance(item, At) and key in (item.node.key, _folder(item.node.path))
    }
    if own:
        return frozenset(own | {item for item in value if not isinstance(item, At)})
    return loosened(value)


@lru_cache(maxsize=4096)
def _folder(path: str) -> str:
    return PurePosixPath(path).parent.name
