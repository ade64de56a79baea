"""What became of every function, class and method of an older tree in a newer one.

Kept under its name, moved to another module, renamed, taken apart into others, or gone. Names are
the weakest evidence and bodies the strongest: `likeness` says what counts as the same.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property
from typing import Literal

from ohgw.review.code.likeness import FUNCTIONS, Body, body_of, coverage, outside_names
from ohgw.review.code.memo import once
from ohgw.review.project import Definition, Module, Project

Kind = Literal["kept", "moved", "renamed", "absorbed", "gone"]
Outside = frozenset[str]

ENOUGH = 0.6  # of a body found again: it is the same thing, changed
SOME = 0.35  # of a body found again under a name that says the same
TINY = 5  # atoms; smaller bodies resemble each other by chance


@dataclass(eq=False)
class Piece:
    """A function, method or class at the top of a module."""

    definition: Definition
    outside: Outside

    @property
    def module(self) -> Module:
        return self.definition.module

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def last(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def owner(self) -> str:
        """The class of a method."""
        return self.name.rpartition(".")[0]

    @property
    def is_class(self) -> bool:
        return self.definition.is_class

    @property
    def key(self) -> tuple[str, str]:
        return self.module.path, self.name

    @cached_property
    def body(self) -> Body:
        return body_of(self.definition.node.body, self.outside)


@dataclass(frozen=True)
class Fate:
    """What became of one piece."""

    kind: Kind
    old: Piece
    new: Piece | None = None
    share: float = 1.0  # of the old body found in the new one


@dataclass
class Comparison:
    """Every piece of the older tree with its fate, and what the newer one has besides."""

    fates: list[Fate] = field(default_factory=list)
    fresh: list[Piece] = field(default_factory=list)  # pieces of the newer tree without an elder
    spare_keys: Counter[str] = field(default_factory=Counter)  # lines that no elder explains
    spare_atoms: Counter[str] = field(default_factory=Counter)


@once
def pieces(project: Project) -> list[Piece]:
    """Functions, classes and methods of the modules that parse; none that is inside a function."""
    own = {part for module in project.modules.values() for part in module.name.split(".")}
    found = []
    for module in project.parsed():
        outside = outside_names(module.nodes, own)
        for definition in module.definitions.values():
            owner = module.definitions.get(definition.name.rpartition(".")[0])
            if "." not in definition.name or _is_reached(owner, module):
                found.append(Piece(definition, outside))
    return found


def _is_reached(owner: Definition | None, module: Module) -> bool:
    """Whether every level above a definition is a class."""
    while owner is not None and owner.is_class:
        if "." not in owner.name:
            return True
        owner = module.definitions.get(owner.name.rpartition(".")[0])
    return False


@once
def top_level(project: Project) -> dict[str, Body]:
    """By path: what each module does outside of functions and classes."""
    own = {part for module in project.modules.values() for part in module.name.split(".")}
    found = {}
    for module in project.parsed():
        rest = [n for n in module.nodes[0].body if not isinstance(n, (*FUNCTIONS, ast.ClassDef))]  # type: ignore[attr-defined]
        found[module.path] = body_of(rest, outside_names(module.nodes, own))
    return found


def compare(old: Project, new: Project) -> Comparison:
    """The fate of every piece of `old` whose module parses."""
    return _Matching(old, new).run()


class _Matching:
    def __init__(self, old: Project, new: Project) -> None:
        self.old_project, self.new_project = old, new
        self.old, self.new = pieces(old), pieces(new)
        self.by_key = {piece.key: piece for piece in self.new}
        self.by_name: dict[str, list[Piece]] = {}
        for piece in self.new:
            self.by_name.setdefault(piece.name, []).append(piece)
        self.fates: dict[Piece, Fate] = {}
        self.taken: set[Piece] = set()
        old_names = {piece.name for piece in self.old}
        self.free = [piece for piece in self.new if piece.name not in old_names]

    def run(self) -> Comparison:
        self._by_name()
        classes = [piece for piece in self.old if piece.is_class]
        self._by_shape(classes)
        self._by_likeness(classes)
        self._methods()
        rest = [piece for piece in self.old if not piece.is_class and self._has_home(piece)]
        self._by_shape(rest)
        self._by_likeness(rest)
        comparison = self._spare()
        for piece in self.old:  # a class comes before its methods
            if piece not in self.fates:
                self.fates[piece] = self._absorbed(piece, comparison)
        comparison.fates = [self.fates[piece] for piece in self.old]
        comparison.fresh = [piece for piece in self.new if piece not in self.taken]
        return comparison

    def _settle(self, kind: Kind, old: Piece, new: Piece, share: float | None = None) -> None:
        share = coverage(old.body.atoms, new.body.atoms) if share is None else share
        self.fates[old] = Fate(kind, old, new, share)
        self.taken.add(new)

    def _open(self, candidates: list[Piece]) -> Iterator[Piece]:
        return (piece for piece in candidates if piece not in self.fates)

    def _by_name(self) -> None:
        for old in self.old:
            same = self.by_key.get(old.key)
            if same is not None and same.is_class == old.is_class:
                self._settle("kept", old, same, None if not old.is_class else 1.0)
        for old in self._open(self.old):
            if old.owner and (old.module.path, old.owner) in self.by_key:
                continue  # its class is where it was: a method of another class is another method
            others = [p for p in self.by_name.get(old.name, ()) if p not in self.taken]
            if others:
                best = max(others, key=lambda new: coverage(old.body.atoms, new.body.atoms))
                self._settle("moved", old, best)

    def _by_shape(self, candidates: list[Piece]) -> None:
        shapes: dict[str, list[Piece]] = {}
        for new in self.free:
            if new not in self.taken:
                shapes.setdefault(new.body.shape, []).append(new)
        for old in self._open(candidates):
            same = [
                new
                for new in shapes.get(old.body.shape, ())
                if new not in self.taken and new.is_class == old.is_class
            ]
            telling = old.body.size > TINY or sum(line.weight for line in old.body.lines) > 2 * TINY
            if same and (telling or any(alike(old.last, new.last) for new in same)):
                self._settle("renamed", old, max(same, key=lambda new: _ratio(old.last, new.last)))

    def _by_likeness(self, candidates: list[Piece]) -> None:
        pairs = []
        for old in self._open(candidates):
            for new in self.free:
                if new in self.taken or new.is_class != old.is_class:
                    continue
                share = coverage(old.body.atoms, new.body.atoms)
                named = alike(old.last, new.last)
                back = coverage(new.body.atoms, old.body.atoms)
                same = share >= ENOUGH and back >= SOME and old.body.size > TINY
                if same or (named and share >= SOME):
                    likeness = share + back + 0.5 * _ratio(old.last, new.last)
                    pairs.append((likeness, old, new, share))
        for _, old, new, share in sorted(pairs, key=lambda pair: -pair[0]):
            if old not in self.fates and new not in self.taken:
                self._settle("renamed", old, new, share)

    def _methods(self) -> None:
        """Methods of classes that have another name now, or that a base class took over."""
        for old in self._open([piece for piece in self.old if piece.owner]):
            home = next(
                (f.new for o, f in self.fates.items() if o.name == old.owner and o.is_class), None
            )
            while home is not None:
                same = self.by_key.get((home.module.path, f"{home.name}.{old.last}"))
                if same is not None:
                    self._settle("moved", old, same)
                    break
                home = self._parent(home)

    def _has_home(self, piece: Piece) -> bool:
        """Whether a piece is looked for alone, unlike special methods and those of lost classes."""
        if piece.last.startswith("__"):
            return False
        return not piece.owner or any(
            old.name == piece.owner and old.module is piece.module for old in self.fates
        )

    def _parent(self, piece: Piece) -> Piece | None:
        """The first base class that is in the newer tree."""
        node = piece.definition.node
        names = [b for b in getattr(node, "bases", ()) if isinstance(b, ast.Name | ast.Attribute)]
        for base in names:
            name = base.id if isinstance(base, ast.Name) else base.attr
            found = self.by_name.get(name)
            if found and found[0] is not piece and found[0].name != piece.name:
                return found[0]
        return None

    def _spare(self) -> Comparison:
        """Lines and atoms of the newer tree beyond those of pieces that the older one had."""
        comparison = Comparison()
        functions = [piece for piece in self.new if not piece.is_class]
        for piece in functions:
            comparison.spare_keys += piece.body.keys
            comparison.spare_atoms += piece.body.atoms
        for body in top_level(self.new_project).values():
            comparison.spare_keys += body.keys
            comparison.spare_atoms += body.atoms
        for fate in self.fates.values():
            if fate.new is not None and not fate.old.is_class:
                comparison.spare_keys -= fate.old.body.keys & fate.new.body.keys
                comparison.spare_atoms -= fate.old.body.atoms & fate.new.body.atoms
        for body in top_level(self.old_project).values():
            comparison.spare_keys -= body.keys
            comparison.spare_atoms -= body.atoms
        return comparison

    def _absorbed(self, old: Piece, spare: Comparison) -> Fate:
        owner = next((f for o, f in self.fates.items() if o.key == (old.key[0], old.owner)), None)
        if owner is not None and owner.new is None:
            return Fate(owner.kind, old, None, owner.share)
        lines, atoms = found(old.body, spare)
        if old.body.size <= TINY:
            known = old.body.size > 0 and atoms == 1.0
        else:
            known = lines >= ENOUGH or (lines >= SOME and atoms >= 0.85)
        return Fate("absorbed" if known else "gone", old, None, lines)


def found(body: Body, spare: Comparison) -> tuple[float, float]:
    """How much of `body` is in what is new: by lines, the long ones counting more, and by atoms."""
    total = sum(line.weight for line in body.lines)
    left = Counter(spare.spare_keys)
    there = 0
    for line in body.lines:
        if left[line.key] > 0:
            left[line.key] -= 1
            there += line.weight
    return there / total if total else 1.0, coverage(body.atoms, spare.spare_atoms)


def words(name: str) -> set[str]:
    """train_one_epoch and trainOneEpoch are the same three words."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)}


def alike(first: str, second: str) -> bool:
    """Whether two names say much the same."""
    one, two = words(first), words(second)
    return len(one & two) * 2 >= max(len(one), len(two), 1) or _ratio(first, second) > 0.8


def _ratio(first: str, second: str) -> float:
    return SequenceMatcher(None, first.lower(), second.lower()).ratio()
