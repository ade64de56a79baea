"""A population in several processes: the same searches as in one, whatever is faster or dies."""

import os
import pickle
import signal

import pytest
import torch

from ohgw import tasks
from ohgw.core.errors import SettingError, WorkerError
from ohgw.core.records import Arm
from ohgw.engines.build import make_engine
from ohgw.engines.engine import drive
from ohgw.engines.shards import ShardedEngine
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


def searched(task, engine, *, on_turn=lambda engine, searches: None, snapshot=None):
    """Rows by search without seconds; from a snapshot where there is one."""
    plan = make_plan(
        task,
        arms=ARMS,
        seeds=[0],
        scheduler="asha",
        budget=40.0,
        workers=4,
        engine=engine,
        device="cpu",
        threads=1,
    )
    engine = make_engine(engine, task)
    searches = make_searches(plan, task, engine)
    if snapshot is not None:
        states, trained = pickle.loads(snapshot)
        for search, state in zip(searches, states, strict=True):
            search.load_state_dict(state)
        engine.bind(searches)
        jobs = {(job.search, job.trial): job for s in searches for job in s.jobs.values()}
        engine.load_state_dict(trained, jobs)
    rows = {search.name: [] for search in searches}

    def on_row(row):
        rows[f"{row.search} seed {row.seed}"].append(row.model_dump(exclude={"wall"}))

    def turn():
        on_turn(engine, searches)

    try:
        drive(searches, engine, on_row, turn, resumed=snapshot is not None)
    finally:
        engine.close()
    return rows


@pytest.mark.parametrize(
    "task", [small_task("sgd"), SmallMixedTask()], ids=["continuous", "discrete"]
)
def test_shards_give_what_one_process_gives(task):
    alone = searched(task, "population")
    for processes in (2, 3):
        engine = f"population:processes={processes}"
        assert_close(searched(task, engine), alone)


def assert_close(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(found[key], value)
    elif isinstance(expected, list | tuple):
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)
    else:
        assert found == expected


def test_a_search_repeats_bit_for_bit_and_resumes_as_if_uninterrupted():
    task = tasks.load("breast-cancer")
    spec = "population:processes=2"
    whole = searched(task, spec)
    assert searched(task, spec) == whole
    taken, before = [], {name: [] for name in whole}

    def stop(engine, searches):
        """In the middle of jobs that a fork has."""
        reports = {search.name: search.reports for search in searches}
        if min(reports.values()) >= 5 and not taken:
            states = [search.state_dict() for search in searches]
            taken.append(pickle.dumps((states, engine.state_dict())))
            for name, count in reports.items():
                before[name] = whole[name][:count]
            raise Stop

    with pytest.raises(Stop):
        searched(task, spec, on_turn=stop)
    assert any(pickle.loads(taken[0])[1]["shard"].values())
    after = searched(task, spec, snapshot=taken[0])
    assert {name: before[name] + after[name] for name in whole} == whole


def test_a_killed_process_is_one_clear_error():
    def kill(engine, searches):
        if min(search.reports for search in searches) >= 2:
            os.kill(engine._forks[0]._process.pid, signal.SIGKILL)

    with pytest.raises(WorkerError, match=r"exit code -9.*--resume"):
        searched(tasks.load("breast-cancer"), "population:processes=2", on_turn=kill)


def test_an_error_in_a_fork_is_raised_here():
    task = small_task("sgd")
    here, sound = os.getpid(), task.train_loss

    def broken(*arguments):
        if os.getpid() != here:
            raise SettingError("no good")
        return sound(*arguments)

    task.train_loss = broken
    with pytest.raises(SettingError, match="no good"):
        searched(task, "population:processes=2")


@pytest.mark.parametrize("processes", ["0", "1.5", "many"])
def test_processes_must_be_a_number(processes):
    with pytest.raises(SettingError, match="must be a whole number from 1"):
        make_engine(f"population:processes={processes}", small_task("sgd"))


def test_one_process_has_all_lanes_of_a_gpu():
    task = small_task("sgd")
    task.device = torch.device("meta")
    with pytest.raises(SettingError, match="for the cores of a CPU"):
        ShardedEngine(task, 2)
