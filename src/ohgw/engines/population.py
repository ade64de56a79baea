"""The population engine: P lanes of one vmapped program, every lane a worker.

All outstanding jobs of all searches train in lockstep, a training step at a time. A lane that
reaches its milestone is taken out at that very step, its state kept, and after at most
`WAIT_STEPS` steps (or once an eighth of the lanes wait) all waiting lanes are evaluated together
and take what their schedulers suggest next: a few large evaluations and probes cost much less
than many small ones. Rows that nothing fills go on computing, unread, until a quarter of them is
free; then the population shrinks. A lane whose parameters are no longer finite is such a row for
the others: lanes share no number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohgw.core.errors import SettingError
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.trial import Configuration
from ohgw.engines.search import Job, Search
from ohgw.engines.states import AVERAGING, Paused, StateStore, evaluate, final_metrics, start
from ohgw.training.dynamics import State, decode, population_step_
from ohgw.training.feed import Feed
from ohgw.warmstart.probe import DifferentiableProbe

TURN_STEPS = 16
WAIT_STEPS = 8
WAIT_SHARE = 1 / 8
FREE_SHARE = 1 / 4


@dataclass(slots=True)
class Lane:
    """Host-side bookkeeping of one occupied row."""

    job: Job
    t: int  # training steps taken
    until: int  # training steps at which the job is done


class PopulationEngine:
    """Trains all outstanding jobs of a differentiable task as one program."""

    name = "population"

    def __init__(self, task: DifferentiableTask) -> None:
        if task.space.discrete:
            raise SettingError(
                f"Task {task.name!r} has discrete hyperparameters "
                f"({', '.join(task.space.discrete)}), which one fused program cannot vary. "
                "Use --engine serial."
            )
        self.task = task
        self.feed = Feed(task)
        self.probe = DifferentiableProbe(task, self.feed)
        self.steps_per_unit = task.steps_per_epoch
        self.step_flops: float | None = self.probe.step_flops
        self.states = StateStore()
        self.searches: Sequence[Search] = ()
        self.lanes: list[Lane | None] = []  # one for each row
        self._waiting: list[Job] = []  # trained, not evaluated yet
        self._waited = 0  # steps since the first of them came
        self._rows: _Rows | None = None

    def bind(self, searches: Sequence[Search]) -> None:
        self.searches = searches

    def add(self, jobs: Sequence[Job]) -> None:
        if not jobs:
            return
        states = [self._take(job) for job in jobs]
        free = [row for row, lane in enumerate(self.lanes) if lane is None]
        rows = (free + list(range(len(self.lanes), len(self.lanes) + len(jobs))))[: len(jobs)]
        self.lanes += [None] * (max(rows) + 1 - len(self.lanes))
        if self._rows is None:
            self._rows = _Rows(self.task, states[0])
        self._rows.resize(len(self.lanes))
        for row, job, state in zip(rows, jobs, states, strict=True):
            self.lanes[row] = Lane(job, state.steps, job.resource * self.steps_per_unit)
        self._rows.write(rows, states, [self._configuration(job) for job in jobs])
        for row in rows:
            self._feed_row(row)

    def _take(self, job: Job) -> Paused:
        """The state a job starts from; a paused one is handed over, not copied."""
        search = self.searches[job.search]
        if job.start > 0:
            paused: Paused = self.states.paused.pop((job.search, job.trial))
            return paused
        probed, job.state = job.state, None
        return start(self.task, search.sweep.streams, job.trial, search.recipe, probed)

    def _configuration(self, job: Job) -> Configuration:
        return self.searches[job.search].trials[job.trial].configuration

    def _feed_row(self, row: int) -> None:
        """Load the mini-batches and noise of the epoch that a row's next step belongs to."""
        lane, rows = self.lanes[row], self._rows
        assert lane is not None and rows is not None
        epoch, position = divmod(lane.t, self.task.steps_per_epoch)
        streams = self.searches[lane.job.search].sweep.streams
        rows.load_epoch(row, position, *self.feed.epoch(streams, lane.job.trial, epoch))

    def advance(self) -> None:
        for _ in range(TURN_STEPS):
            occupied = sum(lane is not None for lane in self.lanes)
            if occupied:
                self._step()
            self._waited += bool(self._waiting)
            enough = WAIT_SHARE * (occupied + len(self._waiting))
            if not occupied or self._waited == WAIT_STEPS or len(self._waiting) > enough:
                self._evaluate()
                self._shrink()
                return

    def _step(self) -> None:
        """One training step of every row, then take out the lanes that reached their milestone."""
        rows = self._rows
        assert rows is not None
        order, offset = rows.next_inputs()
        population_step_(
            self.task, rows.state, self.feed.batch(order), rows.hp, self.feed.noise(offset)
        )
        due: list[int] = []
        weights: list[float] = []
        finished: list[int] = []
        for row, lane in enumerate(self.lanes):
            if lane is None:
                continue
            lane.t += 1
            lane.job.done += 1
            if weight := AVERAGING.weight(lane.t):
                due.append(row)
                weights.append(weight)
            if lane.t == lane.until:
                finished.append(row)
            elif lane.t % self.steps_per_unit == 0:
                self._feed_row(row)
        if due:
            rows.average_rows(due, weights)
        for row in finished:
            self._pause(row)

    def _pause(self, row: int) -> None:
        lane, rows = self.lanes[row], self._rows
        assert lane is not None and rows is not None
        job = lane.job
        averaged = self.searches[job.search].recipe.averaged
        self.states.paused[job.search, job.trial] = rows.read(row, lane.t, averaged)
        self._waiting.append(job)
        self.lanes[row] = None

    def _evaluate(self) -> None:
        jobs, self._waiting, self._waited = self._waiting, [], 0
        thetas = [self.states.paused[job.search, job.trial].scored for job in jobs]
        for job, metrics in zip(jobs, evaluate(self.task, thetas, "val"), strict=True):
            job.metrics = metrics

    def _shrink(self) -> None:
        """Drop free rows once they are many; a row costs as much free as filled."""
        occupied = [row for row, lane in enumerate(self.lanes) if lane is not None]
        if not occupied:
            self._rows, self.lanes = None, []
        elif self._rows is not None and len(occupied) < (1 - FREE_SHARE) * len(self.lanes):
            self._rows.select(occupied)
            self.lanes = [self.lanes[row] for row in occupied]

    def keep(self, search: int, trial: int) -> None:
        self.states.keep(search, trial)

    def best(self, search: int) -> Paused | None:
        return self.states.bests.get(search)

    def test(self, search: int) -> dict[str, float]:
        best = self.best(search)
        return {} if best is None else final_metrics(self.task, best.scored)

    def release(self, search: int) -> None:
        self.states.release(search)

    def state_dict(self) -> dict[str, Any]:
        """All tensors as they are, free rows included: how many rows there are decides rounding."""
        return {
            "states": self.states.state_dict(),
            "rows": self._rows.state_dict() if self._rows else None,
            "lanes": [
                (lane.job.search, lane.job.trial, lane.t, lane.until) if lane else None
                for lane in self.lanes
            ],
            "waiting": [(job.search, job.trial) for job in self._waiting],
            "waited": self._waited,
        }

    def load_state_dict(self, state: dict[str, Any], jobs: dict[tuple[int, int], Job]) -> None:
        self.states.load_state_dict(state["states"])
        self.lanes = [
            Lane(jobs[lane[0], lane[1]], lane[2], lane[3]) if lane else None
            for lane in state["lanes"]
        ]
        self._waiting = [jobs[key] for key in state["waiting"]]
        self._waited = state["waited"]
        if state["rows"] is not None:
            self._rows = _Rows.from_state_dict(self.task, state["rows"])
            for row, lane in enumerate(self.lanes):
                if lane is not None:
                    self._feed_row(row)


