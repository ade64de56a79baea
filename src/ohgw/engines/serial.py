"""The serial engine: any task, one job at a time, in the order in which virtual time needs them."""

import pickle
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from ohgw.core.errors import SettingError
from ohgw.core.layout import Cluster
from ohgw.core.protocols import BlackBoxTask, DifferentiableTask
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.engines.search import Job, SearchView
from ohgw.engines.states import AVERAGING, Paused, StateStore, final_metrics, score, start
from ohgw.training.dynamics import Losses, State, compile_loss, decode, natural, step_
from ohgw.training.feed import Feed
from ohgw.warmstart.black_box_probe import BlackBoxProbe
from ohgw.warmstart.differentiable_probe import DifferentiableProbe
from ohgw.warmstart.probe import Probe


class Trainer(Protocol):
    """How one kind of task is trained and scored."""

    steps_per_unit: int
    step_flops: float | None

    @property
    def probe(self) -> Probe: ...

    def train(
        self, job: Job, search: SearchView, paused: Any
    ) -> tuple[Any, dict[str, float] | None]:
        """A part of a job, or all of it: the state after it, and metrics once the job is done.

        `paused` is the trial's state, None at its start.
        """
        ...

    def test(self, best: Any, configuration: Configuration) -> dict[str, float]: ...


class DifferentiableTrainer:
    """One configuration at a time, an epoch in each turn; the streams of a population's lane."""

    def __init__(
        self, task: DifferentiableTask, *, compiled: bool = False, accumulate: int = 1
    ) -> None:
        check_parts(task, "accumulate", accumulate)
        self.accumulate = accumulate
        self._compiled = cache(_compiled) if compiled else None  # once for each variant
        self.probe = DifferentiableProbe(task, Feed(task))
        self.steps_per_unit = task.steps_per_epoch
        self.step_flops: float | None = self.probe.step_flops

    def train(
        self, job: Job, search: SearchView, paused: Paused | None
    ) -> tuple[Paused, dict[str, float] | None]:
        configuration = search.trials[job.trial].configuration
        task = self.probe.of(configuration).task
        if paused is None:
            paused = start(task, search.streams, job.trial, search.recipe, job.state)
            job.state = None
        after = self.epoch(configuration, search.streams, job.trial, paused)
        job.done += after.steps - paused.steps
        if after.steps < job.resource * task.steps_per_epoch:
            return after, None
        return after, score(task, [after.scored])[0]

    def epoch(
        self, configuration: Configuration, streams: Streams, trial: int, paused: Paused
    ) -> Paused:
        """The state at the end of the epoch that the next step belongs to."""
        variant = self.probe.of(configuration)
        task, feed = variant.task, variant.feed
        hp = decode(task.space, natural(task, [configuration])[0])
        loss = None if self._compiled is None else self._compiled(variant)
        state = State(
            paused.theta.clone(),
            tuple(slot.clone() for slot in paused.slots),
            torch.tensor(paused.steps, device=task.device),
        )
        average = None if paused.average is None else paused.average.clone()
        epoch, position = divmod(paused.steps, task.steps_per_epoch)
        order, offsets = feed.epoch(streams, trial, epoch)
        steps = paused.steps
        for row in range(position, task.steps_per_epoch):
            batch = feed.batch(torch.as_tensor(order[row], device=task.device))
            offset = torch.as_tensor(offsets[row : row + 1], device=task.device)
            self._step_(task, state, batch, hp, feed.noise(offset)[0], loss)
            steps += 1
            weight = AVERAGING.weight(steps)
            if average is not None and weight:
                average.lerp_(state.theta, weight)
        return Paused(state.theta, state.slots, steps, average)

    def _step_(
        self,
        task: DifferentiableTask,
        state: State,
        batch: tuple[Tensor, ...],
        hp: Mapping[str, Tensor],
        noise: Tensor,
        loss: Losses | None,
    ) -> None:
        step_(task, state, batch, hp, noise, loss, parts=self.accumulate)

    def test(self, best: Paused, configuration: Configuration) -> dict[str, float]:
        return final_metrics(self.probe.of(configuration).task, best.scored)


def _compiled(variant: DifferentiableProbe) -> Losses:
    return compile_loss(variant.task, variant.task.train_loss)


