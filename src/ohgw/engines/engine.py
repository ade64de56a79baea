"""What an engine is, and the loop that drives searches through one."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ohgw.core.layout import Cluster
from ohgw.core.records import Final, Report
from ohgw.engines.search import Job, Search, SearchView
from ohgw.warmstart.probe import Probe, converse

Row = Report | Final


class Engine(Protocol):
    """Trains jobs. Holds the states of paused trials, by (search, trial).

    An engine may train outstanding jobs in any order and any batching; what a trial is fed depends
    on its search's seed, its number and its epoch alone.
    """

    name: str
    steps_per_unit: int  # training steps of one resource unit, of the task's reference
    step_flops: float | None  # of one of them: the unit of work

    @property
    def probe(self) -> Probe: ...

    def bind(self, searches: Sequence[SearchView]) -> None:
        """The searches that jobs will refer to by index."""
        ...

    def add(self, jobs: Sequence[Job]) -> None:
        """Take jobs on, from `job.state`, from the paused state, or from the start."""
        ...

    def advance(self) -> None:
        """Train outstanding jobs for a moment, and set `metrics` of those that are done.

        A moment is short enough to stop between two, and always gets closer to an end. It must not
        depend on time: what is trained in one is part of what a resumed run repeats.
        """
        ...

    def keep(self, search: int, trial: int) -> None:
        """Remember the trial's present state as its search's best."""
        ...

    def forget(self, search: int, trial: int) -> None:
        """The trial will not be trained on: drop its state, unless it is its search's best."""
        ...

    def best(self, search: int) -> Any:
        """The state that was kept last, for a checkpoint; None where none was."""
        ...

    def test(self, search: int) -> dict[str, float]:
        """Metrics of the best state on the test split; empty where there is none."""
        ...

    def release(self, search: int) -> None:
        """Forget all states of a search that ended, except its best."""
        ...

    def usage(self) -> Cluster | None:
        """What was used beyond this process so far; None where there is nothing."""
        ...

    def close(self) -> None:
        """Give back what is held beyond this process; jobs that are trained there are lost."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], jobs: dict[tuple[int, int], Job]) -> None:
        """Take over; `jobs` are the searches' outstanding jobs by (search, trial)."""
        ...


def drive(
    searches: Sequence[Search],
    engine: Engine,
    on_row: Callable[[Row], None],
    on_turn: Callable[[], None],
    *,
    resumed: bool = False,
    wall: float = 0.0,
) -> None:
    """Run searches to their ends.

    `on_row` receives rows in the order of arrival. `on_turn` is called between turns, when
    searches and engine are consistent with each other and with the rows given out: the place to
    take a snapshot, to show progress, or to raise in order to stop. `wall` is the number of
    seconds that a resumed run had already taken.
    """
    began = time.perf_counter() - wall
    engine.bind(searches)
    if not resumed:
        converse(engine.probe, [(search.streams, search.prepare()) for search in searches])
    while active := [search for search in searches if not search.ended]:
        _launch(active, engine)
        delivered = False
        for search in active:
            if search.ready:
                delivered = True
                for report in search.deliver(time.perf_counter() - began):
                    best = search.incumbent
                    if best and (best.trial, best.resource) == (report.trial, report.resource):
                        engine.keep(search.index, report.trial)
                    on_row(report)
                for trial in search.scheduler.ended():
                    engine.forget(search.index, trial)
            elif search.done:
                delivered = True
                on_row(search.end(engine.test(search.index), time.perf_counter() - began))
                engine.release(search.index)
        on_turn()
        if not delivered:
            engine.advance()


def _launch(searches: Sequence[Search], engine: Engine) -> None:
    """Put idle workers to work; new trials are probed together, whichever search they are of."""
    launched = [(search, job) for search in searches for job in search.launch()]
    new = [(search, job) for search, job in launched if job.start == 0]
    proposals = converse(
        engine.probe, [(search.streams, search.propose(job)) for search, job in new]
    )
    for (search, job), proposal in zip(new, proposals, strict=True):
        search.accept(job, proposal)
    engine.add([job for _, job in launched])
