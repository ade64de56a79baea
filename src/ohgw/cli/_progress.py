"""Live progress of a run, and Ctrl-C."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ohgw.engines.build import resolve_device
from ohgw.engines.search import Search
from ohgw.study.plan import CALIBRATION_SEED
from ohgw.study.run import Watcher

REFRESH = 0.2  # seconds


class _Facts(ProgressColumn):
    """Trials, reports and the best score so far."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("facts", "")), style="cyan")


@contextmanager
def watching(quiet: bool, device: str) -> Iterator[Watcher]:
    """A watcher that shows one bar per arm (none when `quiet`), and stops at the first Ctrl-C.

    Says first which device was picked, and why. Raises `SettingError` where it is not there.
    A second Ctrl-C ends the process at once; what the last snapshot holds is kept.
    """
    asked = False
    console = Console(stderr=True)
    name, reason = resolve_device(device)
    if not quiet:
        console.print(f"Device: {name} ({reason})", highlight=False)

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, on_signal)
    progress = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        _Facts(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet,
    )
    bars: dict[str, TaskID] = {}
    groups: dict[str, list[Search]] = {}
    shown = 0.0

    def on_start(searches: Sequence[Search]) -> None:
        for search in searches:
            calibrating = search.seed >= CALIBRATION_SEED
            name = "calibration" if calibrating else search.arm.label
            groups.setdefault(name, []).append(search)
        for name in groups:
            bars[name] = progress.add_task(name, total=1.0)

    def on_turn(searches: Sequence[Search]) -> None:
        nonlocal shown
        if time.monotonic() - shown < REFRESH:
            return
        shown = time.monotonic()
        for name, members in groups.items():
            share = sum(search.progress for search in members) / len(members)
            progress.update(bars[name], completed=share, facts=_facts(members))

    try:
        with progress:
            yield Watcher(on_start, on_turn, lambda: asked)
            for name, members in groups.items():
                progress.update(bars[name], completed=1.0, facts=_facts(members))
    finally:
        signal.signal(signal.SIGINT, previous)


def _facts(members: Sequence[Search]) -> str:
    trials = sum(len(search.trials) for search in members)
    work = sum(search.work() / search.steps_per_unit for search in members)
    scores = [search.incumbent.score for search in members if search.incumbent]
    mode = members[0].metric.mode
    best = f"best {min(scores) if mode == 'min' else max(scores):.4f}" if scores else "no score yet"
    return f"{trials} trials  {work:.0f} epochs  {best}"
