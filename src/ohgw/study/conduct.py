"""Run the cells of a study, here or in several processes, so that any stop can be resumed.

Whoever runs a cell holds its directory's lock; a cell that somebody else holds is passed over. So
two processes on one study share its cells, whether one started the other or not.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, Literal

from ohgw import tasks
from ohgw.core.errors import (
    DivergedError,
    HeldError,
    Interrupted,
    OHGWError,
    PlanMismatchError,
    StorageError,
    WorkerError,
)
from ohgw.core.layout import (
    CELLS,
    MANIFEST_NAME,
    STUDY_NAME,
    CellPlan,
    StudyPlan,
    read_plan,
    to_yaml,
)
from ohgw.engines.search import Search
from ohgw.study.plan import CALIBRATION_SEED
from ohgw.study.run import Watcher, run
from ohgw.study.store import MACHINE, Store

CALIBRATION = "calibration"  # stands among the arms of a cell's progress
_POLL = 0.2  # seconds


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a cell is: the share of its budget that is spent, in all and by arm."""

    cell: str
    state: Literal["running", "finished", "diverged"]
    share: float = 0.0
    arms: Mapping[str, float] | None = None
    best: float | None = None


Tell = Callable[[Progress], None]
Stopping = Callable[[], bool]


def begin(plan: StudyPlan, directory: Path, *, resume: bool) -> StudyPlan:
    """Write the plan of a new study, or check that of the one to go on with, and return it.

    Raises `StorageError` where the directory holds a study and `resume` was not asked for, and
    `PlanMismatchError` naming the first difference to the study that is there.
    """
    with Store(directory).held() as store:
        if not (directory / STUDY_NAME).exists():
            text = to_yaml(plan).encode()
            store.write(STUDY_NAME, lambda file: file.write(text))
            return plan
    if not resume:
        raise StorageError(
            f"{directory} already holds a study. Continue it with --resume, or choose another "
            "--results-dir."
        )
    found = read_plan(directory)
    content = {"title": plan.title, "description": plan.description, "overrides": plan.overrides}
    theirs = found.model_copy(update=content).model_dump()
    difference = _difference(theirs, plan.model_dump())
    if difference is not None:
        place, old, new = difference
        raise PlanMismatchError(
            f"{directory} was started with {place} = {old!r}, this run has {new!r}. Resume with "
            "the settings it was started with, or choose another --results-dir."
        )
    return found


def conduct(
    plan: StudyPlan,
    directory: Path,
    *,
    jobs: int = 1,
    tell: Tell = lambda progress: None,
    stopping: Stopping = lambda: False,
) -> None:
    """Run every cell of `plan`, which `begin` has put into `directory`, that is not complete.

    With `jobs` > 1 that many processes share the cells. Raises `Interrupted` once `stopping` says
    so, `HeldError` where a process of somebody else still runs a cell, `DivergedError` naming the
    cells in which nothing was finite, after all others have run.
    """
    open_cells = [cell for cell in plan.cells if not _complete(cell, directory)]
    jobs = min(jobs, len(open_cells))
    if jobs <= 1:
        diverged = _run_cells(open_cells, directory, tell, stopping)
    else:
        diverged = _run_in_processes(directory, jobs, tell, stopping)
    held = [cell.id for cell in plan.cells if not _complete(cell, directory)]
    if held:
        raise HeldError(
            f"{directory}: {len(held)} cells are being run by another process "
            f"({', '.join(held[:3])}{' ...' if len(held) > 3 else ''}). Wait for it, then resume."
        )
    if diverged:
        raise DivergedError(
            f"In {len(diverged)} cells no score was finite: {', '.join(diverged)}. The others are "
            "complete. Lower the upper bounds of their spaces, or check their data."
        )


def _complete(cell: CellPlan, directory: Path) -> bool:
    return (directory / CELLS / cell.id / MANIFEST_NAME).exists()


def _run_cells(
    cells: Sequence[CellPlan],
    directory: Path,
    tell: Tell,
    stopping: Stopping,
) -> list[str]:
    """Run what nobody else runs; returns the cells in which everything diverged."""
    diverged = []
    for cell in cells:
        if stopping():
            raise Interrupted(directory)
        if _complete(cell, directory):  # by another process meanwhile
            continue
        state: Literal["finished", "diverged"] = "finished"
        try:
            run(
                cell.plan,
                tasks.load(cell.plan.task, cell.plan.device),
                directory / CELLS / cell.id,
                resume=True,
                watcher=_watcher(cell.id, tell, stopping),
                memory=True,
            )
        except HeldError:
            continue
        except Interrupted:
            raise Interrupted(directory) from None
        except DivergedError:
            diverged.append(cell.id)
            state = "diverged"
        tell(Progress(cell.id, state, 1.0))
    return diverged


