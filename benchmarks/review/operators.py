"""What an operator is, and recipes: changes that know the pair that they are made in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from edits import spread
from pairs import Change, Pair

Kind = Literal["static", "dynamic", "benign"]
RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Operator:
    """`make` yields every change that it can make in a pair, in a fixed order.

    A static one can be found by reading; a dynamic one needs a run of the smoke test; a benign one
    must not be flagged.
    """

    name: str
    kind: Kind
    make: Callable[[Pair], Iterator[Change]]

    def changes(self, pair: Pair, sites: int) -> list[Change]:
        """At most `sites` of them; never one that changes nothing."""
        return spread([c for c in self.make(pair) if _differs(pair, c)], sites)


def _differs(pair: Pair, change: Change) -> bool:
    before = pair.base if change.side == "base" else pair.derived
    return any(before.get(path) != text for path, text in change.files.items())


class Registry(dict[str, Operator]):
    """Operators by name."""

    def add(self, name: str, kind: Kind) -> Callable:
        def register(make: Callable[[Pair], Iterator[Change]]):
            self[name] = Operator(name, kind, make)
            return make

        return register


def recipes(kind: Kind) -> dict[str, Operator]:
    """Operators from recipes/PAIR.yaml: texts that occur once, and what stands there instead."""
    found: dict[str, list[tuple[str, dict]]] = {}
    for path in sorted(RECIPES.glob("*.yaml")):
        for recipe in yaml.safe_load(path.read_text(encoding="utf-8")):
            if recipe.get("kind", "static") == kind:
                found.setdefault(recipe["operator"], []).append((path.stem, recipe))
    return {name: Operator(name, kind, _maker(given)) for name, given in found.items()}


def _maker(given: list[tuple[str, dict]]) -> Callable[[Pair], Iterator[Change]]:
    def make(pair: Pair) -> Iterator[Change]:
        for name, recipe in given:
            if name == pair.name:
                yield _apply(pair, recipe)

    return make


def _apply(pair: Pair, recipe: dict) -> Change:
    """Raises `ValueError` where a recipe no longer fits its pair."""
    files: dict[str, str | None] = {}
    for edit in recipe["edits"]:
        path = edit["file"]
        text = files.get(path, pair.derived.get(path, ""))
        if "old" in edit:
            if text.count(edit["old"]) != 1:
                where = f"recipes/{pair.name}.yaml, {recipe['what']!r}"
                raise ValueError(f"{where}: {edit['old']!r} does not occur once in {path}")
            text = text.replace(edit["old"], edit["new"])
        else:
            text = edit["new"]
        files[path] = text
    return Change(recipe["what"], files)


def combined(*parts: dict[str, Operator]) -> dict[str, Operator]:
    """Operators of one name become one, whose changes follow each other."""
    merged: dict[str, Operator] = {}
    for part in parts:
        for name, operator in part.items():
            if name in merged:
                operator = _joined(merged[name], operator)
            merged[name] = operator
    return dict(sorted(merged.items()))


def _joined(first: Operator, second: Operator) -> Operator:
    def make(pair: Pair) -> Iterator[Change]:
        yield from second.make(pair)  # recipes first: they are the likelier mistakes
        yield from first.make(pair)

    return Operator(first.name, first.kind, make)
