"""The table of the method's study: what was met, what was missed, what was not run."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

CRITERIA = [
    {"name": "less time to target", "value": -0.56, "met": True},
    {"name": "extra cost", "value": 0.004, "met": True},
    {"name": "deviation of T@τ", "value": 1.2, "met": False},
    {"name": "extra memory", "value": 0.7, "met": False},
]


@pytest.fixture(scope="module")
def method():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("method")


def tuple_of(reference, criteria, at):
    return {
        "task": "digits", "scheduler": "asha", "workers": 4, "arm": "guided/averaged",
        "reference": reference, "pairs": 12, "criteria": criteria, "at": at,
    }  # fmt: skip


def test_a_miss_is_named_memory_is_set_apart_and_what_was_not_run_counts(method):
    at = {"change": {"value": -0.56, "low": None, "high": -0.2}, "p_holm": 0.00001}
    met = [c | {"met": True} for c in CRITERIA[:-1]]
    unknown = [c | {"value": None, "met": None} for c in CRITERIA]
    summary = {
        "tuples": [
            tuple_of("vanilla/plain", met, at),
            tuple_of("vanilla/averaged", CRITERIA, at),
            tuple_of("vanilla/averaged", unknown, None),
        ]
    }
    tuples = method.read(summary, "guided/averaged")
    first, _, *cells = [line.split(" | ") for line in method.markdown(tuples).splitlines()]
    assert len(first) == len(method.COLUMNS)
    assert cells[0][4:8] == ["−56 %", "∞ to −20", "<0.0001", "0.4 %"]
    assert [row[-1] for row in cells] == ["yes |", "no: deviation of T@τ |", "not run |"]
    assert method.document(tuples)["share_met"] == {"vanilla/plain": 1.0, "vanilla/averaged": 0.0}
    assert tuples[1]["extra_memory"] == 0.7
