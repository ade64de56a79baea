"""The mutations of the review's benchmark: each changes something, and what it should."""

import ast
import importlib
from pathlib import Path

import pytest
import yaml

from ohgw.review import review

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "review"
BREAKS_SYNTAX = {"truncated-tail", "base-syntax-error", "omitted-for-brevity"}


@pytest.fixture(scope="module")
def module():
    """Imports a module of the benchmark, which are scripts beside each other, no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARK)
        yield importlib.import_module


@pytest.fixture(scope="module")
def pairs(module):
    return module("pairs").load_pairs()


@pytest.fixture(scope="module")
def operators(module):
    return {(o.kind, o.name): o for o in module("run").all_operators()}


@pytest.fixture(scope="module")
def changes(pairs, operators):
    """(kind, operator, pair, change) of two places of every operator in every pair."""
    return [
        (kind, name, pair, change)
        for (kind, name), operator in operators.items()
        for pair in pairs.values()
        for change in operator.changes(pair, 2)
    ]


def test_there_are_good_pairs_of_several_styles(pairs):
    assert {"experiment", "calibration", "halving", "language"} <= set(pairs)
    assert all(pair.spec.run_variations and pair.spec.replicates for pair in pairs.values())


def test_every_operator_applies_somewhere_and_changes_something(changes, operators):
    unused = set(operators)
    for kind, name, pair, change in changes:
        unused.discard((kind, name))
        before = pair.base if change.side == "base" else pair.derived
        assert any(before.get(path) != text for path, text in change.files.items()), change.what
        assert change.what and "\n" not in change.what
    assert unused == set()


def test_all_mutations_of_the_list_are_there(operators):
    names = {name for kind, name in operators if kind != "benign"}
    assert {
        "truncated-tail", "body-to-pass", "body-to-raise", "placeholder-back",
        "omitted-for-brevity", "variation-dropped-smoke", "variation-dropped-full",
        "variations-equal", "branch-removed", "key-renamed", "float-as-string",
        "dependencies-table", "dependency-removed", "dataset-wrong", "synthetic-fallback",
        "clean-for-corrupted", "scratch-to-pretrained", "weights-for-hyperparameters",
        "scheduler-dropped", "metric-hardcoded", "metric-swapped", "evaluation-on-train",
        "seed-ignored", "import-undefined", "import-shadowed", "base-syntax-error", "timer-late",
        "backward-no-grad", "pipe-deadlock", "threshold-unreachable", "self-pass",
    } <= names  # fmt: skip


def test_changed_files_still_parse_where_they_should(changes):
    for _, name, _, change in changes:
        for path, text in change.files.items():
            if text is None or name in BREAKS_SYNTAX:
                continue
            if path.endswith(".py"):
                ast.parse(text, path)
            elif path.endswith(".yaml"):
                yaml.safe_load(text)


def test_the_same_changes_every_time(changes, operators):
    first = [(name, change.what) for _, name, pair, change in changes if pair.name == "language"]
    again = next(pair for _, _, pair, _ in changes if pair.name == "language")
    assert first == [
        (name, change.what)
        for (_, name), operator in operators.items()
        for change in operator.changes(again, 2)
    ]


def test_a_recipe_that_does_not_fit_is_an_error(module, pairs):
    recipe = {"what": "x", "edits": [{"file": "src/main.py", "old": "no such line", "new": ""}]}
    with pytest.raises(ValueError, match="does not occur once"):
        module("operators")._apply(pairs["halving"], recipe)


def test_good_pairs_are_ready_by_reading(pairs):
    for pair in pairs.values():
        result = review(pair.context())
        assert [f for f in result.findings if f.severity == "error"] == [], pair.name
        assert result.missing == []


def test_what_is_flagged_and_what_is_not(module, pairs, operators):
    judge = module("run").Judge()
    for kind, name, pair in (
        ("static", "omitted-for-brevity", "calibration"),
        ("static", "base-syntax-error", "language"),
        ("benign", "reformat", "halving"),
    ):
        operator = operators[kind, name]
        (change,) = operator.changes(pairs[pair], 1)
        outcome = judge.outcome(operator, pairs[pair], change)
        assert not outcome.wrong, (name, pair, outcome.new)
