"""The picture of a race: seconds to each target by arm, and the incumbent's loss over seconds."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _race_arms import ARMS
from _race_results import Run
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ohgw.analysis.style import FAINT, GRID, INK, log_axis, styled

# Ours in blue, the averaged recipe paler; peers by library, the same hue for its variants.
COLOURS = {
    "random": "#6b6b6b",
    "optuna": "#E69F00",
    "optuna-2": "#E69F00",
    "ray-asha": "#009E73",
    "syne-tune-asha": "#D55E00",
    "syne-tune-bohb": "#D55E00",
    "neps": "#CC79A7",
    "ohgw": "#56B4E9",
    "ohgw-plain": "#0072B2",
}
DASHED = {"optuna-2", "syne-tune-bohb"}
SIZES = (14, 30, 54)  # of the marks of the three targets, easiest first


def draw(
    rows: Sequence[Mapping[str, Any]],
    runs: Mapping[str, Mapping[str, Sequence[Run]]],
    limit: float,
    path: Path,
) -> None:
    with styled():
        figure = Figure(figsize=(3.6 * len(rows) + 1.2, 6.6), dpi=160, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, len(rows), squeeze=False, gridspec_kw={"height_ratios": (1, 1.1)})
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
        for column, row in enumerate(rows):
            _times(axes[0][column], row, limit, names=column == 0)
            _losses(axes[1][column], row, runs[row["task"]], limit)
        axes[1][0].set_ylabel("median incumbent, validation loss")
        figure.legend(*axes[1][0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)


def _times(axes: Axes, row: Mapping[str, Any], limit: float, *, names: bool) -> None:
    """Median and quartiles of each arm's seconds to the three targets, one under the other."""
    present = [arm for arm in ARMS if arm in row["arms"]]
    miss = limit * 1.22  # where a median beyond the limit is drawn
    for place, arm in enumerate(present):
        for k, goal in enumerate(row["targets"]):
            found, y = goal["arms"][arm], place + 0.27 * (k - 1)
            median = found["median_seconds"]
            low, high = found["q1"], found["q3"]
            axes.plot(
                [miss if low is None else low, miss if high is None else high],
                [y, y],
                color=COLOURS[arm],
                linewidth=1.1,
                alpha=0.7,
            )
            axes.scatter(
                [miss if median is None else median],
                [y],
                s=SIZES[k],
                marker=">" if median is None else "o",
                facecolors="white" if median is None else COLOURS[arm],
                edgecolors=COLOURS[arm],
                linewidths=1.1,
                zorder=3,
            )
    axes.axvline(limit, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.annotate(
        "missed", (miss, 1), (0, 2), ("data", "axes fraction"), "offset points",
        ha="center", fontsize=8, color=FAINT,
    )  # fmt: skip
    low = min(found["q1"] or limit for goal in row["targets"] for found in goal["arms"].values())
    log_axis(axes, "x", min(low * 0.8, 2.0), limit * 1.4)
    axes.set_yticks(range(len(present)), present if names else [""] * len(present))
    axes.set_ylim(len(present) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("seconds to a target (larger marks: harder)")
    speedup = row["speedup_over_best_peer"]
    word = "at least " if row["speedup_is_lower_bound"] else ""
    verdict = "" if speedup is None else f": {word}{speedup:.1f}x the best peer"
    axes.set_title(row["task"] + verdict)


def _losses(
    axes: Axes, row: Mapping[str, Any], by_arm: Mapping[str, Sequence[Run]], limit: float
) -> None:
    """Median over seeds; a seed without a report counts as infinity, so lines begin at half."""
    grid = np.geomspace(1.0, limit, 300)
    shown: list[float] = []
    for arm in ARMS:
        if not by_arm.get(arm):
            continue
        curves = np.stack([_incumbent(run, grid) for run in by_arm[arm]])
        middle = np.median(curves, axis=0)
        shown += [value for value in middle if math.isfinite(value)]
        axes.plot(
            grid,
            np.where(np.isfinite(middle), middle, np.nan),
            color=COLOURS[arm],
            linestyle=(0, (4, 1.6)) if arm in DASHED else "-",
            linewidth=2.2 if ARMS[arm].ours else 1.4,
            label=arm,
        )
    losses = [goal["loss"] for goal in row["targets"]]
    for loss in losses:
        axes.axhline(loss, color=INK, linewidth=0.7, linestyle=(0, (1, 2)))
    log_axis(axes, "x", 1.0, limit)
    shown += losses
    log_axis(axes, "y", min(shown) * 0.95, min(max(shown), 12 * min(shown)) * 1.05)
    axes.grid(color=GRID)
    axes.set_xlabel("seconds since the launch")


def _incumbent(run: Run, grid: np.ndarray) -> np.ndarray:
    """Loss at each moment; what a run did after it had been stopped is its last incumbent."""
    found = [(r["seconds"], r["loss"]) for r in run["reports"] if r["loss"] is not None]
    if not found:
        return np.full(len(grid), np.inf)
    times = np.array([seconds for seconds, _ in found])
    losses = np.minimum.accumulate([loss for _, loss in found])
    place = np.searchsorted(times, grid, side="right") - 1
    return np.where(place >= 0, losses[np.maximum(place, 0)], np.inf)
