"""A population on several cores: its lanes in shards, one in this process and one in each fork.

All shards take their turns side by side, and jobs are dealt out between turns, to the shard with
the fewest lanes. Which lanes train side by side, and so how they round, is then decided by the
searches alone, never by which process is faster: a search repeats bit for bit, and goes on after
an interruption as if there had been none.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from ohgw.core.errors import SettingError
from ohgw.core.protocols import DifferentiableTask, Metric
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.engines.child import Child
from ohgw.engines.population import PopulationEngine
from ohgw.engines.search import Incumbent, Job, SearchView, TrialRecord
from ohgw.engines.states import Key, Paused
from ohgw.training.recipes import Recipe

TURN_STEPS = 8  # a lane that is done waits for the end of its turn


class Handed(NamedTuple):
    """A job on its way to a fork."""

    job: Job
    configuration: Configuration
    paused: Paused | None  # None at the trial's start


class Turn(NamedTuple):
    """What a turn of a fork brought: steps taken by job, and the jobs that are done."""

    steps: dict[Key, int]
    finished: list[tuple[Key, Paused, dict[str, float]]]


class ShardedEngine(PopulationEngine):
    """A population in `processes` processes; this one has the probes and all paused states.

    Forks share the task's data with this process: a shard costs the memory of its lanes.
    """

    def __init__(self, task: DifferentiableTask, processes: int) -> None:
        if task.device.type != "cpu":
            raise SettingError(
                f"processes={processes!r} of engine 'population' is for the cores of a CPU. On "
                f"{task.device} leave it out: one process has all lanes."
            )
        super().__init__(task)
        self._processes = processes
        self._forks: list[Child] = []
        self._shard: dict[Key, int] = {}  # of outstanding jobs; 0 is this process

    def add(self, jobs: Sequence[Job]) -> None:
        if jobs and not self._forks:
            self._start()
        dealt: dict[int, list[Job]] = defaultdict(list)
        lanes = Counter(self._shard.values())
        for job in jobs:
            shard = min(range(self._processes), key=lambda shard: lanes[shard])
            lanes[shard] += 1
            self._shard[_key(job)] = shard
            dealt[shard].append(job)
        for shard, theirs in dealt.items():
            if shard == 0:
                super().add(theirs)
            else:
                self._forks[shard - 1].ask("add", [self._handed(job) for job in theirs])

    def _start(self) -> None:
        self._forks = [
            Child(
                "fork",
                partial(_Shard, self.task, self.searches),
                threads=1,  # of a pool of threads, none survives a fork
                engine=self.name,
                advice="If memory ran out, give it fewer workers or a single process.",
            )
            for _ in range(self._processes - 1)
        ]

    def _handed(self, job: Job) -> Handed:
        paused = self.states.paused.pop(_key(job)) if job.start > 0 else None
        return Handed(job, self._configuration(job.search, job.trial), paused)

    def advance(self) -> None:
        busy = set(self._shard.values())
        asked = [fork for shard, fork in enumerate(self._forks, 1) if shard in busy]
        for fork in asked:
            fork.ask("turn")
        _take_turn(self)
        jobs = {_key(job): job for search in self.searches for job in search.jobs.values()}
        for fork in asked:
            turn: Turn = fork.answer()
            for key, steps in turn.steps.items():
                jobs[key].done = steps
            for key, paused, metrics in turn.finished:
                self.states.paused[key] = paused
                jobs[key].metrics = metrics
        self._shard = {k: shard for k, shard in self._shard.items() if jobs[k].metrics is None}

    def close(self) -> None:
        for fork in self._forks:
            fork.close()
        self._forks = []

    def state_dict(self) -> dict[str, Any]:
        for fork in self._forks:
            fork.ask("state")
        forks = [fork.answer() for fork in self._forks]
        return super().state_dict() | {"forks": forks, "shard": dict(self._shard)}

    def load_state_dict(self, state: dict[str, Any], jobs: dict[Key, Job]) -> None:
        super().load_state_dict(state, jobs)
        self._shard = state["shard"]
        if state["forks"]:
            self._start()
        for fork, theirs in zip(self._forks, state["forks"], strict=True):
            fork.ask("resume", theirs)


@dataclass
class _Part:
    """What a fork knows of a search: all that does not change, and the trials that it has."""

    name: str
    streams: Streams
    recipe: Recipe
    metric: Metric
    workers: int
    jobs: dict[int, Job] = field(default_factory=dict)  # by trial
    trials: dict[int, TrialRecord] = field(default_factory=dict)
    incumbent: Incumbent | None = None

    @classmethod
    def of(cls, search: SearchView) -> "_Part":
        return cls(search.name, search.streams, search.recipe, search.metric, search.workers)


class _Shard:
    """The lanes of a fork. Its methods are the commands; those that return something answer."""

    def __init__(self, task: DifferentiableTask, searches: Sequence[SearchView]) -> None:
        self.engine = PopulationEngine(task)
        self.parts = [_Part.of(search) for search in searches]
        self.engine.bind(self.parts)

    def add(self, handed: list[Handed]) -> None:
        for job, configuration, paused in handed:
            self._hold(job, configuration)
            if paused is not None:
                self.engine.states.paused[_key(job)] = paused
        self.engine.add([job for job, _, _ in handed])

    def _hold(self, job: Job, configuration: Configuration) -> None:
        part = self.parts[job.search]
        part.jobs[job.trial] = job
        part.trials[job.trial] = TrialRecord(configuration, configuration, {})

    def turn(self) -> Turn:
        _take_turn(self.engine)
        jobs = [job for part in self.parts for job in part.jobs.values()]
        finished = []
        for job in jobs:
            if job.metrics is not None:
                finished.append((_key(job), self.engine.states.paused.pop(_key(job)), job.metrics))
                del self.parts[job.search].jobs[job.trial]
                del self.parts[job.search].trials[job.trial]
        return Turn({_key(job): job.done for job in jobs}, finished)

    def state(self) -> tuple[dict[str, Any], list[tuple[Job, Configuration]]]:
        held = [
            (job, part.trials[job.trial].configuration)
            for part in self.parts
            for job in part.jobs.values()
        ]
        return self.engine.state_dict(), held

    def resume(self, state: tuple[dict[str, Any], list[tuple[Job, Configuration]]]) -> None:
        engine, held = state
        for job, configuration in held:
            self._hold(job, configuration)
        self.engine.load_state_dict(engine, {_key(job): job for job, _ in held})


def _take_turn(engine: PopulationEngine) -> None:
    """As many steps in every shard, so that none waits for another."""
    for _ in range(TURN_STEPS):
        engine.tick()


def _key(job: Job) -> Key:
    return job.search, job.trial
