"""Schedulers on 64 and on 1,000 workers, simulated on recorded learning curves.

    python benchmarks/simulate_schedulers.py [--workers W ...] [--seeds N] [--figure FILE] [--json]

A search as `ohgw tune` runs it, with its virtual clock, over curves that were recorded once
(`_curves.py`): nothing is trained, so a thousand workers need minutes. Every scheduler gets the
same worker time. Trials differ in speed, so that reports arrive out of order; `--spread 0` gives
all epochs one length. Only the schedulers' own seconds are measured, the rest is virtual.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
from _curves import RECORDED, TICKS, RecordedCurves, make_search, run
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from rich.console import Console
from rich.table import Table

from ohgw.analysis.style import FAINT, Look, log_axis, looks, styled
from ohgw.core.records import Report
from ohgw.core.trial import Suggestion
from ohgw.schedulers import SCHEDULERS
from ohgw.schedulers._rungs import rung_levels

WORKERS = (64, 1_000)
SEEDS = 3
SPAN = 8.0  # worker time, in the fastest trial's way to the maximum resource
SPREAD = 0.5
LIMIT = 60.0  # seconds of a scheduler's own time in one run
SPARE_COLOURS = ("#8C510A", "#8E7CC3", "#9A9A9A")  # beyond the seven of the house
TOP = 0.01  # the target: what this share of the recorded curves reach at their end


@dataclass(frozen=True)
class Run:
    """One scheduler, one number of workers, one seed. Times in the fastest trial's epochs."""

    scheduler: str
    workers: int
    seed: int
    complete: bool  # False: its seconds ran out, and the rest describes what was done by then
    makespan: float
    utilisation: float  # busy time by workers x makespan
    utilisation_open: float  # the same until nothing more fitted into the budget
    trials: int
    reached: dict[int, int]  # rung -> trials that came to it
    decisions: int  # reports, each told and answered with what to train next
    scheduler_seconds: float
    decisions_per_second: float  # of the scheduler's own CPU time
    best_loss: float
    best_at: float  # when it was reported
    target_at: float | None  # when the target loss was; None: never
    curve: list[tuple[float, float]]  # (time, best loss) at every improvement


class OutOfTime(Exception):
    pass


class Timed:
    """A scheduler whose asks and tells are timed; it ends the run once they took too long."""

    def __init__(self, scheduler: Any, limit: float) -> None:
        self._scheduler, self._limit = scheduler, limit
        self.seconds = 0.0
        self._told = False  # a run that was cut short has a best loss all the same

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scheduler, name)

    def ask(self) -> Suggestion:
        if self._told and self.seconds > self._limit:
            raise OutOfTime
        return self._time(self._scheduler.ask)

    def tell(self, trial: int, resource: int, score: float) -> None:
        self._time(self._scheduler.tell, trial, resource, score)
        self._told = self._told or isfinite(score)

    def _time(self, call: Any, *arguments: Any) -> Any:
        began = process_time()
        try:
            return call(*arguments)
        finally:
            self.seconds += process_time() - began


def simulate(
    task: RecordedCurves,
    scheduler: str,
    workers: int,
    seed: int,
    *,
    span: float = SPAN,
    spread: float = SPREAD,
    limit: float = LIMIT,
) -> Run:
    budget = span * task.max_resource * workers
    search = make_search(task, scheduler, workers=workers, budget=budget, seed=seed, spread=spread)
    search.scheduler = timed = Timed(search.scheduler, limit)
    best: list[tuple[float, float]] = []
    furthest: dict[int, int] = {}
    closed: list[float] = []

    def keep(report: Report) -> None:
        furthest[report.trial] = report.resource
        if report.score is not None and (not best or report.score < best[-1][1]):
            best.append((search.now / TICKS, report.score))

    def busy() -> float:
        return search.work() / (workers * search.now) if search.now else 1.0

    def look() -> None:
        if search.closed and not closed:
            closed.append(busy())

    try:
        run(task, search, keep, look)
    except OutOfTime:
        pass
    goal = target(task)
    rungs = rung_levels(task.min_resource, task.max_resource, 3)
    counts = Counter(furthest.values())
    return Run(
        scheduler=scheduler,
        workers=workers,
        seed=seed,
        complete=search.ended,
        makespan=search.now / TICKS,
        utilisation=busy(),
        utilisation_open=closed[0] if closed else busy(),
        trials=len(furthest),
        reached={rung: sum(n for r, n in counts.items() if r >= rung) for rung in rungs},
        decisions=search.reports,
        scheduler_seconds=timed.seconds,
        decisions_per_second=search.reports / timed.seconds,
        best_loss=best[-1][1],
        best_at=best[-1][0],
        target_at=next((time for time, loss in best if loss <= goal), None),
        curve=best,
    )


