"""What a study will cost, before it is run: work counted, seconds from a moment of each cell."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ohgw import tasks
from ohgw.core.layout import CellPlan, StudyPlan
from ohgw.engines.build import make_sampler
from ohgw.engines.engine import drive
from ohgw.engines.process import tuned_process
from ohgw.study.plan import make_searches

SAMPLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """One cell. `seconds` extrapolates from its first moments and may be off by half."""

    cell: str
    searches: int
    epochs: float  # work of all searches at most
    flops: float | None
    seconds: float


class _Enough(Exception):
    """The sample is long enough."""


@dataclass(frozen=True, slots=True)
class _Pace:
    start: float  # seconds until the first trials train: costs are counted, trials are probed
    seconds: float  # of an epoch of work from then on
    flops: float | None  # of an epoch of work


def forecast(
    plan: StudyPlan, tell: Callable[[Forecast], None] = lambda found: None
) -> list[Forecast]:
    """Run each cell for two seconds without recording anything, and extrapolate.

    Cells that differ in seeds or arms alone share a sample. For an engine on a cluster the sample,
    and so the seconds, are this process's own. Raises what a run would raise for a
    setting that cannot work.
    """
    pace: dict[tuple[str, str, int, str], _Pace] = {}
    found = []
    for cell in plan.cells:
        searches = len(cell.plan.calibration_seeds) + len(cell.plan.seeds) * len(cell.plan.arms)
        epochs = searches * cell.plan.budget
        key = (cell.plan.task, cell.plan.scheduler, cell.plan.workers, cell.plan.engine)
        if key not in pace:
            pace[key] = _sample(cell)
        found_pace = pace[key]
        flops = None if found_pace.flops is None else found_pace.flops * epochs
        seconds = found_pace.start + found_pace.seconds * epochs
        forecasted = Forecast(cell.id, searches, epochs, flops, seconds)
        tell(forecasted)
        found.append(forecasted)
    return found


def _sample(cell: CellPlan) -> _Pace:
    """What an epoch of work takes, in the company of the cell's other searches."""
    torch.set_num_threads(cell.plan.threads)
    task = tasks.load(cell.plan.task, device=cell.plan.device)
    engine = make_sampler(cell.plan.engine, task, cell.plan.workers)
    searches = make_searches(cell.plan, task, engine)
    began = time.perf_counter()
    starts: list[tuple[float, float]] = []  # seconds and share at the first turn

    def share() -> float:
        return sum(search.progress for search in searches) / len(searches)

    def on_turn() -> None:
        elapsed = time.perf_counter() - began
        if not starts:
            starts.append((elapsed, share()))
        elif elapsed - starts[0][0] > SAMPLE_SECONDS:
            raise _Enough

    with tuned_process():
        try:
            drive(searches, engine, lambda row: None, on_turn)
        except _Enough:
            pass
    start, before = starts[0]
    elapsed = time.perf_counter() - began - start
    epochs = len(searches) * cell.plan.budget
    step = engine.step_flops
    flops = None if step is None else step * engine.steps_per_unit
    return _Pace(start, elapsed / max(share() - before, 1e-6) / epochs, flops)
