"""Performance profiles against values worked out by hand."""

import math
from typing import Any

import pytest

from ohgw.analysis.across import summarise_study
from ohgw.analysis.across.profiles import profile_curve

INF = math.inf


@pytest.mark.parametrize(
    ("ratios", "factors", "shares", "area"),
    [
        ([1.0, 1.0], (1.0,), (1.0,), 1.0),
        # Best in one, twice as slow in the other: (1/2 * 3 + 1/2 * 2) / 3.
        ([1.0, 2.0], (1.0, 2.0), (0.5, 1.0), 2.5 / 3),
        ([2.0, INF], (1.0, 2.0), (0.0, 0.5), 1 / 3),
        ([INF, INF], (1.0,), (0.0,), 0.0),
        # Slower than the limit: solved in the end, worth nothing in the score.
        ([5.0], (1.0, 5.0), (0.0, 1.0), 0.0),
        ([1.0, 4.0], (1.0, 4.0), (0.5, 1.0), 0.5),
        ([2.0, 2.0, 1.0], (1.0, 2.0), (1 / 3, 1.0), (3 + 2 + 2) / 9),
    ],
)
def test_a_curve_and_its_area(
    ratios: list[float], factors: tuple[float, ...], shares: tuple[float, ...], area: float
) -> None:
    found = profile_curve("a/plain", ratios)
    assert found.factors == factors
    assert found.shares == pytest.approx(shares)
    assert found.area == pytest.approx(area)


def test_ratios_are_to_the_best_arm_of_each_workload(small: Any) -> None:
    first = {"vanilla/plain": [20.0] * 3, "a/plain": [30.0] * 3, "b/plain": [40.0] * 3}
    second = {"vanilla/plain": [50.0, 40, 60], "a/plain": [25.0] * 3}
    second["b/plain"] = [10.0, None, None]  # the median misses
    cells = [small.cell("main.x.asha", first), small.cell("main.y.asha", second)]
    summary = summarise_study(small.study(*cells))
    found = next(p for p in summary.profiles if p.primary)
    assert found.cells == ("main.x.asha", "main.y.asha") and found.block == "main"
    assert found.ratios == {
        "vanilla/plain": (1.0, 2.0),
        "a/plain": (1.5, 1.0),
        "b/plain": (2.0, INF),
    }
    assert [c.arm for c in found.curves] == list(found.ratios)


def test_arms_that_a_cell_lacks_are_left_out(small: Any) -> None:
    many = {"vanilla/plain": [20.0], "a/plain": [30.0], "b/plain": [40.0]}
    few = {"vanilla/plain": [20.0], "a/plain": [30.0]}
    cells = [small.cell("main.x.asha", many), small.cell("main.y.asha", few)]
    found = next(p for p in summarise_study(small.study(*cells)).profiles if p.primary)
    assert list(found.ratios) == ["vanilla/plain", "a/plain"] and found.left_out == ("b/plain",)


def test_there_is_no_profile_of_vanilla_alone(small: Any) -> None:
    one = small.cell("main.x.asha", {"vanilla/plain": [20.0], "vanilla/averaged": [30.0]})
    two = small.cell("eta.x.asha", {"vanilla/plain": [20.0], "a/plain": [30.0]})
    summary = summarise_study(small.study(one, two))
    assert {p.block for p in summary.profiles} == {"eta"}
