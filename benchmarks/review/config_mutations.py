"""Mutations that must be flagged, of configurations and manifests."""

import ast
import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePosixPath

from edits import Source, list_items, scalars, without_lines, words
from operators import Registry
from packaging.requirements import Requirement
from pairs import Change, Pair

CONFIG_MUTATIONS = Registry()
LISTS = ("runs", "experiments", "variations")

# What a requirement is imported as, and what it brings along itself.
MODULES = {"scikit-learn": "sklearn", "pyyaml": "yaml", "hydra-core": "hydra"}
BRINGS = {
    "scikit-learn": {"numpy", "scipy"},
    "scipy": {"numpy"},
    "transformers": {"numpy", "pyyaml"},
    "datasets": {"numpy", "pyyaml"},
    "hydra-core": {"omegaconf", "pyyaml"},
    "ohgw": {"torch", "numpy", "scikit-learn", "pyyaml", "scipy"},
}


def _role(path: str) -> str:
    name = path.lower()
    return "smoke" if "smoke" in name else "full" if "full" in name else ""


def _dropped(pair: Pair, role: str) -> Iterator[Change]:
    for path, text in sorted(pair.yaml.items()):
        if _role(path) != role:
            continue
        for item in list_items(text, *LISTS):
            if item.name in pair.spec.run_variations:
                yield Change(
                    f"{path} lacks {item.name}",
                    {path: without_lines(text, item.first, item.last)},
                )


@CONFIG_MUTATIONS.add("variation-dropped-smoke", "static")
def variation_dropped_smoke(pair: Pair) -> Iterator[Change]:
    yield from _dropped(pair, "smoke")


@CONFIG_MUTATIONS.add("variation-dropped-full", "static")
def variation_dropped_full(pair: Pair) -> Iterator[Change]:
    """Also where one definition serves both: a file of a group, an entry of a table."""
    yield from _dropped(pair, "full")
    for path, _ in sorted(pair.yaml.items()):
        if PurePosixPath(path).stem in pair.spec.run_variations:
            yield Change(f"{path} is gone", {path: None})
    for path, source, node, k in _tabled(pair):
        first, last = node.keys[k].lineno, node.values[k].end_lineno
        yield Change(
            f"{path}: no entry {node.keys[k].value!r}", {path: source.with_lines(first, last, "")}
        )


def _tabled(pair: Pair) -> Iterator[tuple[str, Source, ast.Dict, int]]:
    """Entries of dictionaries of the code that are named for a variation."""
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Dict):
                for k, key in enumerate(node.keys):
                    named = getattr(key, "value", None) in pair.spec.run_variations
                    if named and isinstance(node.values[k], ast.Dict | ast.Call):
                        yield path, source, node, k


@CONFIG_MUTATIONS.add("variations-equal", "static")
def variations_equal(pair: Pair) -> Iterator[Change]:
    """One variation gets the settings of another and keeps its name."""
    for path, text in sorted(pair.yaml.items()):
        items = [i for i in list_items(text, *LISTS) if len(i.text.splitlines()) > 1]
        for first, second in pairwise(items):
            copied = re.sub(
                rf"\b{re.escape(first.name)}(?=\s*$)", second.name, first.text, flags=re.M
            )
            lines = text.splitlines(keepends=True)
            new = "".join([*lines[: second.first - 1], copied, *lines[second.last :]])
            yield Change(f"{path}: {second.name} is set up as {first.name}", {path: new})
    files = [p for p in sorted(pair.yaml) if PurePosixPath(p).stem in pair.spec.run_variations]
    for first, second in pairwise(files):
        one, other = PurePosixPath(first).stem, PurePosixPath(second).stem
        copied = pair.yaml[first].replace(f"run_id: {one}\n", f"run_id: {other}\n")
        yield Change(f"{second} is set up as {one}", {second: copied})
    entries = list(_tabled(pair))
    for (path, source, node, k), (_, _, _, n) in pairwise(entries):
        same = source.segment(node.values[k])
        yield Change(
            f"{path}: {node.keys[n].value!r} is set up as {node.keys[k].value!r}",
            {path: source.replaced(node.values[n], same)},
        )