class _Rows:
    """The tensors of a population: state, average, hyperparameters and the current epoch's feed."""

    def __init__(self, task: DifferentiableTask, example: Paused) -> None:
        self.task = task
        theta = example.theta
        empty = theta.new_zeros((0, len(theta)))
        t = torch.zeros(0, dtype=torch.int64, device=theta.device)
        self.state = State(empty, tuple(empty.clone() for _ in example.slots), t)
        self.average = empty.clone()
        self.psi = theta.new_zeros((0, len(task.space.continuous)))
        self.hp = decode(task.space, self.psi)
        steps, batch = task.steps_per_epoch, task.batch_size
        self.order = t.new_zeros((0, steps, batch))
        self.offsets = t.new_zeros((0, steps))
        self.position = t.clone()  # in the epoch, of the next step
        self.all = t.clone()  # 0 ... P-1, to index with

    def _tensors(self) -> dict[str, Tensor]:
        return {
            "theta": self.state.theta,
            **{f"slot{k}": slot for k, slot in enumerate(self.state.slots)},
            "t": self.state.t,
            "average": self.average,
            "psi": self.psi,
            "order": self.order,
            "offsets": self.offsets,
            "position": self.position,
        }

    def _assign(self, tensors: dict[str, Tensor]) -> None:
        slots = tuple(tensors[f"slot{k}"] for k in range(len(self.state.slots)))
        self.state = State(tensors["theta"], slots, tensors["t"])
        self.average, self.psi = tensors["average"], tensors["psi"]
        self.order, self.offsets = tensors["order"], tensors["offsets"]
        self.position = tensors["position"]
        self.hp = decode(self.task.space, self.psi)
        self.all = torch.arange(len(self.position), device=self.position.device)

    def resize(self, rows: int) -> None:
        """Append rows of zeros."""
        more = rows - len(self.position)
        if more > 0:
            self._assign(
                {
                    name: torch.cat([tensor, tensor.new_zeros((more, *tensor.shape[1:]))])
                    for name, tensor in self._tensors().items()
                }
            )

    def select(self, rows: list[int]) -> None:
        """Keep these rows, in this order."""
        index = torch.as_tensor(rows, dtype=torch.int64, device=self.position.device)
        self._assign({name: tensor[index] for name, tensor in self._tensors().items()})

    def write(
        self, rows: list[int], states: list[Paused], configurations: list[Configuration]
    ) -> None:
        space = self.task.space
        index = torch.as_tensor(rows, device=self.position.device)
        self.state.theta[index] = torch.stack([state.theta for state in states])
        for k, slot in enumerate(self.state.slots):
            slot[index] = torch.stack([state.slots[k] for state in states])
        self.state.t[index] = index.new_tensor([state.steps for state in states])
        self.average[index] = torch.stack(
            [state.theta if state.average is None else state.average for state in states]
        )
        psi = np.stack([space.to_natural(configuration) for configuration in configurations])
        self.psi[index] = torch.as_tensor(psi).to(self.psi)
        self.hp = decode(space, self.psi)

    def read(self, row: int, steps: int, averaged: bool) -> Paused:
        """A copy of one row."""
        return Paused(
            self.state.theta[row].clone(),
            tuple(slot[row].clone() for slot in self.state.slots),
            steps,
            self.average[row].clone() if averaged else None,
        )

    def load_epoch(self, row: int, position: int, order: np.ndarray, offsets: np.ndarray) -> None:
        self.order[row] = torch.as_tensor(order)
        self.offsets[row] = torch.as_tensor(offsets)
        self.position[row] = position

    def next_inputs(self) -> tuple[Tensor, Tensor]:
        """Example indices (P, B) and noise offsets (P,) of the next step of every row."""
        # A free row may run past its epoch's end; what it reads there does not matter.
        position = self.position.clamp(max=self.order.shape[1] - 1)
        order, offsets = self.order[self.all, position], self.offsets[self.all, position]
        self.position += 1
        return order, offsets

    def average_rows(self, rows: list[int], weights: list[float]) -> None:
        index = torch.as_tensor(rows, device=self.position.device)
        weight = self.average.new_tensor(weights).unsqueeze(-1)
        self.average[index] = torch.lerp(self.average[index], self.state.theta[index], weight)

    def state_dict(self) -> dict[str, Tensor]:
        """Without the feed, which is keyed and loaded again."""
        feed = {"order", "offsets", "position"}
        return {name: tensor for name, tensor in self._tensors().items() if name not in feed}

    @classmethod
    def from_state_dict(cls, task: DifferentiableTask, state: dict[str, Tensor]) -> "_Rows":
        slots = tuple(state[name][0] for name in state if name.startswith("slot"))
        rows = cls(task, Paused(state["theta"][0], slots, 0, None))
        rows.resize(len(state["theta"]))
        rows._assign(rows._tensors() | state)
        return rows
