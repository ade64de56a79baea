"""Recorded learning curves as a task, and searches over them that train in no time.

The curves (`record_curves.py`) are those of random configurations. A scheduler draws from a
continuous space, so a configuration gets the curve of its nearest recorded neighbour in the unit
cube, whole: its loss after any epoch is one that was once measured.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ohgw.core.protocols import Metric, Scheduler
from ohgw.core.records import Arm, Report
from ohgw.core.space import get_space
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration, Suggestion
from ohgw.engines.engine import Row, drive
from ohgw.engines.search import Job, Search
from ohgw.schedulers import make
from ohgw.training.recipes import get_recipe
from ohgw.warmstart import make_method
from ohgw.warmstart.black_box_probe import BlackBoxProbe
from ohgw.warmstart.sweep import make_sweep

DATA = Path(__file__).parent / "data"
RECORDED = ("digits", "breast-cancer")
TICKS = 10  # of the virtual clock in an epoch; what ends within one tick is reported together


class RecordedCurves:
    """A black-box task. The state of a trial is the row of its curve.

    A resource unit is an epoch; curves know every `min_resource` of them. NaN where the recorded
    trial had diverged.
    """

    def __init__(self, name: str) -> None:
        with np.load(DATA / f"curves-{name}.npz") as recorded:
            self.points = recorded["x"].astype(float)  # (rows, d), unit cube
            self.losses = recorded["loss"].astype(float)  # (rows, epochs / unit)
            names, unit = recorded["names"].tolist(), int(recorded["unit"])
        self.name = f"{name} (recorded)"
        self.space = get_space("exp-1")
        assert names == list(self.space.names)
        self.metric = Metric("loss", "min")
        self.min_resource = unit
        self.max_resource = unit * self.losses.shape[1]

    def initial_state(self, seed: int) -> None:
        return None

    def train(
        self, configuration: Configuration, state: int | None, resource: int
    ) -> tuple[int, dict[str, float]]:
        row = self.nearest(configuration) if state is None else state
        column, rest = divmod(resource, self.min_resource)
        assert rest == 0, f"nothing was recorded after {resource} epochs"
        return row, {"loss": float(self.losses[row, column - 1])}

    def nearest(self, configuration: Configuration) -> int:
        difference = self.points - self.space.to_unit(configuration)
        return int(np.einsum("ij,ij->i", difference, difference).argmin())


class InstantEngine:
    """Trains a job the moment it is added: what is left of a search is its scheduling.

    Serves searches that run to their ends in one go; there is nothing to snapshot.
    """

    name = "instant"
    step_flops = None

    def __init__(self, task: RecordedCurves, steps_per_unit: int = 1) -> None:
        self.task = task
        self.probe = BlackBoxProbe(task)
        self.steps_per_unit = steps_per_unit
        self._states: dict[tuple[int, int], Any] = {}
        self._searches: Sequence[Search] = ()

    def bind(self, searches: Sequence[Search]) -> None:
        self._searches = searches

    def add(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            configuration = self._searches[job.search].trials[job.trial].configuration
            state = self._states.get((job.search, job.trial))
            state, job.metrics = self.task.train(configuration, state, job.resource)
            self._states[job.search, job.trial] = state
            job.done = job.steps

    def advance(self) -> None:
        """Nothing is ever outstanding."""

    def keep(self, search: int, trial: int) -> None:
        """A row stays where it is."""

    def forget(self, search: int, trial: int) -> None:
        """A row takes no room."""

    def best(self, search: int) -> Any:
        best = self._searches[search].incumbent
        return None if best is None else self._states[search, best.trial]

    def test(self, search: int) -> dict[str, float]:
        return {}

    def release(self, search: int) -> None:
        self._states = {key: row for key, row in self._states.items() if key[0] != search}


class UnevenSearch(Search):
    """A search whose trials differ in speed; a `Search` knows epochs of one length only.

    An epoch of a trial takes 1 + |z| times as long as the fastest one, z normal with standard
    deviation `spread`: the stragglers of the simulations of ASHA (Li et al. 2020, appendix A.1),
    drawn for a trial and not for a job, so that they are the same whatever a scheduler's legs are.
    """

    def __init__(self, *arguments: Any, spread: float, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._spread = spread
        self._slowness: dict[int, float] = {}

    def slowness(self, trial: int) -> float:
        if trial not in self._slowness:
            z = np.random.default_rng([self.seed, trial]).normal(scale=self._spread)
            self._slowness[trial] = 1.0 + abs(float(z))
        return self._slowness[trial]

    def _job(self, worker: int, suggestion: Suggestion) -> Job:
        job = super()._job(worker, suggestion)
        job.steps = round(job.steps * self.slowness(suggestion.trial))
        return job


def make_search(
    task: RecordedCurves,
    scheduler: str,
    *,
    workers: int,
    budget: float,
    seed: int,
    spread: float = 0.0,
) -> UnevenSearch:
    """A vanilla search of the named scheduler; `budget` in the fastest trial's epochs."""
    streams = Streams(seed)
    made: Scheduler = make(
        scheduler,
        task.space,
        streams.generator("configurations"),
        mode=task.metric.mode,
        min_resource=task.min_resource,
        max_resource=task.max_resource,
    )
    return UnevenSearch(
        0,
        Arm(method="vanilla", recipe="plain"),
        made,
        make_method("vanilla"),
        get_recipe("plain"),
        make_sweep(task, BlackBoxProbe(task), streams, made.draw, made.expected_resource, TICKS),
        task.metric,
        workers=workers,
        budget=budget * TICKS,
        spread=spread,
    )


def run(
    task: RecordedCurves,
    search: Search,
    on_report: Callable[[Report], None],
    on_turn: Callable[[], None] = lambda: None,
) -> None:
    """Run the search to its end; `search.now` is the virtual time of a report, in ticks."""

    def keep(row: Row) -> None:
        if isinstance(row, Report):
            on_report(row)

    drive([search], InstantEngine(task, TICKS), keep, on_turn)
