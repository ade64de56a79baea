"""Targets and T@tau, worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohgw.analysis.frames import curve
from ohgw.analysis.time_to_target import targets, time_to_target
from ohgw.core.protocols import Mode
from ohgw.core.records import Arm, Header, Plan, Report


def report(work: float, score: float | None, seed: int = 0, arm: str = "vanilla/plain") -> Report:
    return Report(
        search=arm,
        seed=seed,
        trial=0,
        worker=0,
        start=0,
        resource=1,
        score=score,
        metrics={},
        work=work,
        job_work=1,
        probe_work=0,
        wall=0,
        proposed={},
        configuration={},
    )


def header(calibration: int, mode: Mode = "min") -> Header:
    plan = Plan(
        task="t",
        scheduler="asha",
        arms=(Arm(method="vanilla", recipe="plain"),),
        seeds=(1,),
        calibration_seeds=tuple(range(100, 100 + calibration)),
        budget=10,
        workers=1,
        engine="serial",
        device="cpu",
        threads=1,
    )
    return Header(plan=plan, steps_per_epoch=4, metric="loss", mode=mode)


def test_the_curve_keeps_improvements_only_and_skips_diverged_trials() -> None:
    rows = [report(1, None), report(2, 0.9), report(3, 0.95), report(4, 0.5), report(5, 0.5)]
    found = curve(rows, "min")
    assert found.work.tolist() == [2, 4] and found.best.tolist() == [0.9, 0.5]
    assert found.at([0, 1.9, 2, 3.9, 4, 99]).tolist() == [math.inf, math.inf, 0.9, 0.9, 0.5, 0.5]
    assert curve(rows, "max").best.tolist() == [0.9, 0.95]


@pytest.mark.parametrize(
    ("tau", "expected"), [(1.0, 2), (0.9, 2), (0.8, 4), (0.5, 4), (0.49, math.inf)]
)
def test_time_to_target_by_hand(tau: float, expected: float) -> None:
    found = curve([report(2, 0.9), report(4, 0.5)], "min")
    assert time_to_target(found, tau) == expected


def test_nothing_finite_never_arrives() -> None:
    assert time_to_target(curve([report(1, None)], "min"), 1e9) == math.inf
    assert time_to_target(curve([], "max"), -1e9) == math.inf


@given(st.lists(st.tuples(st.integers(1, 5), st.floats(-5, 5)), max_size=12), st.floats(-5, 5))
def test_time_to_target_is_the_first_report_that_reaches_it(
    steps: list[tuple[int, float]], tau: float
) -> None:
    work, rows = 0, []
    for gap, score in steps:
        work += gap
        rows.append(report(work, score))
    first = next((r.work for r in rows if r.score is not None and r.score <= tau), math.inf)
    assert time_to_target(curve(rows, "min"), tau) == first
    mirrored = [r.model_copy(update={"score": -(r.score or 0.0)}) for r in rows]
    assert time_to_target(curve(mirrored, "max"), -tau) == first


def test_targets_by_hand() -> None:
    # A budget of 10 epochs of 4 steps is 40 steps: quarters at 10, halves at 20.
    rows = []
    for i in range(10):
        rows += [report(10, 2 + i, 100 + i), report(20, 1 + i / 10, 100 + i)]
        rows += [report(35, 0.1 * (i + 1), 100 + i)]
    found = targets(header(10), rows)
    assert found["budget_25"] == pytest.approx(6.5)  # median of 2 .. 11
    assert found["budget_50"] == pytest.approx(1.45)  # median of 1.0 .. 1.9
    assert found["reach_90"] == pytest.approx(0.9)  # nine of ten end at or below 0.9
    mirrored = [r.model_copy(update={"score": -(r.score or 0.0)}) for r in rows]
    assert targets(header(10, "max"), mirrored) == {k: -v for k, v in found.items()}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_at_least_nine_in_ten_reach_the_last_target_and_no_harder_one(finals: list[float]) -> None:
    rows = [report(5, final, 100 + i) for i, final in enumerate(finals)]
    tau = targets(header(len(finals)), rows)["reach_90"]
    assert sum(f <= tau for f in finals) >= 0.9 * len(finals) - 1e-9
    assert sum(f < tau for f in finals) < 0.9 * len(finals)


def test_only_calibration_searches_of_the_baseline_count() -> None:
    rows = [report(5, 0.5, 100)]
    noise = [report(1, 0.01, 1), report(1, 0.01, 100, "screen/plain")]
    assert targets(header(1), rows + noise) == targets(header(1), rows)
    assert targets(header(0), rows) == {}


def test_a_target_without_a_finite_value_is_left_out() -> None:
    late = [report(15, 0.5, 100 + i) for i in range(3)]
    assert set(targets(header(3), late)) == {"budget_50", "reach_90"}
    diverged = [report(15, None, 100 + i) for i in range(3)]
    assert targets(header(3), diverged) == {}
    # Two of three arrive: fewer than nine in ten.
    assert "reach_90" not in targets(header(3), [*late[:2], diverged[2]])
