"""A whole study's numbers and its verdict, against values worked out by hand."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import wilcoxon

from ohgw.analysis import study_wording
from ohgw.analysis.across import Interval, Pair, PairTarget, summarise_study
from ohgw.analysis.across.cell import area, extra_memory
from ohgw.analysis.across.verdict import criteria_of, every, share_holds, verdicts
from ohgw.analysis.frames import Curve
from ohgw.core import layout
from ohgw.core.errors import RecordError
from ohgw.core.layout import Memory
from ohgw.core.records import RECORDS_NAME

INF, NAN = math.inf, math.nan
BASE = [20.0, 24, 28, 32, 36, 40, 44, 48, 52, 56]
MEMORY = Memory(step_bytes=1000, arms={"vanilla/plain": 0, "screen/plain": 1050})


def faster(times: list[float], factor: float) -> list[float]:
    # Never quite the same factor: ten equal log ratios would all share one rank.
    return [t * factor * (1 + 0.001 * k) for k, t in enumerate(times)]


@pytest.fixture
def good(small: Any) -> Path:
    """Two cells: in one all criteria are met, in the other T@tau is not reduced enough."""
    test = {"vanilla/plain": [0.5] * 10, "screen/plain": [0.4995] * 10}
    common = {"memory": MEMORY, "test": test, "probe": {"screen/plain": 0.04}}
    quick = {"vanilla/plain": BASE, "screen/plain": faster(BASE, 0.7)}
    slow = {"vanilla/plain": BASE, "screen/plain": faster(BASE, 0.9)}
    return small.study(
        small.cell("main.digits.asha", quick, **common),
        small.cell("main.charlm.asha", slow, **common),
    )


def test_every_number_of_a_pair_by_hand(good: Path) -> None:
    summary = summarise_study(good)
    first = summary.cells[0]
    (pair,) = first.pairs
    at = pair.primary
    assert at is not None and at.target == "reach_90" == summary.primary and at.tau == 0.5
    ratios = np.array(faster(BASE, 0.7)) / BASE
    assert at.change.value == pytest.approx(np.median(ratios) - 1)
    assert at.speedup.value == pytest.approx(np.median(1 / ratios))
    assert at.change.low <= at.change.value <= at.change.high < -0.29
    assert at.seconds_change.value == pytest.approx(at.change.value)  # wall is 2 s an epoch
    assert at.p == pytest.approx(wilcoxon(np.log(ratios), method="exact").pvalue) == 2 / 2**10
    assert at.p_holm == at.p_bonferroni == pytest.approx(2 * at.p)  # two tests in the family
    assert (at.both, at.arm_only, at.reference_only, at.neither) == (10, 0, 0, 0)
    assert at.deviation == pytest.approx(np.std(faster(BASE, 0.7)) / np.std(BASE))
    assert pair.test is not None and pair.test.value == pytest.approx(0.001)
    assert pair.extra_cost == pytest.approx(0.04) and pair.extra_memory == pytest.approx(0.05)


def test_every_number_of_an_arm_by_hand(good: Path) -> None:
    vanilla, screen = summarise_study(good).cells[0].arms
    at = next(t for t in vanilla.targets if t.target == "reach_90")
    assert at.work.median == 38 and at.seconds.median == 76 and at.reached == 10
    assert at.deviation == pytest.approx(np.std(BASE, ddof=1))
    assert at.variance == pytest.approx(np.var(BASE, ddof=1))
    assert screen.overhead == pytest.approx(0.04)
    # 10 searches of 100 epochs, 10 steps an epoch, 1000 FLOPs a step
    assert screen.flops == pytest.approx(1e7) and screen.probe_flops == pytest.approx(4e5)
    assert screen.memory_bytes == 1050 and vanilla.memory_bytes == 0
    assert vanilla.validation.median == 0.5 and vanilla.validation_deviation == 0
    # Quality is 0 until T and 1 from there on: first score 1.0, last one 0.5.
    assert vanilla.auc.median == pytest.approx(1 - 38 / 100)


def test_one_tuple_meets_the_criteria_and_the_other_does_not(good: Path) -> None:
    summary = summarise_study(good)
    met, unmet = summary.tuples
    assert met.met is True and all(c.met for c in met.criteria) and met.pairs == 10
    names = [c.name for c in met.criteria]
    assert names == [
        "less time to target",
        "final validation score kept",
        "final test score kept",
        "extra cost",
        "extra memory",
        "deviation of T@τ",
    ]
    assert unmet.met is False
    assert [c.name for c in unmet.criteria if c.met is False] == ["less time to target"]
    assert unmet.at is not None and unmet.at.p_holm < 0.05  # a clear effect, but too small
    (line,) = summary.verdicts
    assert (line.met, line.not_met, line.cannot_tell, line.tuples) == (1, 1, 0, 2)
    assert line.share == 0.5 and line.holds is False
    assert line.by_criterion["less time to target"] == (1, 1, 0)


def test_the_family_is_the_primary_target_of_all_cells_without_vanilla(small: Any) -> None:
    labels = ["vanilla/plain", "vanilla/averaged", "screen/averaged"]
    times = {label: faster(BASE, 1 - 0.1 * k) for k, label in enumerate(labels)}
    cells = [small.cell(f"main.{task}.asha", times) for task in ("digits", "charlm")]
    summary = summarise_study(small.study(*cells))
    assert summary.family.tests == 4  # screen/averaged against two references, in two cells
    adjusted = {
        (pair.key, at.target)
        for pair in summary.cells[0].pairs
        for at in pair.targets
        if not math.isnan(at.p_holm)
    }
    assert adjusted == {
        ("screen/averaged vs vanilla/plain", "reach_90"),
        ("screen/averaged vs vanilla/averaged", "reach_90"),
    }
    assert {t.arm for t in summary.tuples} == {"screen/averaged"}


def test_ties_and_misses_by_hand(small: Any) -> None:
    base: list[float | None] = [20, 20, 40, 40, None, None, 40, 40]
    arm: list[float | None] = [20, 10, 20, None, 40, None, 30, 20]
    times = {"vanilla/plain": base, "screen/plain": arm}
    summary = summarise_study(small.study(small.cell("main.digits.asha", times)))
    (pair,) = summary.cells[0].pairs
    at = pair.primary
    assert at is not None
    assert (at.both, at.arm_only, at.reference_only, at.neither) == (5, 1, 1, 1)
    # Ratios 1, .5, .5, inf, 0, 1, .75, .5: the median lies between .5 and .75.
    assert at.change.value == pytest.approx(0.625 - 1)
    # log ratios: two zeros (ranks 1-2), .288 (rank 3), .693 three times (5), inf twice (7.5).
    # W+ = 7.5, W- = 25.5; of the 64 signings of 3, 5, 5, 5, 7.5, 7.5 those up to 7.5 are: none,
    # 3, three times 5, twice 7.5: 7.
    assert at.direction == -1 and at.p == pytest.approx(2 * 7 / 64)
    vanilla = summary.cells[0].arms[0]
    own = next(t for t in vanilla.targets if t.target == "reach_90")
    assert own.reached == 6 and own.work.median == 40 and own.work.high == INF
    assert own.deviation == pytest.approx(np.std([20, 20, 40, 40, 100, 100, 40, 40], ddof=1))


def test_pairs_are_counted_by_who_reached_the_target(small: Any) -> None:
    base: list[float | None] = [None] * 4 + [30] * 4
    arm: list[float | None] = [20] * 3 + [None] + [20] * 3 + [None]
    made = small.cell("main.digits.asha", {"vanilla/plain": base, "screen/plain": arm})
    at = summarise_study(small.study(made)).cells[0].pairs[0].primary
    assert at is not None
    assert (at.both, at.arm_only, at.reference_only, at.neither) == (3, 3, 1, 1)


def target(**changes: object) -> PairTarget:
    nothing = Interval(NAN, NAN, NAN)
    found = PairTarget(
        "reach_90", 0.5, True, Interval(-0.2, -0.3, -0.1), nothing, nothing, 0.001, 0.01, 0.01,
        0.01, True, -1, 1.0, 10, 0, 0, 0,
    )  # fmt: skip
    return replace(found, **changes)


def pair(at: PairTarget | None = None, **changes: object) -> Pair:
    kept = Interval(0.0, -0.1, 0.1)
    made = Pair(
        "screen/plain", "vanilla/plain", 10, (at or target(),), kept, kept, kept, 0.05, 0.10
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("made", "name", "met"),
    [
        (pair(), "less time to target", True),
        (pair(target(change=Interval(-0.15, -1, 1))), "less time to target", True),
        (pair(target(change=Interval(-0.149, -1, 1))), "less time to target", False),
        (pair(target(p_holm=0.05)), "less time to target", False),
        (pair(target(direction=1)), "less time to target", False),
        (pair(target(p=NAN, p_holm=NAN)), "less time to target", None),
        (pair(target(decidable=False, p_holm=0.2)), "less time to target", None),
        (
            pair(target(decidable=False, change=Interval(-0.1, -1, 1))),
            "less time to target",
            False,
        ),
        (pair(targets=()), "less time to target", None),
        (pair(validation=Interval(-0.002, -1, 1)), "final validation score kept", True),
        (pair(validation=Interval(-0.0021, -1, 1)), "final validation score kept", False),
        (pair(test=Interval(NAN, NAN, NAN)), "final test score kept", None),
        (pair(extra_cost=0.051), "extra cost", False),
        (pair(), "extra cost", True),
        (pair(extra_memory=0.101), "extra memory", False),
        (pair(), "extra memory", True),
        (pair(extra_memory=NAN), "extra memory", None),
        (pair(target(deviation=1.1)), "deviation of T@τ", True),
        (pair(target(deviation=1.11)), "deviation of T@τ", False),
        (pair(target(deviation=NAN)), "deviation of T@τ", None),
    ],
)
def test_criteria_at_their_limits(made: Pair, name: str, met: bool | None) -> None:
    (found,) = (c for c in criteria_of(made) if c.name == name)
    assert found.met is met


def test_a_task_without_test_scores_is_not_judged_by_them() -> None:
    assert "final test score kept" not in [c.name for c in criteria_of(pair(test=None))]


@pytest.mark.parametrize(
    ("met", "expected"),
    [
        ([True, True], True),
        ([True, False, None], False),
        ([True, None], None),
    ],
)
def test_three_valued_and(met: list[bool | None], expected: bool | None) -> None:
    assert every(met) is expected


@pytest.mark.parametrize(
    ("met", "cannot_tell", "total", "holds"),
    [(3, 0, 4, True), (2, 0, 4, False), (2, 1, 4, None), (3, 1, 4, True), (0, 2, 3, False)],
)
def test_a_share_holds_however_the_rest_turns_out(
    met: int, cannot_tell: int, total: int, holds: bool | None
) -> None:
    assert share_holds(met, cannot_tell, total, 0.75) is holds


def test_a_tuple_that_two_blocks_repeat_counts_once(good: Path, small: Any) -> None:
    plan = layout.read_study(good).plan
    quick = {"vanilla/plain": BASE, "screen/plain": faster(BASE, 0.7)}
    again = small.cell("scaling.digits.asha", quick, memory=MEMORY)
    summary = summarise_study(small.study(*plan.cells, again))
    lines = {line.block: line for line in summary.verdicts}
    assert lines[None].tuples == 2 and lines["main"].tuples == 2 and lines["scaling"].tuples == 1
    assert [t.cell for t in summary.tuples] == [c.id for c in (*plan.cells, again)]
    assert verdicts(()) == ()


def test_of_a_repeated_tuple_the_first_that_was_run_counts(good: Path, small: Any) -> None:
    first, second = layout.read_study(good).plan.cells
    absent = first.model_copy(update={"id": "scaling.digits.asha", "block": "scaling"})
    summary = summarise_study(small.study(absent, first, second))
    whole = summary.verdicts[0]
    assert (whole.block, whole.tuples, whole.met, whole.cannot_tell) == (None, 2, 1, 0)


def test_with_few_pairs_and_many_tests_the_verdict_cannot_tell(small: Any) -> None:
    # Seven pairs: p is 2/128 at best, and a family of four asks for .0125.
    times = {"vanilla/plain": BASE[:7], "screen/plain": faster(BASE[:7], 0.7)}
    cells = [small.cell(f"main.t{k}.asha", times, memory=MEMORY) for k in range(4)]
    summary = summarise_study(small.study(*cells))
    assert [t.criteria[0].met for t in summary.tuples] == [None] * 4
    assert all(t.met is None for t in summary.tuples)
    assert summary.verdicts[0].holds is None
    (note,) = summary.notes
    assert "4 of the 4 tests" in note and "From 8 paired seeds on" in note
    fewer = summarise_study(small.study(*cells[:3]))
    assert [t.criteria[0].met for t in fewer.tuples] == [True] * 3 and not fewer.notes


def test_a_stopped_study_is_summarised_as_far_as_it_went(good: Path, small: Any) -> None:
    plan = layout.read_study(good).plan
    times = {"vanilla/plain": BASE, "screen/plain": faster(BASE, 0.7)}
    begun = small.cell(
        "main.wine.asha",
        times,
        manifest=False,
        ended=4 + 10 + 8,
    )
    cut = small.cell("main.iris.asha", times, manifest=False)
    record = small.directory / layout.CELLS / cut.id / RECORDS_NAME
    record.write_text(record.read_text()[:-20])
    elsewhere = begun.plan.model_copy(update={"task": "moons"})
    absent = begun.model_copy(update={"id": "main.moons.asha", "plan": elsewhere})
    summary = summarise_study(small.study(*plan.cells, begun, cut, absent))
    states = {found.id: found.state for found in summary.cells}
    assert [states[c.id] for c in (*plan.cells, begun, cut, absent)] == [
        "complete",
        "complete",
        "partial",
        "partial",
        "absent",
    ]
    by_cell = {found.cell: found for found in summary.tuples}
    assert by_cell[begun.id].pairs == 8 and by_cell[begun.id].met is None  # memory not measured
    assert by_cell[cut.id].met is None and by_cell[cut.id].criteria == ()
    assert by_cell[absent.id].met is None
    assert summary.verdicts[0].tuples == 5 and summary.verdicts[0].cannot_tell == 3
    assert "1 of 5 cells not begun: main.moons.asha." in summary.notes
    assert any("half-written" in note for found in summary.cells for note in found.notes)
    assert any("have not ended" in note for found in summary.cells for note in found.notes)
    assert any("provisional" in note for note in summary.notes)
    assert {c for p in summary.profiles for c in p.cells} == {c.id for c in plan.cells}
    json.dumps(summary.as_json(), allow_nan=False)


def test_a_broken_record_of_a_complete_cell_is_an_error(good: Path) -> None:
    record = good / layout.CELLS / "main.digits.asha" / RECORDS_NAME
    record.write_text(record.read_text()[:-20])
    with pytest.raises(RecordError, match=r"main\.digits\.asha.*half-written"):
        summarise_study(good)


def test_no_study_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no study\.yaml"):
        summarise_study(tmp_path)


def test_old_records_without_a_space_have_no_shifts(small: Any) -> None:
    times = {"vanilla/plain": BASE, "screen/plain": BASE}
    made = small.cell("main.digits.asha", times, space=None)
    (found,) = summarise_study(small.study(made)).cells
    assert found.shifts == () and any("search space" in note for note in found.notes)


def test_without_calibration_nothing_is_decided(small: Any) -> None:
    times = {"vanilla/plain": BASE, "screen/plain": BASE}
    made = small.cell("main.digits.asha", times)
    record = small.directory / layout.CELLS / made.id / RECORDS_NAME
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(line for line in lines if '"seed":100' not in line))
    summary = summarise_study(small.study(made))
    (found,) = summary.cells
    assert found.auc_anchors is None and math.isnan(found.arms[0].auc.median)
    assert found.pairs[0].primary is None and math.isnan(found.pairs[0].auc.value)
    assert summary.tuples[0].met is None and summary.family.tests == 0
    assert summary.profiles == ()


def test_json_is_strict_and_complete(good: Path) -> None:
    content = json.loads(json.dumps(summarise_study(good).as_json(), allow_nan=False))
    assert content["family"]["tests"] == 2 and len(content["cells"]) == 2
    assert content["tuples"][0]["criteria"][0]["met"] is True
    assert content["cells"][0]["costs"]["energy_joules"] is None


@pytest.mark.parametrize(
    ("work", "best", "expected"),
    [
        ([0.0], [0.5], 1.0),
        ([50.0], [0.5], 0.5),
        ([0.0, 50.0], [1.0, 0.5], 0.5),
        ([0.0, 50.0], [3.0, 0.5], 0.5),  # worse than the anchor counts as the anchor
        ([0.0, 50.0], [0.75, 0.25], 0.5 * 0.5 + 0.5 * 1.5),  # better counts in full
        ([50.0, 150.0], [0.5, 0.0], 0.5),  # what comes after the budget is not seen
        ([], [], 0.0),
    ],
)
def test_area_under_the_normalised_curve(
    work: list[float], best: list[float], expected: float
) -> None:
    curve = Curve(np.array(work), np.array(best), "min")
    assert area(curve, 100.0, zero=1.0, one=0.5) == pytest.approx(expected)
    mirrored = Curve(np.array(work), -np.array(best), "max")
    assert area(mirrored, 100.0, zero=-1.0, one=-0.5) == pytest.approx(expected)


def test_extra_memory_is_relative_to_the_larger_of_step_and_probe() -> None:
    memory = Memory(step_bytes=100, arms={"vanilla/plain": 0, "a/plain": 90, "b/plain": 120})
    assert extra_memory(memory, "a/plain", "vanilla/plain") == 0
    assert extra_memory(memory, "b/plain", "vanilla/plain") == pytest.approx(0.2)
    assert math.isnan(extra_memory(memory, "c/plain", "vanilla/plain"))
    assert math.isnan(extra_memory(None, "a/plain", "vanilla/plain"))


def test_a_study_without_pairs_says_that_nothing_is_tested(small: Any) -> None:
    times = {"vanilla/plain": [20.0, 24], "screen/plain": [10.0, 12]}
    summary = summarise_study(small.study(small.cell("main.digits.asha", times)))
    assert summary.family.tests == 0
    assert study_wording.explanation(summary).endswith(
        "Nothing is tested: there are too few pairs of seeds."
    )
