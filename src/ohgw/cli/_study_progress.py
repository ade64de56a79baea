"""Progress of a study: bars for people, JSON lines for logs, and Ctrl-C."""

import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ohgw.core.layout import StudyPlan
from ohgw.study import conduct

Mode = Literal["bars", "lines", "none"]
LINE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Observer:
    """What `conduct` is given: where progress goes, and whether somebody asked to stop."""

    tell: conduct.Tell
    stopping: conduct.Stopping


@contextmanager
def observing(plan: StudyPlan, complete: set[str], mode: Mode) -> Iterator[Observer]:
    """Shows a bar for the study and one for each arm of the cells that run.

    A cell counts by its searches times their budget. The first Ctrl-C stops the study at the next
    turn of each cell, the second at once; what the last snapshots hold is kept.
    """
    asked = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, previous)

    weights = {
        cell.id: cell.plan.budget
        * (len(cell.plan.calibration_seeds) + len(cell.plan.seeds) * len(cell.plan.arms))
        for cell in plan.cells
    }
    done = {cell: float(cell in complete) for cell in weights}
    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        with _lines(weights, done) if mode == "lines" else _bars(plan, weights, done, mode) as tell:
            yield Observer(tell, lambda: asked)
    finally:
        signal.signal(signal.SIGINT, previous)


def _total(weights: Mapping[str, float], done: Mapping[str, float]) -> float:
    return sum(weights[cell] * done[cell] for cell in weights) / sum(weights.values())


@contextmanager
def _bars(
    plan: StudyPlan, weights: Mapping[str, float], done: dict[str, float], mode: Mode
) -> Iterator[conduct.Tell]:
    progress = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("[cyan]{task.fields[facts]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=mode == "none",
    )
    epochs = sum(weights.values())
    whole = progress.add_task(plan.name, total=1.0, facts="")
    progress.update(whole, completed=_total(weights, done))
    rows: dict[str, dict[str, TaskID]] = {}

    def tell(found: conduct.Progress) -> None:
        done[found.cell] = found.share
        finished = sum(share == 1.0 for share in done.values())
        left = (1 - _total(weights, done)) * epochs
        facts = f"{finished} of {len(done)} cells, {left:.0f} epochs of work left"
        progress.update(whole, completed=_total(weights, done), facts=facts)
        if found.state != "running":
            for row in rows.pop(found.cell, {}).values():
                progress.remove_task(row)
            if mode == "bars":
                progress.console.print(f"{found.cell} {found.state}", style="dim", highlight=False)
            return
        mine = rows.setdefault(found.cell, {})
        if found.cell not in mine:
            mine[found.cell] = progress.add_task(found.cell, total=1.0, facts="")
        best = "" if found.best is None else f"best {found.best:.4f}"
        progress.update(mine[found.cell], completed=found.share, facts=best)
        for arm, share in (found.arms or {}).items():
            if arm not in mine:
                mine[arm] = progress.add_task(f"  {arm}", total=1.0, facts="")
            progress.update(mine[arm], completed=share)

    with progress:
        yield tell


@contextmanager
def _lines(weights: Mapping[str, float], done: dict[str, float]) -> Iterator[conduct.Tell]:
    """One JSON object a line on standard error: every few seconds, and when a cell ends."""
    began, first = time.monotonic(), _total(weights, done)
    said: dict[str, float] = {}

    def put(**content: object) -> None:
        print(json.dumps(content), file=sys.stderr, flush=True)

    def tell(found: conduct.Progress) -> None:
        done[found.cell] = found.share
        now = time.monotonic()
        if found.state == "running" and now - said.get(found.cell, -LINE_SECONDS) < LINE_SECONDS:
            return
        said[found.cell] = now
        total = _total(weights, done)
        pace = (total - first) / (now - began) if now > began else 0.0
        left = None if pace <= 0 else round((1 - total) / pace, 1)
        put(**asdict(found), total=round(total, 6), seconds_left=left)

    yield tell