@CONFIG_MUTATIONS.add("placeholder-back", "static")
def placeholder_in_configuration(pair: Pair) -> Iterator[Change]:
    marks = {"dataset": "DATASET_PLACEHOLDER", "data": "DATASET_PLACEHOLDER",
             "model": "MODEL_PLACEHOLDER"}  # fmt: skip
    for path, text in sorted(pair.yaml.items()):
        for scalar in scalars(text):
            parent = scalar.route[-2] if len(scalar.route) > 1 else None
            named = scalar.route[-1] in ("name", "path", "tokenizer")
            if isinstance(scalar.value, str) and parent in marks and named:
                new = text[: scalar.start] + marks[parent] + text[scalar.end :]
                yield Change(f"{path}: {'.'.join(map(str, scalar.route))}", {path: new})


def key_renamed_in_configurations(pair: Pair) -> Iterator[Change]:
    """A key that the code reads has another name in every configuration."""
    code = "\n".join(pair.python.values())
    found: dict[str, int] = {}
    for text in pair.yaml.values():
        for scalar in scalars(text):
            for key in scalar.route:
                if isinstance(key, str) and key != "<<":
                    found[key] = found.get(key, 0) + 1
    for key in sorted(found):
        if key in ("defaults", "hydra", "description") or key in pair.spec.run_variations:
            continue
        read = f'["{key}"]' in code or f"{key}:" in code or re.search(rf"\.{key}\b", code)
        named = code.count(f'"{key}": ') or key in ("run", "job", "mode", "run_id")
        if not read or named:
            continue
        files = {
            path: re.sub(rf"(?m)(^[ \-]*|[{{,] ?){key}:", rf"\g<1>{key}_value:", text)
            for path, text in pair.yaml.items()
        }
        changed = {path: text for path, text in files.items() if text != pair.yaml[path]}
        yield Change(f"{key} is {key}_value in {', '.join(changed)}", changed)


def key_renamed_in_code(pair: Pair) -> Iterator[Change]:
    """A key is read under a name that no configuration has."""
    keys = {s.route[-1] for text in pair.yaml.values() for s in scalars(text)}
    for path, text in sorted(pair.python.items()):
        source = Source(text)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                key = getattr(node.slice, "value", None)
                if isinstance(key, str) and key in keys and words(key) and _settings(node):
                    quote = source.segment(node.slice)[0]
                    yield Change(
                        f"{path}:{node.lineno} reads {key}_size",
                        {path: source.replaced(node.slice, f"{quote}{key}_size{quote}")},
                    )


def _settings(node: ast.Subscript) -> bool:
    """Whether a mapping is a configuration by its name."""
    base = ast.unparse(node.value)
    return re.match(r"(cfg|config|settings|training|runs)\b", base) is not None


@CONFIG_MUTATIONS.add("key-renamed", "static")
def key_renamed(pair: Pair) -> Iterator[Change]:
    yield from key_renamed_in_configurations(pair)
    yield from key_renamed_in_code(pair)


@CONFIG_MUTATIONS.add("float-as-string", "static")
def float_as_string(pair: Pair) -> Iterator[Change]:
    """A number written so that PyYAML reads a string; Hydra reads its files otherwise."""
    if any("omegaconf" in text for text in pair.python.values()):
        return
    for path, text in sorted(pair.yaml.items()):
        for scalar in scalars(text):
            written = text[scalar.start : scalar.end]
            if isinstance(scalar.value, float) and 0 < scalar.value < 1:
                new = scientific(scalar.value)
                if float(new) == scalar.value:
                    yield Change(
                        f"{path}: {'.'.join(map(str, scalar.route))} is {new}, was {written}",
                        {path: text[: scalar.start] + new + text[scalar.end :]},
                    )


