"""What a process of a pool does: train batches of jobs with a local engine. Knows no cluster.

Everything here pickles, or is made where it is used.
"""

import os
import socket
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ohgw import tasks
from ohgw.core.errors import SettingError
from ohgw.core.protocols import BlackBoxTask, DifferentiableTask, Metric
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.engines.population import PopulationEngine
from ohgw.engines.process import tuned_process
from ohgw.engines.search import Incumbent, Job, TrialRecord
from ohgw.engines.serial import SerialEngine, trainer_of
from ohgw.engines.states import Paused, StateStore
from ohgw.training.dynamics import State
from ohgw.training.recipes import Recipe

Task = DifferentiableTask | BlackBoxTask
Trained = tuple[Any, dict[str, float]]  # the state after a job, and its metrics


@dataclass
class Assignment:
    """One job, as a `SearchView` of that job alone; `job.search` is its row in the batch."""

    job: Job
    configuration: Configuration
    streams: Streams
    recipe: Recipe
    metric: Metric
    paused: Any  # the trial's state, on the CPU; None at its start

    @property
    def name(self) -> str:
        return f"assignment {self.job.search}"

    @property
    def workers(self) -> int:
        return 1

    @property
    def jobs(self) -> dict[int, Job]:
        return {self.job.worker: self.job}

    @property
    def trials(self) -> dict[int, TrialRecord]:
        return {self.job.trial: TrialRecord(self.configuration, self.configuration, {})}

    @property
    def incumbent(self) -> Incumbent | None:
        return None


class Stint(NamedTuple):
    """Where a batch was trained and for how long; what a batch system says of it, "" elsewhere."""

    node: str
    worker: str
    seconds: float
    partition: str
    job: str


@dataclass(frozen=True)
class Source:
    """How a worker gets the task: the object itself, or its name where devices differ."""

    task: Task | None
    spec: str
    device: str
    dtype: torch.dtype | None

    @classmethod
    def of(cls, task: Task, device: str) -> "Source":
        """Raises `SettingError` where a task must move to `device` and cannot be loaded there."""
        here, there = getattr(task, "device", None), torch.device(device)
        if here is None or (torch.device(here).type == there.type and there.index is None):
            return cls(task, task.name, device, None)
        try:
            tasks.check_spec(task.name)
        except LookupError:
            raise SettingError(
                f"Task {task.name!r} is on {here}, and workers with GPUs of their own would have "
                "to load it by name, which it does not have. Make it on the device that the "
                "workers train on."
            ) from None
        assert isinstance(task, DifferentiableTask)
        return cls(None, task.name, device, task.dtype)

    def load(self) -> Task:
        if self.task is not None:
            return self.task
        assert self.dtype is not None
        return tasks.load(self.spec, self.device, self.dtype)


class Worker:
    """A process of a pool. The task is loaded at the first call and stays.

    `fused` trains a batch as a population, otherwise its jobs one after the other.
    """

    def __init__(self, source: Source, fused: bool, threads: int) -> None:
        self.source, self.fused, self.threads = source, fused, threads
        self._engine: PopulationEngine | SerialEngine | None = None

    def ready(self) -> str:
        """Load the task; the worker's name, NODE:PID."""
        if self._engine is None:
            torch.set_num_threads(self.threads)  # decides rounding
            task = self.source.load()
            if self.fused and isinstance(task, DifferentiableTask):
                self._engine = PopulationEngine(task)
            else:
                self._engine = SerialEngine(trainer_of(task))
        return f"{socket.gethostname()}:{os.getpid()}"

    def train(self, batch: list[Assignment]) -> tuple[list[Trained], Stint]:
        """The state and metrics of each assignment, in order; states on the CPU."""
        began = time.perf_counter()
        name = self.ready()
        assert self._engine is not None
        with tuned_process():
            trained = _train(self._engine, batch, self.source.device)
        stint = Stint(
            node=socket.gethostname(),
            worker=name,
            seconds=time.perf_counter() - began,
            partition=os.environ.get("SLURM_JOB_PARTITION", ""),
            job=os.environ.get("SLURM_JOB_ID", ""),
        )
        return trained, stint


def _train(
    engine: PopulationEngine | SerialEngine, batch: list[Assignment], device: str
) -> list[Trained]:
    engine.states = StateStore()
    engine.bind(batch)
    jobs = [assignment.job for assignment in batch]
    for assignment, job in zip(batch, jobs, strict=True):
        job.state = moved(job.state, device)
        if assignment.paused is not None:
            engine.states.paused[job.search, job.trial] = moved(assignment.paused, device)
    engine.add(jobs)
    while any(job.metrics is None for job in jobs):
        engine.advance()
    trained = []
    for job in jobs:
        assert job.metrics is not None
        trained.append((moved(engine.states.paused[job.search, job.trial], "cpu"), job.metrics))
    return trained


def moved(state: Any, device: torch.device | str) -> Any:
    """A trial's state with its tensors on `device`; that of a black box as it is."""
    if isinstance(state, State):
        slots = tuple(slot.to(device) for slot in state.slots)
        return State(state.theta.to(device), slots, state.t.to(device))
    if isinstance(state, Paused):
        slots = tuple(slot.to(device) for slot in state.slots)
        average = None if state.average is None else state.average.to(device)
        return Paused(state.theta.to(device), slots, state.steps, average)
    return state
