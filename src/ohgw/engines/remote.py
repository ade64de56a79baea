"""An engine whose training happens elsewhere: jobs go to a pool of workers, states come back.

The driver keeps all paused states, so whatever happens to a worker, a job can start again from
where its trial had paused; snapshots, probes and test scores are the driver's too. A worker trains
a *batch* of at most `lanes` jobs with a local engine, and knows nothing of searches.

Which jobs make a batch must not depend on which worker answers first: how many rows a population
has decides rounding. The jobs of one search go together where they were launched at one moment of
its virtual clock. With more lanes than a search has workers, several searches make a *cohort*,
which takes its jobs in rounds: all that wait once nothing of the cohort is out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple, Protocol

from ohgw.core.errors import SettingError, WorkerError
from ohgw.core.layout import Cluster, Loss
from ohgw.core.protocols import BlackBoxTask, DifferentiableTask
from ohgw.engines.search import Job, SearchView
from ohgw.engines.serial import SerialEngine, trainer_of
from ohgw.engines.states import Key
from ohgw.engines.worker import Assignment, Stint, Trained, moved

PATIENCE = 0.5  # seconds that a turn waits for results before somebody may ask it to stop


class Done(NamedTuple):
    """A batch was trained: `trained` has an entry for each of its assignments, in order."""

    ticket: int
    trained: list[Trained]
    stint: Stint


class Lost(NamedTuple):
    """A worker is gone, and with it the batch it had; None where it had none."""

    ticket: int | None
    worker: str
    reason: str


class Pool(Protocol):
    """Workers somewhere. Every batch that is submitted comes back from `wait`, done or lost.

    An exception that training raised is raised by `wait`.
    """

    name: str
    gpus: float  # that a worker holds

    def submit(self, ticket: int, batch: list[Assignment]) -> None: ...

    def wait(self, seconds: float) -> list[Done | Lost]:
        """What came back; waits up to so many seconds until something does."""
        ...

    def close(self) -> None:
        """Give all workers back; what they were training is lost."""
        ...


@dataclass
class _Usage:
    """What was used of the cluster so far, over all interruptions."""

    nodes: set[str] = field(default_factory=set)
    workers: set[str] = field(default_factory=set)
    partitions: set[str] = field(default_factory=set)
    jobs: set[str] = field(default_factory=set)
    seconds: float = 0.0
    losses: list[dict[str, Any]] = field(default_factory=list)

    def add(self, stint: Stint) -> None:
        self.nodes.add(stint.node)
        self.workers.add(stint.worker)
        self.seconds += stint.seconds
        self.partitions |= {stint.partition} - {""}
        self.jobs |= {stint.job} - {""}


class RemoteEngine(SerialEngine):
    """Hands outstanding jobs to a pool in batches of at most `lanes`.

    A batch whose worker is lost is handed out again, `retries` times at most; then `WorkerError`.
    """

    def __init__(
        self, task: DifferentiableTask | BlackBoxTask, pool: Pool, *, lanes: int, retries: int
    ) -> None:
        super().__init__(trainer_of(task))
        self.name, self.pool, self.lanes, self.retries = pool.name, pool, lanes, retries
        self._discrete = task.space.discrete if isinstance(task, DifferentiableTask) else ()
        self._device = getattr(task, "device", "cpu")
        self._cohorts: list[Sequence[SearchView]] = []
        self._out: dict[int, list[Job]] = {}  # by ticket
        self._tickets = count()
        self._losses: Counter[int | None] = Counter()  # by ticket, of what is not done yet
        self._usage = _Usage()

    def bind(self, searches: Sequence[SearchView]) -> None:
        super().bind(searches)
        several = max(1, self.lanes // max(search.workers for search in searches))
        firsts = range(0, len(searches), several)
        self._cohorts = [searches[first : first + several] for first in firsts]

    def advance(self) -> None:
        for batch in self._batches():
            self._hand_out(batch)
        if not self._out:
            return
        for event in self.pool.wait(PATIENCE):
            if isinstance(event, Done):
                self._take_in(event)
            else:
                self._replace(event)

    def _batches(self) -> Iterator[list[Job]]:
        """What can be handed out now; see the module's docstring."""
        out = {_key(job) for batch in self._out.values() for job in batch}
        for cohort in self._cohorts:
            jobs = [job for s in cohort for job in s.jobs.values() if job.metrics is None]
            waiting = [job for job in jobs if _key(job) not in out]
            alone = len(cohort) == 1
            if not alone and len(waiting) < len(jobs):
                continue
            together: dict[float, list[Job]] = defaultdict(list)
            for job in sorted(waiting, key=self._order):
                together[job.begin if alone else 0.0].append(job)
            for group in together.values():
                for first in range(0, len(group), self.lanes):
                    yield group[first : first + self.lanes]

    def _order(self, job: Job) -> tuple[list[str], int, int]:
        """Jobs of one variant side by side, since they are rows of one program."""
        configuration = self.searches[job.search].trials[job.trial].configuration
        return [repr(configuration[name]) for name in self._discrete], job.search, job.worker

    def _hand_out(self, batch: list[Job], ticket: int | None = None) -> None:
        ticket = next(self._tickets) if ticket is None else ticket
        self._out[ticket] = batch
        self.pool.submit(ticket, [self._assignment(row, job) for row, job in enumerate(batch)])

    def _assignment(self, row: int, job: Job) -> Assignment:
        search = self.searches[job.search]
        return Assignment(
            job=replace(job, search=row, state=moved(job.state, "cpu")),
            configuration=search.trials[job.trial].configuration,
            streams=search.streams,
            recipe=search.recipe,
            metric=search.metric,
            paused=moved(self.states.paused.get(_key(job)), "cpu"),
        )

    def _take_in(self, done: Done) -> None:
        for job, (state, metrics) in zip(self._out.pop(done.ticket), done.trained, strict=True):
            self.states.paused[_key(job)] = moved(state, self._device)
            job.state, job.done, job.metrics = None, job.steps, metrics
        for settled in (done.ticket, None):
            self._losses.pop(settled, None)
        self._usage.add(done.stint)

    def _replace(self, lost: Lost) -> None:
        batch = [] if lost.ticket is None else self._out[lost.ticket]
        self._usage.losses.append(
            {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "worker": lost.worker,
                "reason": lost.reason,
                "trials": [self._name(job) for job in batch],
            }
        )
        self._losses[lost.ticket] += 1
        if self._losses[lost.ticket] > self.retries:
            what = ", ".join(self._name(job) for job in batch) or "starting"
            raise WorkerError(
                f"Engine {self.name!r} lost a worker {self.retries + 1} times at {what}; the last "
                f"was {lost.worker} ({lost.reason}). Give a worker more memory, or allow more "
                "retries; --resume goes on from the last snapshot."
            )
        if lost.ticket is not None:
            self._hand_out(batch, lost.ticket)

    def _name(self, job: Job) -> str:
        return f"{self.searches[job.search].name} trial {job.trial} to {job.resource}"

    def usage(self) -> Cluster:
        used = self._usage
        return Cluster(
            engine=self.name,
            nodes=tuple(sorted(used.nodes)),
            workers=len(used.workers),
            worker_seconds=used.seconds,
            gpu_hours=used.seconds * self.pool.gpus / 3600,
            partition=",".join(sorted(used.partitions)) or None,
            jobs=tuple(sorted(used.jobs)),
            losses=tuple(Loss(**loss) for loss in used.losses),
        )

    def close(self) -> None:
        self.pool.close()

    def state_dict(self) -> dict[str, Any]:
        out = [[_key(job) for job in batch] for batch in self._out.values()]
        return super().state_dict() | {"out": out, "usage": asdict(self._usage)}

    def load_state_dict(self, state: dict[str, Any], jobs: dict[Key, Job]) -> None:
        super().load_state_dict(state, jobs)
        self._usage = _Usage(**state["usage"])
        for batch in state["out"]:  # as they were: see `_batches`
            self._hand_out([jobs[key] for key in batch])


def check_pool(engine: str, workers: Any, lanes: Any, retries: Any) -> None:
    """Raise `SettingError` for a setting that every pool has and that cannot work."""
    for name, value, least in (
        ("workers", workers, 0),
        ("lanes", lanes, 1),
        ("retries", retries, 0),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise SettingError(
                f"{name}={value!r} of engine {engine!r} must be a whole number from {least}."
            )


def first_line(error: BaseException) -> str:
    """Of a message that may be long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".?!") if lines else type(error).__name__


def _key(job: Job) -> Key:
    return job.search, job.trial
