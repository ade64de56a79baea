"""What an expression may be."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from ohgw.review.code.nodes import Node
from ohgw.review.project import Definition, Module


@dataclass(frozen=True)
class At:
    """A node of a configuration, and the call that loaded it (None for literals of the code).

    `derived` where the code made a number of it: float(x), x + 1, min(x, 2). `loose` where it was
    reached by a key that is not known: the expression may then be much else, too.
    """

    node: Node
    load: ast.AST | None
    derived: bool = False
    loose: bool = False


@dataclass(frozen=True)
class Obj:
    """An object that the code makes at `site`: a display, a comprehension, a class, a call.

    `kind` is display, class, namespace or parser. Fields are kept by the solver.
    """

    site: object
    kind: str = "display"


@dataclass(frozen=True)
class Ref:
    """A function or class of the project; `me` is the object that a method is bound to."""

    definition: Definition
    me: "Obj | None" = None


@dataclass(frozen=True)
class Text:
    """A constant string."""

    value: str


@dataclass(frozen=True)
class Open:
    """Something unknown; configurations merged with it may hold any key."""


OPEN = Open()
Item = At | Obj | Ref | Text | Open
Value = frozenset[Item]
NOTHING: Value = frozenset()

EACH = "*"  # the field of an object that stands for all its elements
MERGED = "**"  # the field that holds the mappings merged into an object


def union(values: Iterable[Value]) -> Value:
    return NOTHING.union(*values)


def derived(value: Value) -> Value:
    """Scalars of the configuration inside a computed number."""
    return frozenset(
        At(item.node, item.load, True, item.loose)
        for item in value
        if isinstance(item, At) and item.node.is_scalar
    )


def loosened(value: Value) -> Value:
    """Reached by a key that is not known."""
    return frozenset(
        At(item.node, item.load, item.derived, True) if isinstance(item, At) else item
        for item in value
    )


def is_container(item: Item) -> bool:
    return isinstance(item, At) and not item.node.is_scalar


@dataclass(frozen=True)
class Read:
    """One read of one key: cfg["a"], cfg.a, cfg.get("a"), F(**cfg) for its parameter a."""

    expr: ast.AST
    module: Module
    scope: ast.AST
    key: str
    bases: Value
    optional: bool  # has a default, or only asks whether the key is there
    kind: str  # item, attribute, get, in, argument


@dataclass(frozen=True)
class Splat:
    """`callee(**part)`: every key of the part becomes an argument."""

    call: ast.Call
    module: Module
    callee: Definition | None  # None where it is not the project's
    parts: Value


@dataclass
class Record:
    """What one pass over the code saw."""

    reads: dict[tuple[ast.AST, str], Read] = field(default_factory=dict)
    splats: dict[ast.Call, Splat] = field(default_factory=dict)
    values: dict[ast.AST, Value] = field(default_factory=dict)
    whole: set[Node] = field(default_factory=set)  # handed to code that is not the project's
    dumped: set[Node] = field(default_factory=set)  # written or printed, which reads nothing
    writes: dict[ast.AST, tuple[str, Value]] = field(default_factory=dict)  # target -> key, base
    written: set[str] = field(default_factory=set)  # keys that code adds to configurations
