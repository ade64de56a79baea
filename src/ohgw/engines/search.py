"""One search under a virtual clock: a scheduler, a method, W workers and a budget.

The clock counts work, in train-step equivalents. A job takes as long as its steps and its probe;
workers run side by side in virtual time, whatever runs where in real time, so a search gives the
same trials, promotions and scores on every engine. At equal times reports come before asks.

    for search: launch -> [Job] -> (proposals, training) -> ready -> deliver -> [Report] -> launch
"""

from collections.abc import Generator
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any, Protocol

from ohgw.core.errors import SettingError
from ohgw.core.protocols import Metric, Scheduler
from ohgw.core.records import Arm, Final, Report
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration, Suggestion
from ohgw.training.recipes import Recipe
from ohgw.warmstart.method import Method, Proposal, Request, Sweep

TICK = 6  # decimals of a training step at which two finishing times are the same


@dataclass(slots=True)
class Job:
    """One worker trains one trial from one resource to another."""

    search: int  # index of the search it belongs to
    worker: int
    trial: int
    start: int
    resource: int
    steps: int  # training steps from start to resource
    begin: float  # virtual time
    probe_work: float  # beyond training; the method's price until its proposal says what it was
    step_work: float = 1.0  # of one of its steps, in those of the reference
    done: int = 0  # of `steps`, for progress
    metrics: dict[str, float] | None = None  # validation metrics, once trained
    state: Any = field(default=None, repr=False)  # where a probe left off; None: not started there

    @property
    def work(self) -> float:
        return self.probe_work + self.steps * self.step_work

    @property
    def finish(self) -> float:
        return round(self.begin + self.work, TICK)