def _watcher(cell: str, tell: Tell, stopping: Stopping) -> Watcher:
    def on_turn(searches: Sequence[Search]) -> None:
        arms: dict[str, list[float]] = {}
        for search in searches:
            name = CALIBRATION if search.seed >= CALIBRATION_SEED else search.arm.label
            arms.setdefault(name, []).append(search.progress)
        scores = [search.incumbent.score for search in searches if search.incumbent]
        best = None
        if scores:
            best = min(scores) if searches[0].metric.mode == "min" else max(scores)
        shares = {name: sum(values) / len(values) for name, values in arms.items()}
        mean = sum(search.progress for search in searches) / len(searches)
        tell(Progress(cell, "running", mean, shares, best))

    return Watcher(on_turn=on_turn, stopping=stopping)


def _run_in_processes(directory: Path, jobs: int, tell: Tell, stopping: Stopping) -> list[str]:
    """Each process has a pipe of its own: one that is killed while it writes blocks no other."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    workers: dict[Any, Any] = {}  # the end to read from -> its process
    with _one_thread_each():
        for _ in range(jobs):
            reading, writing = context.Pipe(duplex=False)
            worker = context.Process(target=_worker, args=(directory, writing, stop, os.getpid()))
            worker.start()
            writing.close()  # the process has its own; without ours, its end is heard
            workers[reading] = worker
    diverged: list[str] = []
    failures: list[OHGWError] = []
    died: list[int] = []
    waiting = set(workers)
    while waiting:
        if stopping():
            stop.set()
        heard: list[Any] = list(connection.wait(list(waiting), timeout=_POLL))
        for reading in heard:
            try:
                message = reading.recv()
            except EOFError:
                waiting.discard(reading)
                workers[reading].join()
                died.append(workers[reading].exitcode)
                stop.set()
                continue
            if isinstance(message, Progress):
                tell(message)
                continue
            waiting.discard(reading)
            found, failure = message
            diverged += found
            if failure is not None:
                failures.append(failure)
                stop.set()
    for worker in workers.values():
        worker.join()
    if died:
        raise WorkerError(
            f"A process of the study in {directory} ended with status {died[0]}. What was computed "
            "is kept: resume it, with fewer --jobs if memory ran out."
        )
    if failures:
        raise next((f for f in failures if not isinstance(f, Interrupted)), failures[0])
    return diverged


def _worker(directory: Path, parent_end: Any, stop: Any, parent: int) -> None:
    """A process of a study; ends with one message (diverged cells, failure or None)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and says when to stop
    last: dict[str, float] = {}

    def tell(progress: Progress) -> None:
        if progress.state != "running" or progress.share - last.get(progress.cell, -1.0) > 0.002:
            last[progress.cell] = progress.share
            with suppress(BrokenPipeError):  # of a killed parent: `stopping` says so next
                parent_end.send(progress)

    def stopping() -> bool:
        return bool(stop.is_set()) or os.getppid() != parent  # a killed parent cannot say

    failure: OHGWError | None = None
    diverged: list[str] = []
    try:
        cells = read_plan(directory).cells
        diverged = _run_cells(cells, directory, tell, stopping)
    except OHGWError as error:
        failure = error
    with suppress(BrokenPipeError):
        parent_end.send((diverged, failure))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children inherit a single thread for their libraries: they share the cores already."""
    name = "OMP_NUM_THREADS"
    before = os.environ.get(name)
    os.environ.setdefault(name, "1")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)


def _difference(theirs: Any, ours: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """The first place at which two plans differ, with both values."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in [*theirs, *(k for k in ours if k not in theirs)]:
            if key in MACHINE:
                continue
            inner = f"{place}.{key}" if place else str(key)
            found = _difference(theirs.get(key), ours.get(key), inner)
            if found is not None:
                return found
        return None
    if isinstance(theirs, list | tuple) and isinstance(ours, list | tuple):
        if len(theirs) == len(ours):
            for index, (a, b) in enumerate(zip(theirs, ours, strict=True)):
                found = _difference(a, b, f"{place}[{index}]")
                if found is not None:
                    return found
            return None
        return f"length of {place}", len(theirs), len(ours)
    return None if theirs == ours else (place, theirs, ours)
