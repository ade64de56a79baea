"""BOHB against the traces of HpBandSter (tests/oracles/record_bohb.py), and where it differs."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from ohgw.core.errors import SettingError
from ohgw.core.space import Categorical, Float, Int, Space
from ohgw.schedulers import BOHB, Hyperband, options
from ohgw.schedulers._surrogates.kde import Density, GoodBad
from ohgw.schedulers.bohb import Proposer, _Coordinates

CASES = json.loads(
    gzip.decompress((Path(__file__).parents[1] / "oracles" / "bohb.json.gz").read_bytes())
)
KINDS = ["plain", "tied", "failing", "mostly failing", "categorical", "repaired"]
SPACE = Space({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})
DEFAULTS = {name: v for name, v in options("bohb").items() if name not in ("eta", "brackets")}


def cases(*kinds):
    return [
        pytest.param(case, id=f"{case['kind']}-{k}")
        for k, case in enumerate(CASES)
        if case["kind"] in kinds
    ]


def proposer(space, **settings):
    return Proposer(space, **{**DEFAULTS, **settings})


def replayed(case):
    """The proposer after every job, with the snapshot taken there or None."""
    model = proposer(Space.from_dict(case["space"]), **case["settings"])
    snapshots = {snapshot["jobs"]: snapshot for snapshot in case["snapshots"]}
    for number, job in enumerate(case["jobs"], start=1):
        loss = math.inf if job["loss"] is None else job["loss"]
        model.tell(job["budget"], job["configuration"], loss)
        yield model, snapshots.get(number)


def approx(configuration):
    return {
        name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
        for name, value in configuration.items()
    }


def vectors(case, numbers):
    return np.array([case["jobs"][number]["vector"] for number in numbers])


def levels(case):
    return _Coordinates(Space.from_dict(case["space"])).levels


def least(case):
    return case["settings"].get("min_points", len(case["space"]) + 1)


def test_traces_cover_every_kind():
    assert {case["kind"] for case in CASES} == set(KINDS)
    assert sum(len(case["snapshots"]) for case in CASES) > 150
    later = [snapshot for case in CASES for snapshot in case["snapshots"]]
    assert {snapshot["budget"] for snapshot in later} == {1, 3, 9}


@pytest.mark.parametrize("case", cases(*KINDS))
def test_coordinates_are_those_of_the_public_code(case):
    coordinates = _Coordinates(Space.from_dict(case["space"]))
    real = [domain["type"] != "int" for domain in case["space"].values()]
    for job in case["jobs"]:
        ours = coordinates.of(job["configuration"])
        np.testing.assert_allclose(ours[real], np.array(job["vector"])[real], atol=1e-9)
        # Its whole numbers reach 0.49999 beyond their bounds, ours a half.
        np.testing.assert_allclose(ours, job["vector"], atol=2e-5)
        assert coordinates.configuration(ours) == approx(job["configuration"])


@pytest.mark.parametrize("case", cases("plain", "tied", "categorical", "repaired"))
def test_level_is_that_of_the_public_code_or_was_reached_earlier_as_in_the_paper(case):
    counts = dict.fromkeys((0, 1, 3, 9), 0)
    for job, theirs, (ours, _) in zip(case["jobs"], case["modelled"], replayed(case), strict=True):
        counts[job["budget"]] += 1
        assert ours.level == theirs or (
            ours.level > theirs
            and least(case) + 2 <= counts[ours.level] < least(case) + len(case["space"]) + 1
        )


@pytest.mark.parametrize("case", cases(*KINDS))
def test_split(case):
    compared = 0
    for ours, theirs in replayed(case):
        if theirs is None or ours.level != theirs["budget"]:
            continue
        compared += 1
        finite = [n for n in theirs["good"] if case["jobs"][n]["loss"] is not None]
        good, bad = ours.model().good.points, ours.model().bad.points
        np.testing.assert_allclose(good, vectors(case, finite), atol=2e-5)
        # Where there are fewer bad points than `min_points`, ours takes in the worst good ones.
        some = bad if len(finite) < len(theirs["good"]) else bad[-len(theirs["bad"]) :]
        failed = [n for n in theirs["good"] if n not in finite]
        np.testing.assert_allclose(some, vectors(case, failed + theirs["bad"]), atol=2e-5)
        assert len(bad) == max(len(failed + theirs["bad"]), least(case))
    assert compared or case["kind"] == "mostly failing"


@pytest.mark.parametrize("case", cases("plain", "tied", "failing", "mostly failing", "repaired"))
def test_densities_ranking_and_proposal(case):
    space = Space.from_dict(case["space"])
    for theirs in case["snapshots"]:
        model = GoodBad(
            vectors(case, theirs["good"]),
            vectors(case, theirs["bad"]),
            levels(case),
            case["settings"].get("min_bandwidth", 1e-3),
        )
        x = np.array(theirs["candidates"])
        bandwidth = [model.good.bandwidth, model.bad.bandwidth]
        np.testing.assert_allclose(bandwidth, theirs["bandwidth"], rtol=1e-12)
        np.testing.assert_allclose(model.good(x), theirs["l"], rtol=1e-9, atol=1e-40)
        np.testing.assert_allclose(model.bad(x), theirs["g"], rtol=1e-9, atol=1e-40)
        quotient = np.maximum(theirs["g"], 1e-32) / np.maximum(theirs["l"], 1e-32)
        np.testing.assert_allclose(model.ratio(x), 1 / quotient, rtol=1e-9)
        assert np.argsort(-model.ratio(x)).tolist() == np.argsort(quotient).tolist()
        best = x[model.ratio(x).argmax()]
        assert _Coordinates(space).configuration(best) == approx(theirs["proposal"])


def test_categorical_density_where_the_public_code_counts_the_choices_right():
    """The unrepaired kernel is ours where all choices were seen and no bandwidth is too wide."""
    compared = 0
    for case in (case for case in CASES if case["kind"] == "categorical"):
        counts = levels(case)
        for theirs in case["snapshots"]:
            x = np.array(theirs["candidates"])
            for numbers, theirs_bandwidth, values in zip(
                (theirs["good"], theirs["bad"]),
                theirs["bandwidth"],
                (theirs["l"], theirs["g"]),
                strict=True,
            ):
                points = vectors(case, numbers)
                ours = Density(points, counts, case["settings"].get("min_bandwidth", 1e-3))
                seen = [len(np.unique(points[:, k])) == c for k, c in enumerate(counts) if c]
                if all(seen) and np.allclose(ours.bandwidth, theirs_bandwidth, rtol=1e-12):
                    np.testing.assert_allclose(ours(x), values, rtol=1e-9, atol=1e-40)
                    compared += 1
    assert compared > 15


def build(rng=0, **settings):
    generator = np.random.default_rng(rng)
    return BOHB(
        SPACE, generator, **{"mode": "min", "min_resource": 1, "max_resource": 9} | settings
    )


def distance(configuration):
    return math.hypot(configuration["x"] - 0.2, configuration["y"] - 0.7)


def test_is_hyperband_until_a_level_has_min_points_and_two():
    """Draw for draw, so that arms of a comparison start from the same configurations."""
    bohb = build(min_points=20, random_fraction=0.0)
    hyperband = Hyperband(
        SPACE, np.random.default_rng(0), mode="min", min_resource=1, max_resource=9
    )
    reports = 0
    while reports < 22:
        asked = bohb.ask()
        assert asked == hyperband.ask()
        reports += asked.resource == 1
        for scheduler in (bohb, hyperband):
            scheduler.tell(asked.trial, asked.resource, distance(asked.configuration))
    assert bohb.draw(np.random.default_rng(5)) != hyperband.draw(np.random.default_rng(5))


def test_proposals_lie_nearer_to_what_was_good():
    scheduler = build(random_fraction=0.0)
    for _ in range(100):
        asked = scheduler.ask()
        scheduler.tell(asked.trial, asked.resource, distance(asked.configuration))
    drawn = [distance(scheduler.draw(np.random.default_rng(k))) for k in range(50)]
    assert np.median(drawn) < 0.15  # of uniform draws: 0.46


def test_random_fraction_of_the_proposals_are_uniform_draws():
    model = proposer(SPACE, random_fraction=0.25)
    for k in range(20):
        model.tell(1, {"x": 0.5 + 1e-4 * k, "y": 0.5}, float(k))
    rng = np.random.default_rng(0)
    drawn = [model.propose(rng) for _ in range(2000)]
    near = np.mean([math.hypot(c["x"] - 0.5, c["y"] - 0.5) < 0.05 for c in drawn])
    assert near == pytest.approx(0.75 + 0.25 * math.pi * 0.05**2, abs=0.04)


def test_learns_the_configuration_a_trial_had_when_it_was_told_failed_or_not():
    scheduler = build()
    first = [scheduler.ask() for _ in range(9)]
    for asked in first:
        scheduler.amend(asked.trial, {"x": 0.01 * asked.trial, "y": 0.0})
    for asked in first:
        failed = asked.trial == 8
        scheduler.tell(asked.trial, asked.resource, math.inf if failed else float(asked.trial))
    promoted = scheduler.ask()
    assert promoted.start == 1
    scheduler.amend(promoted.trial, {"x": 1.0, "y": 1.0})
    scheduler.tell(promoted.trial, promoted.resource, 0.0)
    assert scheduler.state_dict()["observed"] == [
        [1, [*range(8), None], [c for k in range(9) for c in (0.01 * k, 0.0)]],
        [3, [0.0], [1.0, 1.0]],
    ]


def test_a_failed_trial_is_never_good_and_a_level_of_failures_has_no_model():
    model = proposer(SPACE)  # min_points 3
    for k in range(37):
        model.tell(1, {"x": 0.9, "y": 0.9}, math.inf)
        assert model.level == 0
        if k in (10, 20):
            model.tell(1, {"x": 0.1, "y": 0.1 * k / 20}, 1.0)
    model.tell(1, {"x": 0.3, "y": 0.1}, 2.0)
    assert model.level == 1
    assert model.model().good.points.tolist() == [[0.1, 0.05], [0.1, 0.1], [0.3, 0.1]]
    assert len(model.model().bad.points) == 37


def test_the_model_is_fitted_only_where_its_points_changed():
    model = proposer(SPACE)
    for level in (3, 3, 3, 3, 3, 9):
        model.tell(level, {"x": 0.5, "y": 0.5}, 1.0)
    fitted = model.model()
    model.tell(1, {"x": 0.1, "y": 0.1}, 0.0)
    model.tell(9, {"x": 0.1, "y": 0.1}, 0.0)
    assert model.model() is fitted
    model.tell(3, {"x": 0.1, "y": 0.1}, 0.0)
    assert model.model() is not fitted
    assert model.model().good.points[0].tolist() == [0.1, 0.1]
    for _ in range(3):
        model.tell(9, {"x": 0.2, "y": 0.2}, 1.0)
    assert model.level == 9
    assert [level for level, *_ in model.to_list()] == [9]


def test_whole_numbers_in_a_row_are_equally_far_apart():
    coordinates = _Coordinates(
        Space({"n": Int(1, 4), "m": Int(1, 64, log=True), "c": Categorical(("a", "b", "c"))})
    )
    rows = [coordinates.of({"n": n, "m": 4 ** (n - 1), "c": "c"}) for n in range(1, 5)]
    assert np.diff(rows, axis=0)[:, 0] == pytest.approx([0.25] * 3)
    assert np.diff(rows, axis=0)[:, 1] == pytest.approx([math.log(4) / math.log(129)] * 3)
    assert np.array(rows)[:, 2].tolist() == [2.0] * 4


@pytest.mark.parametrize(
    ("setting", "value", "match"),
    [
        ("eta", 1, "eta 1 must be a whole number of at least 2"),
        ("brackets", 4, "brackets 4 must be at most 3"),
        ("min_points", 1, "min_points 1 must be a whole number of at least 2"),
        ("top_n_percent", 100, "top_n_percent 100 must be at most 99"),
        ("top_n_percent", 0, "top_n_percent 0 must be a whole number of at least 1"),
        ("candidates", 0, "candidates 0 must be"),
        ("random_fraction", 1.5, "random_fraction 1.5 must be a number from 0 to 1"),
        ("random_fraction", True, "random_fraction True must be"),
        ("bandwidth_factor", math.nan, "bandwidth_factor nan must be"),
        ("min_bandwidth", 0, "min_bandwidth 0 must be"),
    ],
)
def test_settings_that_cannot_work_are_refused(setting, value, match):
    with pytest.raises(SettingError, match=match):
        build(**{setting: value})


@pytest.mark.parametrize(
    "settings", [{"candidates": 63}, {"min_points": 4}, {"random_fraction": 0.5}, {"brackets": 1}]
)
def test_a_state_of_other_settings_is_refused(settings):
    with pytest.raises(SettingError, match=f"written with {next(iter(settings))}"):
        build(**settings).load_state_dict(build().state_dict())
