"""The serial engine: any task, one job at a time, in the order in which virtual time needs them."""

import pickle
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from ohgw.core.protocols import BlackBoxTask, DifferentiableTask
from ohgw.engines.search import Job, Search
from ohgw.engines.states import AVERAGING, Paused, StateStore, evaluate, start
from ohgw.training.dynamics import State, decode, step_
from ohgw.training.feed import Feed
from ohgw.warmstart.probe import BlackBoxProbe, DifferentiableProbe, Probe


class Trainer(Protocol):
    """How one kind of task is trained and scored."""

    steps_per_unit: int
    step_flops: float | None

    @property
    def probe(self) -> Probe: ...

    def train(self, job: Job, search: Search, paused: Any) -> tuple[Any, dict[str, float]]:
        """The state after the job, and its validation metrics. `paused` is None at the start."""
        ...

    def test(self, best: Any) -> dict[str, float]: ...


class DifferentiableTrainer:
    """One configuration at a time, without vmap; the same streams as a population's lane."""

    def __init__(self, task: DifferentiableTask) -> None:
        self.task = task
        self.feed = Feed(task)
        self.probe = DifferentiableProbe(task, self.feed)
        self.steps_per_unit = task.steps_per_epoch
        self.step_flops: float | None = self.probe.step_flops

    def train(
        self, job: Job, search: Search, paused: Paused | None
    ) -> tuple[Paused, dict[str, float]]:
        task, feed, streams = self.task, self.feed, search.sweep.streams
        if paused is None:
            paused = start(task, streams, job.trial, search.recipe, job.state)
            job.state = None
        configuration = search.trials[job.trial].configuration
        psi = torch.as_tensor(task.space.to_natural(configuration))
        hp = decode(task.space, psi.to(task.device, task.dtype))
        state = State(
            paused.theta.clone(),
            tuple(slot.clone() for slot in paused.slots),
            torch.tensor(paused.steps, device=task.device),
        )
        average = None if paused.average is None else paused.average.clone()
        order, offsets = feed.epoch(streams, job.trial, 0)
        done = paused.steps
        until = job.resource * self.steps_per_unit
        for steps in range(done, until):
            epoch, position = divmod(steps, task.steps_per_epoch)
            if epoch and (steps == done or position == 0):
                order, offsets = feed.epoch(streams, job.trial, epoch)
            batch = feed.batch(torch.as_tensor(order[position], device=task.device))
            offset = torch.as_tensor(offsets[position : position + 1], device=task.device)
            step_(task, state, batch, hp, feed.noise(offset)[0])
            weight = AVERAGING.weight(steps + 1)
            if average is not None and weight:
                average.lerp_(state.theta, weight)
        after = Paused(state.theta, state.slots, until, average)
        return after, evaluate(task, [after.scored], "val")[0]

    def test(self, best: Paused) -> dict[str, float]:
        return evaluate(self.task, [best.scored], "test")[0]


class BlackBoxTrainer:
    """A task that only trains and scores; work is counted in resource units."""

    def __init__(self, task: BlackBoxTask) -> None:
        self.task = task
        self.probe = BlackBoxProbe(task)
        self.steps_per_unit = 1
        self.step_flops: float | None = None

    def train(self, job: Job, search: Search, paused: Any) -> tuple[Any, dict[str, float]]:
        if paused is None:
            seed = search.sweep.streams.integer("initialisation", job.trial)
            paused = self.task.initial_state(seed)
        else:
            # The state is kept for the incumbent and for a snapshot: training gets a copy.
            paused = pickle.loads(pickle.dumps(paused))
        configuration = dict(search.trials[job.trial].configuration)
        return self.task.train(configuration, paused, job.resource)

    def test(self, best: Any) -> dict[str, float]:
        score = getattr(self.task, "test", None)
        return {} if score is None else dict(score(best))


class SerialEngine:
    """Trains one outstanding job after the other."""

    name = "serial"

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.probe = trainer.probe
        self.steps_per_unit = trainer.steps_per_unit
        self.step_flops = trainer.step_flops
        self.states = StateStore()
        self.searches: Sequence[Search] = ()

    def bind(self, searches: Sequence[Search]) -> None:
        self.searches = searches

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

    def best(self, search: int) -> Any:
        return self.states.bests.get(search)

    def test(self, search: int) -> dict[str, float]:
        best = self.best(search)
        return {} if best is None else self.trainer.test(best)

    def release(self, search: int) -> None:
        self.states.release(search)

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
