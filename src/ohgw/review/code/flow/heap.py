"""What variables, fields and functions hold, and which scopes have to be looked at again."""

import ast
from collections import defaultdict, deque
from collections.abc import Iterable

from ohgw.review.code.flow.scopes import Scope
from ohgw.review.code.flow.values import NOTHING, OPEN, Item, Value

MAX_ITEMS = 3000

Slot = tuple[str, object, str | int]


class Heap:
    """Values only grow. Who read a slot is remembered, and queued when the slot grows."""

    def __init__(self) -> None:
        self._held: dict[Slot, Value] = {}
        self._keys: dict[object, list[str | int]] = defaultdict(list)
        self._readers: dict[Slot, set[ast.AST]] = defaultdict(set)
        self._queue: deque[Scope] = deque()
        self._queued: set[ast.AST] = set()
        self._scopes: dict[ast.AST, Scope] = {}
        self.current: ast.AST | None = None

    def queue(self, scope: Scope) -> None:
        self._scopes[scope.node] = scope
        if scope.node not in self._queued:
            self._queued.add(scope.node)
            self._queue.append(scope)

    def next(self) -> Scope | None:
        if not self._queue:
            return None
        scope = self._queue.popleft()
        self._queued.discard(scope.node)
        self.current = scope.node
        return scope

    def _get(self, slot: Slot) -> Value:
        if self.current is not None:
            self._readers[slot].add(self.current)
        return self._held.get(slot, NOTHING)

    def _add(self, slot: Slot, value: Iterable[Item]) -> bool:
        old = self._held.get(slot)
        new = (old or NOTHING) | frozenset(value)
        if old is not None and len(new) == len(old):
            return False
        if len(new) > MAX_ITEMS:
            new = (old or NOTHING) | {OPEN}
            if new == old:
                return False
        self._held[slot] = new
        self._wake(slot)
        return True

    def _wake(self, slot: Slot) -> None:
        for node in self._readers.get(slot, ()):
            self.queue(self._scopes[node])

    def variable(self, scope: ast.AST, name: str) -> Value:
        return self._get(("variable", scope, name))

    def bind(self, scope: ast.AST, name: str, value: Iterable[Item]) -> None:
        self._add(("variable", scope, name), value)

    def returned(self, function: ast.AST) -> Value:
        return self._get(("return", function, ""))

    def give(self, function: ast.AST, value: Value) -> None:
        self._add(("return", function, ""), value)

    def field(self, site: object, key: str | int) -> Value:
        return self._get(("field", site, key))

    def store(self, site: object, key: str | int, value: Iterable[Item]) -> None:
        slot = ("field", site, key)
        new = slot not in self._held
        self._add(slot, value)
        if new:
            self._keys[site].append(key)
            self._wake(("keys", site, ""))

    def keys(self, site: object) -> list[str | int]:
        self._get(("keys", site, ""))
        return list(self._keys.get(site, ()))