def target(task: RecordedCurves) -> float:
    return float(np.nanquantile(task.losses[:, -1], TOP))


def show(runs: Sequence[Run], task: RecordedCurves, console: Console) -> None:
    rungs = " / ".join(str(rung) for rung in runs[0].reached)
    for workers, here in grouped(runs, "workers").items():
        table = Table(
            title=f"{task.name}, {workers:,} workers",
            caption=f"Medians over seeds. target: when the best loss came to {target(task):.4f}, "
            f"which {TOP:.0%} of the recorded curves end at or below, in epochs of the fastest "
            "trial.",
        )
        table.add_column("scheduler", no_wrap=True)
        for name in ("busy", f"trials to {rungs}", "dec./s", "best", "target"):
            table.add_column(name, justify="right", no_wrap=True)
        for name, group in grouped(here, "scheduler").items():
            table.add_row(*_row(name, group))
            if not all(one.complete for one in group):
                until = median(one.makespan for one in group)
                table.caption = f"{table.caption} * {name} ran out of time at epoch {until:.0f}."
        console.print(table)


def _row(name: str, group: Sequence[Run]) -> list[str]:
    hits = [one.target_at for one in group if one.target_at is not None]
    return [
        name if all(one.complete for one in group) else f"{name} *",
        f"{median(one.utilisation for one in group):.0%}",
        " ".join(f"{median(one.reached[rung] for one in group):,.0f}" for rung in group[0].reached),
        f"{median(one.decisions_per_second for one in group):,.0f}",
        f"{median(one.best_loss for one in group):.4f}",
        f"{median(hits):.0f}" if len(hits) == len(group) else f"{len(hits)} of {len(group)}",
    ]


def grouped(runs: Sequence[Run], field: str) -> dict[Any, list[Run]]:
    groups: dict[Any, list[Run]] = {}
    for one in runs:
        groups.setdefault(getattr(one, field), []).append(one)
    return groups


def draw(runs: Sequence[Run], goal: float, file: Path) -> None:
    """Best loss over virtual time, a column for each number of workers; utilisation below."""
    names, columns = list(grouped(runs, "scheduler")), grouped(runs, "workers")
    first, last = min(one.curve[0][0] for one in runs), max(one.makespan for one in runs)
    with styled():
        style = _styles(names)
        figure = Figure(figsize=(4.6 * len(columns), 6.0), layout="constrained")
        FigureCanvasAgg(figure)
        ratios = (12, len(names))
        axes = figure.subplots(2, len(columns), squeeze=False, height_ratios=ratios, sharey="row")
        for (workers, here), (top, bottom) in zip(columns.items(), axes.T, strict=True):
            top.set_title(f"{workers:,} workers")
            _draw_losses(top, here, style, np.geomspace(first, last, 400))
            top.axhline(goal, color=FAINT, linewidth=0.8, zorder=0)
            top.annotate(
                "target", (1, goal), (-2, 2), ("axes fraction", "data"), "offset points",
                ha="right", fontsize=8, color=FAINT,
            )  # fmt: skip
            log_axis(top, "x", first, last)
            _draw_busy(bottom, here, style)
        low = min(one.best_loss for one in runs)
        for top in axes[0]:
            log_axis(top, "y", 0.95 * low, 1.0)
        axes[1, 0].invert_yaxis()
        axes[0, 0].set_ylabel("best validation loss so far")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        columns_of_legend = min(len(names), 3 * len(columns))
        figure.legend(handles, labels, loc="outside upper center", ncols=columns_of_legend)
        figure.savefig(file, dpi=150, metadata={"Software": None})


