"""Engines agree with each other, and lanes do not disturb each other."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from ohgw import tasks
from ohgw.core.errors import SettingError
from ohgw.core.protocols import Metric
from ohgw.core.records import Arm, Final, Report
from ohgw.core.space import Categorical, Float, Int, Space
from ohgw.engines.build import default_engine, make_engine
from ohgw.engines.engine import drive
from ohgw.engines.search import Search
from ohgw.schedulers import SCHEDULERS
from ohgw.study.plan import make_plan, make_searches
from ohgw.testing.estimators import small_task

ARMS = [
    Arm(method="vanilla", recipe="plain"),
    Arm(method="ohgw", recipe="averaged"),
    Arm(method="screen", recipe="averaged"),
]


# Of schedulers whose models are dear at their defaults.
CHEAP = {"dyhpo": "dyhpo:candidates=20:initial_epochs=20:refit_epochs=5"}


def search_rows(
    task, engine_name, *, arms=ARMS, seeds=(0, 1), budget=40.0, workers=3, scheduler="asha"
):
    plan = make_plan(
        task,
        arms=arms,
        seeds=seeds,
        scheduler=scheduler,
        budget=budget,
        workers=workers,
        engine=engine_name,
        device="cpu",
        threads=1,
    )
    engine = make_engine(engine_name, task)
    rows = []
    drive(make_searches(plan, task, engine), engine, rows.append, lambda: None)
    return rows


def by_search(rows):
    """Rows without measured seconds, by search; searches interleave differently on each engine."""
    result = {}
    for row in rows:
        result.setdefault((row.search, row.seed), []).append(row.model_dump(exclude={"wall"}))
    return result


def assert_same(left, right, tolerance):
    """Equal up to `tolerance` in floats, exactly in everything else."""
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key], tolerance)
    elif isinstance(left, list):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            assert_same(a, b, tolerance)
    elif isinstance(left, float):
        assert left == pytest.approx(right, rel=tolerance, abs=tolerance)
    else:
        assert left == right


@pytest.mark.parametrize("name", ["digits", "breast-cancer"])
def test_engines_give_the_same_trials_promotions_and_scores(name):
    task = tasks.load(name, dtype=torch.float64)
    budget = 16.0 if name == "digits" else 40.0
    population = by_search(search_rows(task, "population", budget=budget, seeds=(0,)))
    serial = by_search(search_rows(task, "serial", budget=budget, seeds=(0,)))
    assert any(row["kind"] == "report" and row["start"] for rows in serial.values() for row in rows)
    assert_same(population, serial, 1e-6)


def test_engines_agree_on_the_language_model():
    """A short piece: its epochs are long."""
    task = tasks.load("charlm", dtype=torch.float64)
    arms = [Arm(method="ohgw", recipe="averaged")]
    options = {"arms": arms, "seeds": (0,), "budget": 1.1, "workers": 1}
    population = by_search(search_rows(task, "population", **options))
    serial = by_search(search_rows(task, "serial", **options))
    assert_same(population, serial, 1e-6)


def test_searches_do_not_depend_on_what_runs_beside_them():
    task = tasks.load("breast-cancer", dtype=torch.float64)
    together = by_search(search_rows(task, "population"))
    alone = by_search(search_rows(task, "population", arms=[ARMS[2]], seeds=(1,)))
    key = (ARMS[2].label, 1)
    assert_same(together[key], alone[key], 1e-6)


def test_arms_of_a_seed_are_paired():
    """Probes do not shift what training sees: null and vanilla train the same trials alike."""
    task = tasks.load("breast-cancer", dtype=torch.float64)
    arms = [Arm(method=m, recipe="plain") for m in ("vanilla", "null", "ohgw:eta=1e-300")]
    rows = by_search(search_rows(task, "population", arms=arms, seeds=(3,)))
    first = {
        label: {
            row["trial"]: (row["proposed"], row["score"])
            for row in found
            if row["kind"] == "report" and row["start"] == 0
        }
        for (label, _), found in rows.items()
    }
    vanilla = first["vanilla/plain"]
    for label in ("null/plain", "ohgw:eta=1e-300/plain"):
        common = vanilla.keys() & first[label].keys()
        assert len(common) >= 5
        for trial in common:
            assert first[label][trial][0] == vanilla[trial][0]
            assert first[label][trial][1] == pytest.approx(vanilla[trial][1], rel=1e-6)


@pytest.mark.parametrize("engine", ["population", "serial"])
def test_budget_is_never_exceeded_and_nearly_spent(engine):
    task = tasks.load("breast-cancer")
    for row in search_rows(task, engine, budget=30.0):
        assert row.work <= 30.0 * task.steps_per_epoch + 1e-6
        if isinstance(row, Final):
            assert row.work >= 10.0 * task.steps_per_epoch


def test_work_adds_up():
    task = tasks.load("breast-cancer")
    rows = search_rows(task, "population")
    for final in (row for row in rows if isinstance(row, Final)):
        reports = [
            row
            for row in rows
            if isinstance(row, Report) and (row.search, row.seed) == (final.search, final.seed)
        ]
        assert final.work == pytest.approx(sum(row.job_work for row in reports))
        assert final.probe_work == pytest.approx(sum(row.probe_work for row in reports))
        steps = sum(row.resource - row.start for row in reports) * task.steps_per_epoch
        assert final.work == pytest.approx(steps + final.probe_work)
        assert [row.work for row in reports] == sorted(row.work for row in reports)
        assert reports[-1].work == pytest.approx(final.work)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_searches_with_and_without_the_method(name):
    task = tasks.load("breast-cancer")
    rows = by_search(
        search_rows(task, "population", seeds=(0,), budget=120.0, scheduler=CHEAP.get(name, name))
    )
    assert set(rows) == {(arm.label, 0) for arm in ARMS}
    for found in rows.values():
        *reports, final = found
        reached = {}
        for row in reports:
            assert row["start"] == reached.get(row["trial"], 0)  # goes on from where it paused
            reached[row["trial"]] = row["resource"]
        assert final["kind"] == "final" and final["trials"] >= 2
        assert max(reached.values()) > task.min_resource
        assert 60 * task.steps_per_epoch <= final["work"] <= 120 * task.steps_per_epoch + 1e-6
    moved = [row for row in rows["ohgw/averaged", 0][:-1] if row["start"] == 0]
    assert all(row["configuration"] != row["proposed"] for row in moved)


@pytest.mark.parametrize("scheduler", ["random", "asha-stopping", "hyperband", "bohb"])
def test_states_are_kept_of_trials_that_can_go_on_alone(scheduler):
    """Of a search that starts many: as many as a rung of one bracket, whatever the budget."""
    task = small_task("sgd")
    engine = make_engine("population", task)
    plan = make_plan(
        task,
        arms=[Arm(method="vanilla", recipe="plain")],
        seeds=[0],
        scheduler=scheduler,
        budget=600.0,
        workers=4,
        engine="population",
        device="cpu",
        threads=1,
    )
    (search,) = make_searches(plan, task, engine)
    kept = []
    drive([search], engine, lambda row: None, lambda: kept.append(len(engine.states.paused)))
    assert len(search.trials) > 60
    assert max(kept) <= 9 + 3 + 4  # slots of the widest bracket's rungs, and workers


def test_one_worker_runs_one_job_at_a_time():
    task = tasks.load("breast-cancer")
    rows = search_rows(task, "population", workers=1, seeds=(0,), arms=ARMS[:1])
    work = 0.0
    for row in rows[:-1]:
        work += row.job_work
        assert row.work == pytest.approx(work)


class Exploding:
    """A task on which large learning rates give NaN at the very first step. A black box."""

    name = "exploding"
    metric = Metric("loss", "min")
    min_resource, max_resource = 1, 9
    space = Space({"x": Float(0.0, 1.0), "depth": Int(1, 3), "kind": Categorical(("a", "b"))})

    def __init__(self, threshold=0.5):
        self.threshold = threshold
        self.trained = []

    def initial_state(self, seed):
        return {"seed": seed, "resource": 0}

    def train(self, configuration, state, resource):
        assert resource > state["resource"]
        state["resource"] = resource  # in place: the engine must not have handed out its copy
        self.trained.append(resource)
        bad = configuration["x"] > self.threshold
        return state, {"loss": math.nan if bad else configuration["x"] + 1.0 / resource}

    def test(self, state):
        return {"loss": float(state["resource"])}


def test_black_box_tasks_run_and_diverged_trials_are_never_promoted():
    task = Exploding()
    assert default_engine(task, 1000) == "serial"
    rows = search_rows(task, "serial", arms=[ARMS[0], ARMS[2]], seeds=(0,), budget=60.0)
    reports = [row for row in rows if isinstance(row, Report)]
    diverged = {row.trial for row in reports if row.score is None}
    assert diverged
    assert not any(row.trial in diverged for row in reports if row.start > 0)
    finals = [row for row in rows if isinstance(row, Final)]
    assert all(final.diverged > 0 and final.score is not None for final in finals)
    # the best state is the one of the best report, not of what the trial became later
    assert all(final.metrics["loss"] == final.resource for final in finals)
    screened = [row for row in reports if row.search == "screen/averaged" and row.start == 0]
    assert all(row.diagnostics["stood_aside"] == "task has no probe" for row in screened)
    assert all(row.proposed == row.configuration for row in screened)


def test_a_black_box_that_forgets_its_metric_is_told_so():
    task = Exploding()
    task.metric = Metric("accuracy", "max")
    with pytest.raises(SettingError, match=r"scored by 'accuracy'.*returned 'loss'"):
        search_rows(task, "serial", arms=ARMS[:1], seeds=(0,))


class Probed(Exploding):
    """The same with a probe of its own, a tenth of a unit each."""

    name = "probed"

    probe_resource = 0.1

    def probe(self, configuration, seed):
        return configuration["x"]


def test_black_box_probes_screen_and_differentiate():
    arms = [
        Arm(method="screen:max_share=1", recipe="plain"),
        Arm(method="ohgw:eta=0.1", recipe="plain"),
    ]
    rows = search_rows(Probed(), "serial", arms=arms, seeds=(0,), budget=30.0)
    first = [row for row in rows if isinstance(row, Report) and row.start == 0]
    for row in first:
        if row.search == arms[0].label:
            losses = row.diagnostics["losses"]
            assert row.configuration["x"] == min(losses)
        else:
            assert row.diagnostics["estimator"] == "finite-difference"
            assert row.configuration["x"] == pytest.approx(max(row.proposed["x"] - 0.1, 0.0))
            assert row.configuration["depth"] == row.proposed["depth"]


def test_population_refuses_what_it_cannot_run():
    with pytest.raises(SettingError, match="only trains and scores"):
        make_engine("population", Exploding())


def test_divergent_lanes_leave_the_others_alone():
    """Half of the learning rates explode; the serial engine, one at a time, is the reference."""
    task = tasks.load("breast-cancer", dtype=torch.float64)
    task.space = Space({**task.space, "learning_rate": Float(1e-3, 1e30, log=True)})
    options = {"arms": ARMS[:1], "seeds": (0,), "budget": 30.0, "workers": 4}
    first_rung = []
    for engine in ("population", "serial"):
        rows = search_rows(task, engine, **options)
        # later rungs of a learning rate of 16 are chaotic: they amplify the last digit
        first_rung.append({row.trial: row.score for row in rows[:-1] if row.start == 0})
        assert rows[-1].diverged >= 3 and rows[-1].score is not None
    population, serial = first_rung
    common = population.keys() & serial.keys()
    assert len(common) >= 6
    for trial in common:
        assert_same(population[trial], serial[trial], 1e-6)


def test_snapshot_of_a_search_goes_on_identically():
    """Through both state dicts at an arbitrary moment; the store's tests kill real processes."""
    task = tasks.load("breast-cancer")
    plan = make_plan(
        task,
        arms=ARMS,
        seeds=(0,),
        scheduler="asha",
        budget=40.0,
        workers=3,
        engine="population",
        device="cpu",
        threads=1,
    )

    def fresh():
        engine = make_engine("population", task)
        return engine, make_searches(plan, task, engine)

    class Stop(Exception):
        pass

    def stop_after(turns):
        turn = iter(range(1, turns))
        for _ in turn:
            yield
        raise Stop

    engine, searches = fresh()
    whole, turns = [], []
    drive(searches, engine, whole.append, lambda: turns.append(None))
    for moment in (1, len(turns) // 2, len(turns) - 1):
        engine, searches = fresh()
        rows, clock = [], stop_after(moment)
        with pytest.raises(Stop):
            drive(searches, engine, rows.append, partial(next, clock))
        states = [search.state_dict() for search in searches], engine.state_dict()
        engine, searches = fresh()
        for search, state in zip(searches, states[0], strict=True):
            search.load_state_dict(state)
        jobs = {(job.search, job.trial): job for s in searches for job in s.jobs.values()}
        engine.bind(searches)
        engine.load_state_dict(states[1], jobs)
        drive(searches, engine, rows.append, lambda: None, resumed=True)
        exclude = {"wall"}
        assert [row.model_dump(exclude=exclude) for row in rows] == [
            row.model_dump(exclude=exclude) for row in whole
        ]


def test_population_keeps_scores_of_lanes_apart():
    """Scores come from the averaged weights exactly where the recipe says so."""
    task = tasks.load("breast-cancer", dtype=torch.float64)
    arms = [Arm(method="vanilla", recipe=recipe) for recipe in ("plain", "averaged")]
    rows = by_search(search_rows(task, "population", arms=arms, seeds=(0,), budget=12.0))
    plain, averaged = (
        {row["trial"]: row["score"] for row in found if row["kind"] == "report"}
        for found in rows.values()
    )
    common = sorted(plain.keys() & averaged.keys())
    assert len(common) >= 4
    assert not np.allclose([plain[k] for k in common], [averaged[k] for k in common], rtol=1e-3)


def test_search_is_done_only_after_its_last_job():
    task = tasks.load("breast-cancer")
    engine = make_engine("population", task)
    plan = make_plan(
        task,
        arms=ARMS[:1],
        seeds=(0,),
        scheduler="random",
        budget=60.0,
        workers=2,
        engine="population",
        device="cpu",
        threads=1,
    )
    (search,) = make_searches(plan, task, engine)
    assert isinstance(search, Search)
    rows = []
    drive([search], engine, rows.append, lambda: None)
    assert [row.kind for row in rows] == ["report", "final"]  # one trial of 54 epochs fits
    assert search.done and search.ended and search.progress == 1.0
