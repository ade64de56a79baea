"""Outcomes and success criteria of single rows."""

import math

import pytest

from ohgw.analysis.results import Cell, Gain, Row, Spread
from ohgw.analysis.verdict import judged
from ohgw.analysis.wording import finding

ANY = Spread(1.0, 0.5, 2.0)


def cell(change: float, p: float = 0.001, deviation: float = 1.0) -> Cell:
    direction = 0 if change == 0 else int(math.copysign(1, change))
    return Cell(
        "budget_25", 0.3, ANY, 9, 9, change, -1.0, 1.0, p, direction=direction, deviation=deviation
    )


def row(*cells: Cell, overhead: float = 0.01, drop: float = 0.0) -> Row:
    kept = Gain(-drop, -1.0, 1.0)
    return Row("a/plain", "vanilla/plain", 9, cells, ANY, ANY, overhead, kept, kept)


@pytest.mark.parametrize(
    ("change", "p_holm", "outcome"),
    [
        (-0.3, 0.049, "wins"),
        (-0.3, 0.05, "ties"),
        (0.3, 0.049, "loses"),
        (0.3, 0.2, "ties"),
        (-0.3, math.nan, "ties"),
        (math.inf, 0.01, "loses"),
    ],
)
def test_an_outcome_needs_holms_p_below_alpha(change: float, p_holm: float, outcome: str) -> None:
    assert judged(row(cell(change)), [p_holm]).outcome == outcome


def test_ranks_and_median_that_disagree_tie() -> None:
    contrary = Cell("budget_25", 0.3, ANY, 9, 9, -0.1, -1.0, 1.0, 0.001, direction=1)
    assert judged(row(contrary), [0.001]).outcome == "ties"


def test_a_row_is_mixed_where_targets_disagree() -> None:
    found = judged(row(cell(-0.3), cell(0.3), cell(-0.2)), [0.01, 0.01, 0.9])
    assert found.outcome == "mixed" and [c.outcome for c in found.cells] == [
        "wins",
        "loses",
        "ties",
    ]
    assert finding(found).startswith("a/plain has mixed results against vanilla/plain (9 paired")


def test_the_headline_counts_the_targets_that_decide() -> None:
    found = judged(row(cell(-0.3), cell(-0.3), cell(-0.2)), [0.01, 0.02, 0.9])
    assert finding(found).startswith("a/plain wins against vanilla/plain at 2 of 3 targets (9 ")


@pytest.mark.parametrize(
    ("made", "p_holm", "name", "met"),
    [
        (row(cell(-0.15)), 0.04, "less time to target", True),
        (row(cell(-0.149)), 0.04, "less time to target", False),
        (row(cell(-0.5)), 0.06, "less time to target", False),
        (row(cell(-0.5, p=math.nan)), math.nan, "less time to target", None),
        (row(cell(0.0), drop=0.002), 1.0, "final test score kept", True),
        (row(cell(0.0), drop=0.0021), 1.0, "final validation score kept", False),
        (row(cell(0.0), drop=-0.1), 1.0, "final validation score kept", True),
        (row(cell(0.0), drop=math.nan), 1.0, "final test score kept", None),
        (row(cell(0.0), overhead=0.05), 1.0, "extra cost", True),
        (row(cell(0.0), overhead=0.051), 1.0, "extra cost", False),
        (row(cell(0.0), overhead=math.nan), 1.0, "extra cost", None),
        (row(cell(0.0, deviation=1.1)), 1.0, "deviation of T@τ", True),
        (row(cell(0.0, deviation=1.11)), 1.0, "deviation of T@τ", False),
        (row(cell(0.0, deviation=math.nan)), 1.0, "deviation of T@τ", None),
    ],
)
def test_criteria_at_their_limits(made: Row, p_holm: float, name: str, met: bool | None) -> None:
    (found,) = (c for c in judged(made, [p_holm]).criteria if c.name == name)
    assert found.met is met


def test_a_row_without_reference_is_not_judged() -> None:
    alone = Row("a/plain", None, 0, (), ANY, None, 0.0)
    assert judged(alone, []) is alone
    assert finding(alone) == "a/plain has no reference in this plan: nothing is compared."
