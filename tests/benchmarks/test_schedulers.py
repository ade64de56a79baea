"""The benchmarks of schedulers: what they look up, that they lose no work, what they compare."""

import importlib
import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from ohgw.core.protocols import BlackBoxTask
from ohgw.core.space import get_space
from ohgw.schedulers._rungs import rung_levels

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def module():
    """Imports a module of the benchmarks, which are scripts beside each other, no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        patch.syspath_prepend(BENCHMARKS / "peers")
        yield importlib.import_module


@pytest.mark.parametrize("name", ["digits", "breast-cancer"])
def test_a_configuration_gets_the_curve_of_its_neighbour(module, name):
    task = module("_curves").RecordedCurves(name)
    assert isinstance(task, BlackBoxTask)
    with np.load(BENCHMARKS / "data" / f"curves-{name}.npz") as recorded:
        points, losses, unit = recorded["x"].astype(float), recorded["loss"], int(recorded["unit"])
    assert task.max_resource == unit * losses.shape[1]
    rng = np.random.default_rng(0)
    diverged = np.flatnonzero(np.isnan(losses[:, -1]))
    for row in (*rng.choice(len(points), 20, replace=False), *diverged):
        configuration = task.space.from_unit(np.clip(points[row], 0.0, 1.0))
        state = task.initial_state(0)
        curve = []
        for resource in range(unit, task.max_resource + 1, unit):
            state, metrics = task.train(configuration, state, resource)
            curve.append(metrics["loss"])
        np.testing.assert_array_equal(curve, losses[row])
    for configuration in (task.space.sample(rng) for _ in range(20)):
        distances = [math.dist(point, task.space.to_unit(configuration)) for point in points]
        row, _ = task.train(configuration, None, unit)
        assert distances[row] == pytest.approx(min(distances))


@pytest.mark.parametrize("scheduler", ["random", "asha", "pasha"])
def test_a_simulation_loses_no_work(module, scheduler):
    curves = module("_curves")
    task, reports = curves.RecordedCurves("digits"), []
    search = curves.make_search(task, scheduler, workers=7, budget=600.0, seed=3, spread=0.5)
    ended = []
    curves.run(task, search, lambda report: (reports.append(report), ended.append(search.now)))
    assert sum(report.job_work for report in reports) == search.finished_work
    assert search.finished_work <= search.budget == 600.0 * curves.TICKS
    free = dict.fromkeys(range(7), 0.0)
    work, reached = defaultdict(float), defaultdict(int)
    for report, end in zip(reports, ended, strict=True):
        assert end - report.job_work >= free[report.worker]  # one job at a time
        free[report.worker] = end
        assert report.start == reached[report.trial]
        reached[report.trial] = report.resource
        work[report.trial] += report.job_work
        # However the way was cut into legs, it took as long: but for half a tick of rounding each.
        whole = report.resource * curves.TICKS * search.slowness(report.trial)
        assert work[report.trial] == pytest.approx(whole, abs=0.5 * report.resource)
    slowness = [search.slowness(trial) for trial in work]
    assert min(slowness) >= 1.0 and len(set(slowness)) == len(slowness)


def test_a_run_counts_what_was_reported(module):
    simulate = module("simulate_schedulers")
    task = module("_curves").RecordedCurves("digits")
    run = simulate.simulate(task, "asha", 5, 0, span=2.0)
    assert run.complete and run.trials == run.reached[1] >= run.reached[3] >= run.reached[27] > 0
    assert run.decisions == sum(run.reached.values())  # a report at every rung
    assert 0.5 < run.utilisation <= 1.0 and run.utilisation_open > 0.99
    assert run.best_loss == run.curve[-1][1] == min(loss for _, loss in run.curve)
    cut = simulate.simulate(task, "asha", 5, 0, span=2.0, limit=0.0)
    assert not cut.complete and cut.decisions < run.decisions


def test_peers_search_what_ours_search(module):
    serve = module("_serve")
    space = get_space("exp-1")
    bounds = {name: (domain.low, domain.high, domain.log) for name, domain in space.items()}
    assert serve.SPACE == bounds
    assert serve.RUNGS == rung_levels(serve.MIN_RESOURCE, serve.MAX_RESOURCE, serve.ETA)
    losses = [serve.loss(space.sample(np.random.default_rng(k)), 27) for k in range(50)]
    assert np.std(losses) > 0.1


def test_schedulers_benchmark(module, capsys):
    module("schedulers").main(["--at", "10", "20", "--schedulers", "asha", "--json"])
    rows = json.loads(capsys.readouterr().out)
    ours = [row for row in rows if row["library"] == "ohgw"]
    assert [row["at"] for row in ours] == [10, 20]
    assert ours[0]["trials"] == 10 and ours[1]["trials"] > 20  # the rounds at 10 went beyond
    assert all(0 < row["milliseconds_low"] <= row["milliseconds"] for row in ours)
    assert all(1.0 < row["decisions_per_trial"] < 3.0 for row in ours)
    others = {row["library"] for row in rows if row["milliseconds"] is None}
    assert others == {"optuna", "syne-tune", "neps", "smac"}