def _styles(names: Sequence[str]) -> dict[str, Look]:
    """The house looks, but for those whose colour is taken: there are more schedulers than hues."""
    spare = iter(SPARE_COLOURS)
    style: dict[str, Look] = {}
    for name, look in looks(names).items():
        taken = {other.colour for other in style.values()}
        colour = next(spare, FAINT) if look.colour in taken else look.colour
        style[name] = replace(look, colour=colour)
    return style


def _draw_losses(
    axes: Axes, runs: Sequence[Run], style: Mapping[str, Look], times: np.ndarray
) -> None:
    for name, group in grouped(runs, "scheduler").items():
        middle = np.median([_best(one, times) for one in group], axis=0)
        look = style[name]
        axes.step(times, middle, where="post", color=look.colour, linestyle=look.dashes, label=name)
        if not all(one.complete for one in group):  # the line ends before the budget does
            last = np.flatnonzero(np.isfinite(middle))[-1]
            axes.plot(times[last], middle[last], "o", color=look.colour, markersize=5, zorder=3)
    axes.set_xlabel("virtual time, epochs of the fastest trial")


def _draw_busy(axes: Axes, runs: Sequence[Run], style: Mapping[str, Look]) -> None:
    groups = grouped(runs, "scheduler")
    for place, (name, group) in enumerate(groups.items()):
        busy = median(one.utilisation for one in group)
        axes.barh(place, busy, color=style[name].colour, height=0.6)
        axes.annotate(
            f"{busy:.0%}" if all(one.complete for one in group) else "cut short",
            (busy, place), (3, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set_xlim(0, 1.25)
    axes.set_xticks(np.linspace(0.0, 1.0, 5))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("share of worker time, drain included")
    axes.grid(False, axis="y")


def _best(run: Run, times: np.ndarray) -> np.ndarray:
    """Best loss of a run at each time; infinite before its first report."""
    when, losses = np.array(run.curve).T
    index = np.searchsorted(when, times, side="right") - 1
    best = np.where(index < 0, np.inf, losses[index])
    # A run that was cut short says nothing about the time after.
    return best if run.complete else np.where(times > run.makespan, np.nan, best)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Schedulers on many simulated workers.")
    parser.add_argument("--task", choices=RECORDED, default=RECORDED[0])
    parser.add_argument("--schedulers", nargs="+", default=list(SCHEDULERS), metavar="NAME")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, metavar="W")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--span", type=float, default=SPAN, help="worker time, see the source")
    parser.add_argument("--spread", type=float, default=SPREAD, help="of the trials' speeds")
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw a PNG")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(argv)
    if min(*options.workers, options.seeds) < 1 or options.span < 1 or options.spread < 0:
        parser.error("--workers, --seeds and --span must be at least 1, --spread at least 0")
    task = RecordedCurves(options.task)
    runs = []
    with Console(stderr=True).status("") as status:
        for workers in options.workers:
            for name in options.schedulers:
                for seed in range(options.seeds):
                    status.update(f"{name}, {workers:,} workers, seed {seed}")
                    settings = {key: getattr(options, key) for key in ("span", "spread", "limit")}
                    runs.append(simulate(task, name, workers, seed, **settings))
    if options.figure:
        draw(runs, target(task), options.figure)
    if options.json:
        print(json.dumps([asdict(run) for run in runs], indent=2))
    else:
        show(runs, task, Console())


if __name__ == "__main__":
    main()
