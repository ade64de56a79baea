"""Lanes: configurations of one variant in training, as the rows of one vmapped program.

A lane trains in lockstep with the others, a training step at a time, and shares no number with
them: one that is not finite any more computes on, unread. Free rows go on computing too, until
they are many and the population shrinks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohgw.core.protocols import DifferentiableTask
from ohgw.core.trial import Configuration
from ohgw.engines.search import Job, SearchView
from ohgw.engines.states import AVERAGING, Paused
from ohgw.training.dynamics import State, decode, lane_losses, natural, population_step_
from ohgw.training.feed import Feed

FREE_SHARE = 1 / 4  # of the rows, from which on they are dropped


@dataclass(slots=True)
class Lane:
    """Host-side bookkeeping of one occupied row."""

    job: Job
    search: SearchView
    t: int  # training steps taken
    until: int  # training steps at which the job is done


class Lanes:
    """The jobs of one variant; `table` has one entry for each row, None where it is free."""

    def __init__(self, task: DifferentiableTask, feed: Feed, *, compiled: bool = False) -> None:
        self.task, self.feed, self.compiled = task, feed, compiled
        self._losses = lane_losses(task, compiled=compiled)
        self.table: list[Lane | None] = []
        self._rows: _Rows | None = None

    @property
    def occupied(self) -> int:
        return sum(lane is not None for lane in self.table)

    def add(self, jobs: Sequence[tuple[Job, SearchView, Paused]]) -> None:
        """Fill free rows first, then new ones."""
        free = [row for row, lane in enumerate(self.table) if lane is None]
        more = range(len(self.table), len(self.table) + len(jobs))
        rows = [*free, *more][: len(jobs)]
        self.table += [None] * (max(rows) + 1 - len(self.table))
        states = [state for _, _, state in jobs]
        if self._rows is None:
            self._rows = _Rows(self.task, states[0])
        self._rows.resize(len(self.table))
        for row, (job, search, state) in zip(rows, jobs, strict=True):
            until = job.resource * self.task.steps_per_epoch
            self.table[row] = Lane(job, search, state.steps, until)
        configurations = [search.trials[job.trial].configuration for job, search, _ in jobs]
        self._rows.write(rows, states, configurations)
        for row in rows:
            self.feed_row(row)

    def feed_row(self, row: int) -> None:
        """Load the mini-batches and noise of the epoch that a row's next step belongs to."""
        lane, rows = self.table[row], self._rows
        assert lane is not None and rows is not None
        epoch, position = divmod(lane.t, self.task.steps_per_epoch)
        order, offsets = self.feed.epoch(lane.search.streams, lane.job.trial, epoch)
        rows.load_epoch(row, position, order, offsets)

    def step(self) -> list[tuple[Job, Paused]]:
        """One training step of every row; takes out the lanes that reached their milestone."""
        rows = self._rows
        assert rows is not None
        order, offset = rows.next_inputs()
        population_step_(
            self.task,
            rows.state,
            self.feed.batch(order),
            rows.hp,
            self.feed.noise(offset),
            self._losses,
        )
        due: list[int] = []
        weights: list[float] = []
        finished: list[int] = []
        steps_per_epoch = self.task.steps_per_epoch
        for row, lane in enumerate(self.table):
            if lane is None:
                continue
            lane.t += 1
            lane.job.done += 1
            if weight := AVERAGING.weight(lane.t):
                due.append(row)
                weights.append(weight)
            if lane.t == lane.until:
                finished.append(row)
            elif lane.t % steps_per_epoch == 0:
                self.feed_row(row)
        if due:
            rows.average_rows(due, weights)
        return [self._take_out(row) for row in finished]

    def _take_out(self, row: int) -> tuple[Job, Paused]:
        lane, rows = self.table[row], self._rows
        assert lane is not None and rows is not None
        self.table[row] = None
        return lane.job, rows.read(row, lane.t, lane.search.recipe.averaged)

    def shrink(self) -> None:
        """Drop free rows once they are many; a row costs as much free as filled.

        Not of a compiled program, which is one for each number of rows.
        """
        occupied = [row for row, lane in enumerate(self.table) if lane is not None]
        if not occupied:
            self._rows, self.table = None, []
        elif self._rows is not None and self._loose(len(occupied)):
            self._rows.select(occupied)
            self.table = [self.table[row] for row in occupied]

    def _loose(self, occupied: int) -> bool:
        return not self.compiled and occupied < (1 - FREE_SHARE) * len(self.table)

    def state_dict(self) -> dict[str, Any]:
        """All tensors as they are, free rows included: how many rows there are decides rounding."""
        return {
            "rows": self._rows.state_dict() if self._rows else None,
            "lanes": [
                (lane.job.search, lane.job.trial, lane.t, lane.until) if lane else None
                for lane in self.table
            ],
        }

    def load_state_dict(
        self,
        state: dict[str, Any],
        jobs: Mapping[tuple[int, int], Job],
        searches: Sequence[SearchView],
    ) -> None:
        self.table = [
            Lane(jobs[lane[0], lane[1]], searches[lane[0]], lane[2], lane[3]) if lane else None
            for lane in state["lanes"]
        ]
        if state["rows"] is not None:
            self._rows = _Rows.from_state_dict(self.task, state["rows"])
            for row, lane in enumerate(self.table):
                if lane is not None:
                    self.feed_row(row)


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
        index = torch.as_tensor(rows, device=self.position.device)
        self.state.theta[index] = torch.stack([state.theta for state in states])
        for k, slot in enumerate(self.state.slots):
            slot[index] = torch.stack([state.slots[k] for state in states])
        self.state.t[index] = index.new_tensor([state.steps for state in states])
        self.average[index] = torch.stack(
            [state.theta if state.average is None else state.average for state in states]
        )
        self.psi[index] = natural(self.task, configurations)
        self.hp = decode(self.task.space, self.psi)

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
