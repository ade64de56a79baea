"""Run a plan: searches on an engine, rows into a store, a snapshot now and then.

A complete run ends with its rows as Parquet and, last of all, a manifest of what it cost.
"""

import platform
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import ohgw.version
from ohgw.core.errors import DivergedError, Interrupted
from ohgw.core.layout import FINALS_NAME, MANIFEST_NAME, REPORTS_NAME, Manifest
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.records import Final, Header, Plan, Report, read_records
from ohgw.engines.build import make_engine
from ohgw.engines.engine import Engine, drive
from ohgw.engines.process import tuned_process
from ohgw.engines.search import Search
from ohgw.engines.states import Paused
from ohgw.study.accounting import Account, Costs, git_revision
from ohgw.study.memory import measure_memory
from ohgw.study.plan import Task, make_searches
from ohgw.study.store import Store
from ohgw.training.dynamics import variant_of

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
    plan: Plan,
    task: Task,
    directory: Path,
    *,
    resume: bool = False,
    watcher: Watcher | None = None,
    memory: bool = False,
) -> list[Final]:
    """Run `plan` into `directory` and return the closing rows, one for each search.

    With `memory`, the peak memory of each arm's probes is measured too, which takes seconds. With
    `resume`, goes on with the run that is there, or starts one where there is none. Raises
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
        account = Account(torch.device(plan.device))
        with closing(engine):
            _drive(store, engine, searches, snapshot, watcher, account)
        header, reports, finals = read_records(store.records_path)
        _write_best(store, task, engine, searches, finals)
        from ohgw.study.export import parquet_writer  # Arrow loads after the search, not before

        store.write(REPORTS_NAME, parquet_writer(Report, reports))
        store.write(FINALS_NAME, parquet_writer(Final, finals))
        manifest = _manifest(directory.name, header, account, engine, len(reports), len(finals))
        if memory:
            measured = measure_memory(plan, task)
            manifest = manifest.model_copy(update={"memory": measured})
        text = manifest.model_dump_json(indent=2).encode()
        store.write(MANIFEST_NAME, lambda file: file.write(text))
        store.finish()
        return _closing(finals, task, directory)


def _manifest(
    name: str, header: Header, account: Account, engine: Engine, reports: int, finals: int
) -> Manifest:
    costs, cluster = account.costs(), engine.usage()
    on_gpu = account.device.type == "cuda"
    elsewhere = 0.0 if cluster is None else cluster.gpu_hours
    return Manifest(
        id=name,
        versions=header.versions,
        git=git_revision(),
        device=header.plan.device,
        started=header.started,
        seconds=costs.wall,
        cpu_seconds=costs.cpu,
        device_seconds=costs.wall if on_gpu else None,
        gpu_hours=elsewhere + (costs.wall / 3600 if on_gpu else 0.0),
        peak_rss_bytes=costs.peak_rss,
        peak_cuda_bytes=costs.peak_cuda,
        energy_joules=costs.energy,
        memory=None,
        cluster=cluster,
        step_flops=header.step_flops,
        reports=reports,
        finals=finals,
    )


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
        space=task.space.to_dict(),
        versions={
            "ohgw": ohgw.version.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _drive(
    store: Store,
    engine: Engine,
    searches: list[Search],
    snapshot: dict[str, Any] | None,
    watcher: Watcher,
    account: Account,
) -> None:
    if snapshot is not None:
        account.earlier = Costs(**snapshot["costs"])
        for search, state in zip(searches, snapshot["searches"], strict=True):
            search.load_state_dict(state)
        jobs = {(job.search, job.trial): job for s in searches for job in s.jobs.values()}
        engine.bind(searches)
        engine.load_state_dict(snapshot["engine"], jobs)
    account.start()
    snapshots = _Snapshots()

    def save() -> None:
        before = time.monotonic()
        store.save_snapshot(
            {
                "costs": asdict(account.costs()),
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
    resumed, wall = snapshot is not None, account.earlier.wall
    drive(searches, engine, store.append, on_turn, resumed=resumed, wall=wall)


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
        program = variant_of(task, final.configuration)
        state |= {"parameters": program.parameters(best.scored.cpu()), "steps": best.steps}
    else:
        state |= {"state": best}
    text = yaml.safe_dump(content, sort_keys=False).encode()
    store.write(BEST_NAME, lambda file: file.write(text))
    store.write(CHECKPOINT_NAME, lambda file: torch.save(state, file))