@dataclass(slots=True)
class TrialRecord:
    """What is known about a trial besides its states."""

    proposed: Configuration  # x
    configuration: Configuration  # x'
    diagnostics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The best report so far."""

    trial: int
    resource: int
    score: float
    metrics: dict[str, float]


class SearchView(Protocol):
    """What an engine needs to know of a search in order to train its jobs."""

    @property
    def name(self) -> str: ...
    @property
    def streams(self) -> Streams: ...
    @property
    def recipe(self) -> Recipe: ...
    @property
    def metric(self) -> Metric: ...
    @property
    def workers(self) -> int: ...
    @property
    def jobs(self) -> dict[int, Job]: ...
    @property
    def trials(self) -> dict[int, TrialRecord]: ...
    @property
    def incumbent(self) -> Incumbent | None: ...


class Search:
    """Scheduler, method and recipe of one arm and one seed; knows no tensors."""

    def __init__(
        self,
        index: int,
        arm: Arm,
        scheduler: Scheduler,
        method: Method,
        recipe: Recipe,
        sweep: Sweep,
        metric: Metric,
        *,
        workers: int,
        budget: float,
    ) -> None:
        """`budget` in train-step equivalents."""
        self.index, self.arm = index, arm
        self.scheduler, self.method, self.recipe = scheduler, method, recipe
        self.sweep, self.metric = sweep, metric
        self.workers, self.budget = workers, budget
        self.now = 0.0
        self.committed = 0.0  # work of all jobs launched
        self.jobs: dict[int, Job] = {}  # by worker
        self.trials: dict[int, TrialRecord] = {}
        self.incumbent: Incumbent | None = None
        self.closed = False  # nothing more fits into the budget
        self.ended = False  # and the closing row is written
        self.finished_work = 0.0
        self.probe_work = 0.0
        self.reports = self.diverged = 0

    @property
    def name(self) -> str:
        """As a reader of the record finds it."""
        return f"{self.arm.label} seed {self.seed}"

    @property
    def streams(self) -> Streams:
        return self.sweep.streams

    @property
    def seed(self) -> int:
        return self.streams.seed

    @property
    def steps_per_unit(self) -> int:
        """Training steps of a resource unit of the reference."""
        return self.sweep.steps_per_unit

    @property
    def done(self) -> bool:
        return self.closed and not self.jobs

    def prepare(self) -> Generator[Request, Any, None]:
        """The method's preparation, to be run once before the first launch."""
        return self.method.prepare(self.sweep)

    def launch(self) -> list[Job]:
        """Jobs for the idle workers, as long as they fit into the budget.

        A new trial's job still needs its proposal: see `propose`.
        """
        launched = []
        for worker in range(self.workers):
            if self.closed:
                break
            if worker in self.jobs:
                continue
            suggestion = self.scheduler.ask()
            job = self._job(worker, suggestion)
            if self.committed + job.work > self.budget + 10**-TICK:
                # The clock would run out under this job, and no report would come of it.
                self.closed = True
                break
            self.committed += job.work
            self.jobs[worker] = job
            launched.append(job)
        return launched

    def _job(self, worker: int, suggestion: Suggestion) -> Job:
        if suggestion.is_new:
            x = suggestion.configuration
            self.trials[suggestion.trial] = TrialRecord(x, x, {})
        sweep = self.sweep.at(self.trials[suggestion.trial].configuration)
        return Job(
            search=self.index,
            worker=worker,
            trial=suggestion.trial,
            start=suggestion.start,
            resource=suggestion.resource,
            steps=(suggestion.resource - suggestion.start) * sweep.steps_per_unit,
            begin=self.now,
            probe_work=self.method.price(sweep) if suggestion.is_new else 0.0,
            step_work=sweep.step_work,
        )

    def propose(self, job: Job) -> Generator[Request, Any, Proposal]:
        """The method's conversation about a new trial."""
        x = self.trials[job.trial].proposed
        return self.method.propose(self.sweep.at(x), job.trial, x)

    def accept(self, job: Job, proposal: Proposal) -> None:
        """Train x' instead of x, and charge what finding it cost.

        Raises `SettingError` where x' is of another variant: its training was priced for that of x.
        """
        record = self.trials[job.trial]
        for name in self.sweep.held:
            old, new = record.proposed[name], proposal.configuration[name]
            if old != new:
                raise SettingError(
                    f"Method {self.arm.method!r} changed {name} from {old!r} to {new!r}, which "
                    "has no derivative and is not its to change. A proposal keeps `Sweep.held`."
                )
        record.diagnostics = proposal.diagnostics
        if proposal.configuration != record.proposed:
            record.configuration = proposal.configuration
            self.scheduler.amend(job.trial, proposal.configuration)
        job.state, steps_done = proposal.state, proposal.steps_done
        if steps_done >= job.steps:  # the probe went beyond the first rung, which would be missed
            job.state, steps_done = None, 0
        # Steps that the probe took on the trained state are training, done early.
        extra = proposal.work - steps_done * job.step_work
        self.committed += extra - job.probe_work
        self.probe_work += extra
        job.probe_work = extra

    def work(self) -> float:
        """Work done until now, that of unfinished jobs in proportion."""
        return self.finished_work + sum(self.now - job.begin for job in self.jobs.values())

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, unfinished jobs included; 1 once nothing more fits."""
        if self.done:
            return 1.0
        spent = self.finished_work + sum(
            job.probe_work + job.done * job.step_work for job in self.jobs.values()
        )
        return min(spent / self.budget, 1.0)

    @property
    def ready(self) -> bool:
        """True where the next jobs to finish in virtual time have been trained."""
        if not self.jobs:
            return False
        head = min(job.finish for job in self.jobs.values())
        return all(job.metrics is not None for job in self.jobs.values() if job.finish == head)

    def deliver(self, wall: float) -> list[Report]:
        """Advance the clock to the next finishing time and tell the scheduler what arrived."""
        self.now = min(job.finish for job in self.jobs.values())
        arrived = sorted(
            (job for job in self.jobs.values() if job.finish == self.now),
            key=lambda job: job.worker,
        )
        for job in arrived:
            del self.jobs[job.worker]
            self.finished_work += job.work
        work = self.work()
        return [self._report(job, work, wall) for job in arrived]

    def _report(self, job: Job, work: float, wall: float) -> Report:
        assert job.metrics is not None
        value = job.metrics[self.metric.name]
        score = value if isfinite(value) else None
        record = self.trials[job.trial]
        self.scheduler.tell(job.trial, job.resource, self.metric.worst if score is None else score)
        self.method.observe(job.trial, record.configuration, job.resource, self.metric.loss(score))
        self.reports += 1
        if score is None:
            self.diverged += 1
        elif self.incumbent is None or self.metric.better(score, self.incumbent.score):
            self.incumbent = Incumbent(job.trial, job.resource, score, job.metrics)
        return Report(
            search=self.arm.label,
            seed=self.seed,
            trial=job.trial,
            worker=job.worker,
            start=job.start,
            resource=job.resource,
            score=score,
            metrics=_finite(job.metrics),
            work=work,
            job_work=job.work,
            probe_work=job.probe_work,
            wall=wall,
            proposed=record.proposed,
            configuration=record.configuration,
            diagnostics=record.diagnostics if job.start == 0 else {},
        )

    def end(self, test: dict[str, float], wall: float) -> Final:
        """The closing row; `test` holds the incumbent's metrics on the test split."""
        self.ended = True
        best = self.incumbent
        return Final(
            search=self.arm.label,
            seed=self.seed,
            trial=best.trial if best else None,
            resource=best.resource if best else None,
            score=best.score if best else None,
            metrics=_finite(test),
            configuration=self.trials[best.trial].configuration if best else {},
            work=self.finished_work,
            probe_work=self.probe_work,
            trials=len(self.trials),
            reports=self.reports,
            diverged=self.diverged,
            wall=wall,
        )

    _PLAIN = (
        "now",
        "committed",
        "closed",
        "ended",
        "finished_work",
        "probe_work",
        "reports",
        "diverged",
    )

    def state_dict(self) -> dict[str, Any]:
        """Everything but what the plan says; states of jobs are the engine's to keep."""
        return {
            "plain": {name: getattr(self, name) for name in self._PLAIN},
            "jobs": [asdict(replace(job, state=None)) for job in self.jobs.values()],
            "trials": {trial: asdict(record) for trial, record in self.trials.items()},
            "incumbent": asdict(self.incumbent) if self.incumbent else None,
            "scheduler": self.scheduler.state_dict(),
            "method": self.method.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self._PLAIN:
            setattr(self, name, state["plain"][name])
        self.jobs = {job["worker"]: Job(**job) for job in state["jobs"]}
        self.trials = {trial: TrialRecord(**record) for trial, record in state["trials"].items()}
        self.incumbent = Incumbent(**state["incumbent"]) if state["incumbent"] else None
        self.scheduler.load_state_dict(state["scheduler"])
        self.method.load_state_dict(state["method"])


def _finite(metrics: dict[str, float]) -> dict[str, float | None]:
    return {name: value if isfinite(value) else None for name, value in metrics.items()}
