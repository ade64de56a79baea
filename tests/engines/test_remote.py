"""Engines with a pool of workers, on pools in this process that misbehave on purpose."""

import pickle
import random
import sys

import pytest
import torch

from ohgw import tasks
from ohgw.core.errors import MissingExtraError, SettingError, UnknownNameError, WorkerError
from ohgw.core.records import Arm
from ohgw.engines.build import check_spec, make_engine, make_sampler, records_alike
from ohgw.engines.engine import drive
from ohgw.engines.remote import Done, Lost, RemoteEngine
from ohgw.engines.worker import Source, Worker
from ohgw.study.plan import make_plan, make_searches
from ohgw.testing.estimators import small_task
from ohgw.testing.mixed_tasks import SmallMixedTask

ARMS = [
    Arm(method="vanilla", recipe="plain"),
    Arm(method="screen:max_share=1", recipe="averaged"),
    Arm(method="guided", recipe="averaged"),
]


class Stop(Exception):
    pass


class Unruly:
    """Workers that answer in a random order, one at a time, and are lost now and then."""

    name, gpus = "unruly", 0.5

    def __init__(self, task, lanes, seed=0, loss=0.0):
        self.worker = Worker(Source.of(task, "cpu"), lanes > 1, 1)
        self.random, self.loss = random.Random(seed), loss
        self.out, self.sizes = {}, []

    def submit(self, ticket, batch):
        self.out[ticket] = pickle.dumps(batch)  # as it travels
        self.sizes.append(len(batch))

    def wait(self, seconds):
        ticket = self.random.choice(list(self.out))
        batch = pickle.loads(self.out.pop(ticket))
        if self.random.random() < self.loss:
            return [Lost(ticket, "node:1", "killed")]
        return [Done(ticket, *pickle.loads(pickle.dumps(self.worker.train(batch))))]

    def close(self):
        self.out.clear()


def prepared(task, engine, *, arms=ARMS, seeds=(0,), budget=40.0, workers=3, scheduler="asha"):
    plan = make_plan(
        task,
        arms=arms,
        seeds=seeds,
        scheduler=scheduler,
        budget=budget,
        workers=workers,
        engine="serial",
        device="cpu",
        threads=1,
    )
    return make_searches(plan, task, engine)


def remote(task, lanes=1, retries=100, **options):
    return RemoteEngine(task, Unruly(task, lanes, **options), lanes=lanes, retries=retries)


def rows_of(task, engine, **settings):
    rows = []
    drive(prepared(task, engine, **settings), engine, rows.append, lambda: None)
    return by_search(rows)


def by_search(rows):
    found = {}
    for row in rows:
        found.setdefault((row.search, row.seed), []).append(row.model_dump(exclude={"wall"}))
    return found


@pytest.mark.parametrize("scheduler", ["asha", "hyperband"])
def test_one_job_a_batch_gives_the_serial_engines_rows_whatever_happens(scheduler):
    """To the last bit: arrivals in any order, a third of the batches lost."""
    task = SmallMixedTask(torch.float32)
    serial = rows_of(task, make_engine("serial", task), scheduler=scheduler)
    engine = remote(task, loss=0.3)
    assert rows_of(task, engine, scheduler=scheduler) == serial
    first = [row for row in serial[ARMS[1].label, 0][:-1] if row["start"] == 0]
    assert any(row["proposed"] != row["configuration"] for row in first)
    used = engine.usage()
    assert used.losses and all(loss.reason == "killed" for loss in used.losses)
    assert used.losses[0].trials[0].startswith(("vanilla/plain seed 0 trial", "screen", "guided"))
    assert used.gpu_hours == pytest.approx(used.worker_seconds * 0.5 / 3600)


@pytest.mark.parametrize(("lanes", "workers"), [(4, 6), (16, 3)])
def test_populations_do_not_depend_on_who_answers_first(lanes, workers):
    """A wide search in parts, and several searches together."""
    task = small_task("sgd", torch.float32)
    settings = {"seeds": (0, 1), "workers": workers}
    engines = [remote(task, lanes, seed=0), remote(task, lanes, seed=1, loss=0.2)]
    first, second = (rows_of(task, engine, **settings) for engine in engines)
    assert first == second
    sizes = engines[0].pool.sizes
    assert max(sizes) <= lanes and max(sizes) > min(lanes, workers) - 1
    if lanes > workers:
        assert sum(sizes) / len(sizes) > workers