def scientific(value: float) -> str:
    """`1e-3`: no dot, so a string to PyYAML."""
    mantissa, exponent = f"{value:e}".split("e")
    digits = mantissa.rstrip("0").rstrip(".")
    shift = len(digits.partition(".")[2])
    return f"{digits.replace('.', '')}e{int(exponent) - shift}"


@CONFIG_MUTATIONS.add("dependencies-table", "static")
def dependencies_table(pair: Pair) -> Iterator[Change]:
    """As Poetry writes them, under the standard's name."""
    text = pair.derived.get("pyproject.toml")
    if text is None:
        return
    given = [Requirement(item) for item in tomllib.loads(text)["project"]["dependencies"]]
    rest = re.sub(r"(?ms)^dependencies = \[.*?\]\n", "", text)
    table = "".join(f'{r.name} = "{r.specifier or "*"}"\n' for r in given)
    yield Change(
        "pyproject.toml: dependencies are a table",
        {"pyproject.toml": f"{rest}\n[project.dependencies]\n{table}"},
    )
    table = "".join(f'{r.name} = "{r.specifier or "*"}"\n' for r in given)
    yield Change(
        "pyproject.toml: dependencies are Poetry's alone",
        {"pyproject.toml": f'{rest}\n[tool.poetry.dependencies]\npython = "^3.11"\n{table}'},
    )


@CONFIG_MUTATIONS.add("dependency-removed", "static")
def dependency_removed(pair: Pair) -> Iterator[Change]:
    """One that the code imports and that no other brings along."""
    code = "\n".join(pair.python.values())
    for path in ("pyproject.toml", "requirements.txt"):
        text = pair.derived.get(path)
        if text is None:
            continue
        if path == "pyproject.toml":
            given = tomllib.loads(text)["project"]["dependencies"]
        else:
            given = text.split()
        names = {Requirement(item).name: item for item in given}
        for name, item in sorted(names.items()):
            brought = set().union(*(BRINGS.get(other, set()) for other in set(names) - {name}))
            module = MODULES.get(name, name)
            if name in brought or not re.search(rf"(?m)^\s*(?:import|from) {module}\b", code):
                continue
            new = re.sub(rf'(?:\n\s*)?"?{re.escape(item)}"?(?:, ?)?', "", text, count=1)
            yield Change(f"{path} lacks {name}", {path: new})


@CONFIG_MUTATIONS.add("dataset-wrong", "static")
def dataset_wrong(pair: Pair) -> Iterator[Change]:
    """Every configuration names a data set that the code does not know."""
    for path, text in sorted(pair.yaml.items()):
        names = [
            s
            for s in scalars(text)
            if len(s.route) > 1 and s.route[-2] in ("dataset", "data") and s.route[-1] == "name"
        ]
        new = text
        for scalar in reversed(names):
            wrong = f"{scalar.value}-v2"
            new = new[: scalar.start] + wrong + new[scalar.end :]
        if names and not any("from datasets import" in code for code in pair.python.values()):
            yield Change(f"{path}: {names[0].value} is {names[0].value}-v2", {path: new})


@CONFIG_MUTATIONS.add("threshold-unreachable", "static")
def threshold_unreachable(pair: Pair) -> Iterator[Change]:
    """A share as a percentage; a loss below zero."""
    for path, text in sorted(pair.yaml.items()):
        new = text
        for scalar in reversed(list(scalars(text))):
            key = str(scalar.route[-1])
            if re.search("target|threshold", key) and isinstance(scalar.value, float):
                wrong = 100 * scalar.value if "acc" in key else -scalar.value
                new = f"{new[: scalar.start]}{wrong}{new[scalar.end :]}"
        if new != text:
            yield Change(f"{path}: no value can reach the target", {path: new})
