"""Run a plan: searches on an engine, rows into a store, a snapshot now and then."""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import ohgw.version
from ohgw.core.errors import DivergedError, Interrupted
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.records import Final, Header, Plan, read_records
from ohgw.engines.build import make_engine
from ohgw.engines.engine import Engine, drive
from ohgw.engines.process import tuned_process
from ohgw.engines.search import Search
from ohgw.engines.states import Paused
from ohgw.study.plan import Task, make_searches
from ohgw.study.store import Store

BEST_NAME = "best.yaml"
CHECKPOINT_NAME = "checkpoint.pt"
SNAPSHOT_SECONDS = 10.0
SNAPSHOT_SHARE = 0.05  # of the run's time that may go into snapshots


@dataclass
class Watcher:
    """What happens beside a run: progress is shown, and somebody may ask it to stop."""

    on_start: Callable[[Sequence[Search]], None] = lambda searches: None
    on_turn: Callable[[Sequence[Search]], None] = lambda searches: None
    stopping: Callable[[], bool] = lambda: False


@dataclass
class _Snapshots:
    """When to take the next snapshot: not more often than their cost allows."""

    interval: float = field(default_factory=lambda: SNAPSHOT_SECONDS)
    last: float = field(default_factory=time.monotonic)

    @property
    def due(self) -> bool:
        return time.monotonic() - self.last >= self.interval

    def took(self, seconds: float) -> None:
        self.interval = max(SNAPSHOT_SECONDS, seconds / SNAPSHOT_SHARE)
        self.last = time.monotonic()


def run(
    plan: Plan, task: Task, directory: Path, *, resume: bool = False, watcher: Watcher | None = None
) -> list[Final]:
    """Run `plan` into `directory` and return the closing rows, one for each search.

    With `resume`, goes on with the run that is there, or starts one where there is none. Raises
    `Interrupted` once the watcher asks to stop, and `DivergedError` where no trial of any search
    had a finite score; the record is complete in that case too.
    """
    watcher = watcher or Watcher()
    with Store(directory).held() as store, tuned_process():
        if resume and store.started:
            plan = store.check(plan)
            finals = _finals_if_complete(store, plan)
            if finals is not None:
                return _closing(finals, task, directory)
            torch.set_num_threads(plan.threads)  # it decides how sums are split, and so rounding
            engine, searches = _set_up(plan, task)
            snapshot = store.reopen()
        else:
            torch.set_num_threads(plan.threads)
            engine, searches = _set_up(plan, task)
            store.create(_header(plan, task, engine))
            snapshot = None
        _drive(store, engine, searches, snapshot, watcher)
        finals = read_records(store.records_path)[2]
        _write_best(store, task, engine, searches, finals)
        store.finish()
        return _closing(finals, task, directory)


def _finals_if_complete(store: Store, plan: Plan) -> list[Final] | None:
    """The closing rows where nothing is left to do: all are written, and what follows them."""
    if store.snapshot_path.exists() or not store.whole:
        return None
    searches = len(plan.calibration_seeds) + len(plan.seeds) * len(plan.arms)
    finals = read_records(store.records_path)[2]
    if len(finals) < searches:
        return None
    single = searches == 1 and finals[0].score is not None
    if single and not (store.directory / CHECKPOINT_NAME).exists():
        return None
    return finals


def _closing(finals: list[Final], task: Task, directory: Path) -> list[Final]:
    if all(final.score is None for final in finals):
        raise DivergedError(
            f"All {sum(final.trials for final in finals)} trials of task {task.name!r} diverged: "
            "no validation score was finite. Lower the upper bounds of the space (first the "
            f"learning rate's), or check the data. The record is in {directory}."
        )
    return finals


def _set_up(plan: Plan, task: Task) -> tuple[Engine, list[Search]]:
    engine = make_engine(plan.engine, task)
    return engine, make_searches(plan, task, engine)


def _header(plan: Plan, task: Task, engine: Engine) -> Header:
    return Header(
        plan=plan,
        steps_per_epoch=engine.steps_per_unit,
        metric=task.metric.name,
        mode=task.metric.mode,
        step_flops=engine.step_flops,
        versions={
            "ohgw": ohgw.version.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )


def _drive(
    store: Store,
    engine: Engine,
    searches: list[Search],
    snapshot: dict[str, Any] | None,
    watcher: Watcher,
) -> None:
    wall, began = 0.0, time.monotonic()
    if snapshot is not None:
        wall = snapshot["wall"]
        for search, state in zip(searches, snapshot["searches"], strict=True):
            search.load_state_dict(state)
        jobs = {(job.search, job.trial): job for s in searches for job in s.jobs.values()}
        engine.bind(searches)
        engine.load_state_dict(snapshot["engine"], jobs)
    snapshots = _Snapshots()

    def save() -> None:
        before = time.monotonic()
        store.save_snapshot(
            {
                "wall": wall + before - began,
                "searches": [search.state_dict() for search in searches],
                "engine": engine.state_dict(),
            }
        )
        snapshots.took(time.monotonic() - before)

    def on_turn() -> None:
        watcher.on_turn(searches)
        if watcher.stopping():
            save()
            raise Interrupted(store.directory)
        if snapshots.due:
            save()

    watcher.on_start(searches)
    drive(searches, engine, store.append, on_turn, resumed=snapshot is not None, wall=wall)


def _write_best(
    store: Store, task: Task, engine: Engine, searches: list[Search], finals: list[Final]
) -> None:
    """For a single search: its best configuration, and the state that reached it."""
    if len(searches) != 1 or searches[0].incumbent is None:
        return
    search, best, final = searches[0], engine.best(0), finals[0]
    content = {
        "configuration": final.configuration,
        "validation": {search.metric.name: final.score},
        "test": final.metrics,
        "trial": final.trial,
        "resource": final.resource,
    }
    state: dict[str, Any] = {"configuration": final.configuration}
    if isinstance(best, Paused) and isinstance(task, DifferentiableTask):
        state |= {"parameters": task.parameters(best.scored.cpu()), "steps": best.steps}
    else:
        state |= {"state": best}
    text = yaml.safe_dump(content, sort_keys=False).encode()
    store.write(BEST_NAME, lambda file: file.write(text))
    store.write(CHECKPOINT_NAME, lambda file: torch.save(state, file))