def test_populations_give_the_serial_engines_rows_up_to_rounding():
    task = SmallMixedTask()  # float64
    serial = rows_of(task, make_engine("serial", task))
    found = rows_of(task, remote(task, lanes=8))
    assert found.keys() == serial.keys()
    for key, rows in found.items():
        for name in ("trial", "resource", "work", "kind"):
            assert [row[name] for row in rows] == [row[name] for row in serial[key]]
        scores, expected = ([row["score"] for row in part] for part in (rows, serial[key]))
        assert scores == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("lanes", [1, 16])
def test_a_snapshot_goes_on_identically(lanes):
    """From any moment, batches that were out among it."""
    task = small_task("sgd", torch.float32)
    whole = rows_of(task, remote(task, lanes))
    total = sum(len(rows) for rows in whole.values())
    for moment in (1, total // 2):
        engine = remote(task, lanes, loss=0.2)
        searches, rows = prepared(task, engine), []

        def stop(rows=rows, moment=moment, engine=engine):
            if len(rows) >= moment and engine._out:
                raise Stop

        with pytest.raises(Stop):
            drive(searches, engine, rows.append, stop)
        states = pickle.dumps(([s.state_dict() for s in searches], engine.state_dict()))
        losses = len(engine.usage().losses)
        engine = remote(task, lanes, seed=5)
        searches = prepared(task, engine)
        ours, theirs = pickle.loads(states)
        for search, state in zip(searches, ours, strict=True):
            search.load_state_dict(state)
        jobs = {(job.search, job.trial): job for s in searches for job in s.jobs.values()}
        engine.bind(searches)
        engine.load_state_dict(theirs, jobs)
        drive(searches, engine, rows.append, lambda: None, resumed=True)
        assert by_search(rows) == whole
        assert len(engine.usage().losses) == losses


def test_a_batch_that_is_always_lost_ends_the_run():
    task = small_task("sgd")
    with pytest.raises(
        WorkerError, match=r"lost a worker 3 times at .* trial \d+ to 1; .* node:1 \(killed\)"
    ):
        rows_of(task, remote(task, retries=2, loss=1.0))


def test_states_that_nobody_can_use_again_are_not_kept():
    task = small_task("sgd")
    engine = remote(task)
    rows = rows_of(task, engine, arms=ARMS[:1], scheduler="random", budget=120.0)
    assert sum(row["resource"] == task.max_resource for row in rows[ARMS[0].label, 0][:-1]) >= 2
    assert engine.states.paused == {} and engine.best(0) is not None


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("rya", UnknownNameError, "Did you mean 'ray'"),
        ("ray:lane=3", UnknownNameError, "Did you mean 'lanes'"),
        ("slurm:executor=flux", UnknownNameError, "debug, local, slurm"),
        ("ray:lanes=0", SettingError, "lanes=0 .*'ray' must be a whole number from 1"),
        ("ray:gpus=1.5", SettingError, "only whole GPUs"),
        ("ray:gpus=-1", SettingError, "gpus=-1"),
        ("ray:cpus=0", SettingError, "cpus or gpus above 0"),
        ("slurm:minutes=soon", SettingError, "minutes='soon'"),
    ],
)
def test_wrong_settings_are_told_before_anything_starts(spec, error, words):
    task = tasks.load("breast-cancer")
    with pytest.raises(error, match=words):
        check_spec(spec)
        make_engine(spec, task)


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_library_that_is_not_there_is_named_by_its_extra(name, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"Engine '{name}' .*ohgw\[{name}\]"):
        make_engine(name, small_task("sgd"))


def test_a_pool_may_change_between_a_run_and_its_resumption_but_not_its_lanes():
    assert records_alike("ray:workers=2", "ray:workers=16:gpus=0.5")
    assert not records_alike("ray:lanes=2", "ray:lanes=4")
    assert not records_alike("ray", "slurm")
    assert not records_alike("population", "population:processes=2")
    task = tasks.load("breast-cancer")
    assert make_sampler("ray:workers=2", task, 4).name == "population"


def test_a_task_goes_to_another_device_by_name_alone():
    task = tasks.load("breast-cancer")
    source = Source.of(task, "cuda")
    assert source.task is None and source.spec == "breast-cancer"
    task.name = "mine"
    with pytest.raises(SettingError, match="'mine' is on cpu"):
        Source.of(task, "cuda")
    assert Source.of(task, "cpu").load() is task


class Broken(Worker):
    def train(self, batch):
        raise ValueError("no such column")


def test_what_training_raises_is_raised():
    task = small_task("sgd")
    engine = remote(task)
    engine.pool.worker = Broken(Source.of(task, "cpu"), False, 1)
    with pytest.raises(ValueError, match="no such column"):
        rows_of(task, engine)