class BlackBoxTrainer:
    """A task that only trains and scores; work is counted in resource units."""

    def __init__(self, task: BlackBoxTask) -> None:
        self.task = task
        self.probe = BlackBoxProbe(task)
        self.steps_per_unit = 1
        self.step_flops: float | None = None

    def train(self, job: Job, search: SearchView, paused: Any) -> tuple[Any, dict[str, float]]:
        if paused is None:
            seed = search.streams.integer("initialisation", job.trial)
            paused = self.task.initial_state(seed)
        else:
            # The state is kept for the incumbent and for a snapshot: training gets a copy.
            paused = pickle.loads(pickle.dumps(paused))
        configuration = dict(search.trials[job.trial].configuration)
        state, metrics = self.task.train(configuration, paused, job.resource)
        if search.metric.name not in metrics:
            raise SettingError(
                f"Task {self.task.name!r} is scored by {search.metric.name!r}, but its train() "
                f"returned {', '.join(map(repr, metrics)) or 'no metrics'}. Return that metric."
            )
        job.done = job.steps
        return state, metrics

    def test(self, best: Any, configuration: Configuration) -> dict[str, float]:
        score = getattr(self.task, "test", None)
        return {} if score is None else dict(score(best))


def check_parts(task: DifferentiableTask, option: str, parts: int) -> None:
    """Raises `SettingError` where a mini-batch has no so many equal parts."""
    if task.batch_size % parts:
        raise SettingError(
            f"{option}={parts} of engine 'serial' cannot share out a mini-batch of "
            f"{task.batch_size} equally. Choose another number, or another batch_size of the task."
        )


def trainer_of(
    task: DifferentiableTask | BlackBoxTask, *, compiled: bool = False, accumulate: int = 1
) -> Trainer:
    """The trainer of the task's kind; a black box has no training step to change."""
    if isinstance(task, DifferentiableTask):
        return DifferentiableTrainer(task, compiled=compiled, accumulate=accumulate)
    return BlackBoxTrainer(task)


class SerialEngine:
    """Trains one outstanding job after the other, in as many turns as its trainer takes."""

    name = "serial"

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.probe = trainer.probe
        self.steps_per_unit = trainer.steps_per_unit
        self.step_flops = trainer.step_flops
        self.states = StateStore()
        self.searches: Sequence[SearchView] = ()

    def bind(self, searches: Sequence[SearchView]) -> None:
        self.searches = searches
        self.probe.fit_beside(1)

    def add(self, jobs: Sequence[Job]) -> None:
        """Nothing to set up: `advance` finds the jobs at their searches."""

    def advance(self) -> None:
        waiting = [
            job for search in self.searches for job in search.jobs.values() if job.metrics is None
        ]
        if not waiting:
            return
        job = min(waiting, key=lambda job: (job.search, job.finish, job.worker))
        search, key = self.searches[job.search], (job.search, job.trial)
        paused = self.states.paused.get(key)
        self.states.paused[key], job.metrics = self.trainer.train(job, search, paused)

    def keep(self, search: int, trial: int) -> None:
        self.states.keep(search, trial)

    def forget(self, search: int, trial: int) -> None:
        self.states.forget(search, trial)

    def best(self, search: int) -> Any:
        return self.states.bests.get(search)

    def test(self, search: int) -> dict[str, float]:
        best, incumbent = self.best(search), self.searches[search].incumbent
        if best is None or incumbent is None:
            return {}
        configuration = self.searches[search].trials[incumbent.trial].configuration
        return self.trainer.test(best, configuration)

    def release(self, search: int) -> None:
        self.states.release(search)

    def usage(self) -> Cluster | None:
        return None

    def close(self) -> None:
        """It holds nothing."""

    def state_dict(self) -> dict[str, Any]:
        pending = {
            (job.search, job.trial): job.state
            for search in self.searches
            for job in search.jobs.values()
            if job.state is not None
        }
        return {"states": self.states.state_dict(), "pending": pending}

    def load_state_dict(self, state: dict[str, Any], jobs: dict[tuple[int, int], Job]) -> None:
        self.states.load_state_dict(state["states"])
        for key, pending in state["pending"].items():
            jobs[key].state = pending
