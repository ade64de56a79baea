"""Draws docs/schedulers.png: what each scheduler does with the same budget.

    python benchmarks/draw_schedulers.py [--budget B] [--seed N] [--out FILE]

One worker, recorded curves of `digits` (`_curves.py`), every scheduler of the table with its
defaults. A line is a trial: it ends where its training did, and has the colour of its loss there.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from _curves import RecordedCurves, make_search, run
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from ohgw.analysis.style import FAINT, GRID, INK, styled
from ohgw.core.records import Report
from ohgw.schedulers import SCHEDULERS
from ohgw.schedulers._rungs import rung_levels

OUT = Path(__file__).parents[1] / "docs" / "schedulers.png"
BUDGET = 20  # trials to the maximum resource
COLUMNS = 3
LOSSES = LogNorm(0.05, 2.5)  # digits: the best that was recorded, and a guess at ten classes
# Dark where the loss is low; without the palest shades, which would not show on white.
SHADES = LinearSegmentedColormap.from_list(
    "losses", mpl.colormaps["YlGnBu_r"](np.linspace(0.0, 0.86, 256))
)


@dataclass(frozen=True)
class Trial:
    resource: int
    loss: float  # infinite where it diverged


def trials(task: RecordedCurves, scheduler: str, budget: float, seed: int) -> list[Trial]:
    """What became of every trial that was started, in order of start."""
    search = make_search(task, scheduler, workers=1, budget=budget, seed=seed)
    found: dict[int, Trial] = {}

    def keep(report: Report) -> None:
        loss = math.inf if report.score is None else report.score
        found[report.trial] = Trial(report.resource, loss)

    run(task, search, keep)
    return [found[number] for number in sorted(found)]


def panel(axes: Axes, name: str, rows: Sequence[Trial], task: RecordedCurves) -> None:
    rungs = rung_levels(task.min_resource, task.max_resource, 3)
    for rung in rungs:
        axes.axhline(rung, color=GRID, linewidth=0.8, zorder=0)
    foot = task.min_resource / 1.9
    losses = [min(row.loss, LOSSES.vmax) for row in rows]
    axes.bar(
        range(len(rows)),
        [row.resource - foot for row in rows],
        bottom=foot,
        width=0.75 * min(1.0, len(rows) / 60),  # few trials stay lines
        color=SHADES(LOSSES(losses)),
    )
    top = [x for x, row in enumerate(rows) if row.resource == task.max_resource]
    axes.scatter(
        top, [task.max_resource] * len(top), s=26, zorder=3, clip_on=False,
        c=[SHADES(LOSSES(losses[x])) for x in top], edgecolors="white", linewidths=0.7,
    )  # fmt: skip
    best = min(range(len(rows)), key=lambda x: rows[x].loss)
    axes.scatter(
        [best], [rows[best].resource], s=60, zorder=4, clip_on=False,
        facecolors="none", edgecolors=INK, linewidths=1.2,
    )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(foot, task.max_resource * 1.25)
    axes.set_yticks(rungs, [str(rung) for rung in rungs])
    axes.set_yticks([], minor=True)
    axes.set_xlim(-1.0 - 0.01 * len(rows), len(rows) + 0.01 * len(rows))
    axes.set_xticks([])
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title(name, pad=16)
    axes.annotate(
        f"{len(rows)} started, {len(top)} to the top, best {rows[best].loss:.3f}",
        (0, 1), (0, 5), "axes fraction", "offset points", fontsize=8, color=FAINT,
    )  # fmt: skip


def figure(panels: dict[str, list[Trial]], task: RecordedCurves, budget: float) -> Figure:
    lines = -(-len(panels) // COLUMNS)
    with styled():
        drawn = Figure(figsize=(8.4, 1.95 * lines + 0.8), dpi=160, layout="constrained")
        FigureCanvasAgg(drawn)
        axes = drawn.subplots(lines, COLUMNS, squeeze=False)
        title = f"The same budget for each: {budget:,.0f} epochs of digits, one worker"
        drawn.suptitle(title, x=0.01, ha="left", fontsize=10.5)
        drawn.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
        for place in axes.flat[len(panels) :]:
            place.remove()
        used = list(axes.flat[: len(panels)])
        for place, (name, rows) in zip(used, panels.items(), strict=True):
            panel(place, name, rows, task)
        for row in axes:
            row[0].set_ylabel("epochs")
        for place in used[-COLUMNS:]:
            place.set_xlabel("trials, in order of start", fontsize=8, color=FAINT)
        bar = drawn.colorbar(
            mpl.cm.ScalarMappable(LOSSES, SHADES), ax=used, location="bottom", aspect=60,
            shrink=0.5, pad=0.02, label="validation loss where a trial ended",
        )  # fmt: skip
        bar.set_ticks([0.05, 0.1, 0.2, 0.5, 1, 2], labels=["0.05", "0.1", "0.2", "0.5", "1", "2"])
        bar.ax.tick_params(which="minor", length=0)
        bar.outline.set_visible(False)
        return drawn


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draw what schedulers do with one budget.")
    parser.add_argument("--budget", type=float, default=BUDGET, help="full trainings' worth")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(argv)
    task = RecordedCurves("digits")
    budget = options.budget * task.max_resource
    panels = {name: trials(task, name, budget, options.seed) for name in SCHEDULERS}
    with styled():
        figure(panels, task, budget).savefig(options.out, metadata={"Software": None})


if __name__ == "__main__":
    main()
