"""The figure of a single search: every report, and the incumbent's staircase."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure

from ohgw.analysis.statistics import quantile
from ohgw.analysis.style import FAINT, INK, blank, log_axis, plain, styled
from ohgw.analysis.tune import TuneSummary

# Ordered in lightness; the map's palest part would vanish on white.
_SHADES = ListedColormap(mpl.colormaps["YlGnBu"](np.linspace(0.3, 1.0, 256)))
LOG_RANGE = 2.5


def progress(reports: pd.DataFrame, summary: TuneSummary) -> Figure | None:
    """Scores of all reports against work, shaded by resource, with the best score so far.

    `reports` is `frames.frame` of the search. Reports beyond the axis, and those of diverged
    trials, stand at its edge.
    """
    scores = reports["score"].to_numpy(dtype=float)
    finite = scores[np.isfinite(scores)]
    if not finite.size:
        return None
    low, high = _limits(finite, summary.mode)
    epochs = reports["epochs"].to_numpy(dtype=float)
    resource = reports["resource"].to_numpy(dtype=float)
    bad = high if summary.mode == "min" else low
    with styled():
        figure, (axes,) = blank(1, 3.7)
        if low > 0 and high / low > LOG_RANGE:
            log_axis(axes, "y", low, high)
        else:
            axes.set_ylim(low, high)
        inside = np.isfinite(scores) & (scores >= low) & (scores <= high)
        several = resource.min() < resource.max()
        norm = (LogNorm if several else Normalize)(resource.min(), resource.max())
        dots = axes.scatter(
            epochs[inside],
            scores[inside],
            c=resource[inside],
            cmap=_SHADES,
            norm=norm,
            s=16,
            alpha=0.85,
            linewidths=0.4,
            edgecolors="white",
            label="one report",
        )
        beyond = np.isfinite(scores) & ~inside
        marker = "^" if summary.mode == "min" else "v"
        if beyond.any():
            axes.scatter(
                epochs[beyond],
                np.full(beyond.sum(), bad),
                marker=marker,
                s=18,
                c=FAINT,
                alpha=0.6,
                linewidths=0,
                clip_on=False,
                label="beyond the axis",
            )
        diverged = ~np.isfinite(scores)
        if diverged.any():
            axes.scatter(
                epochs[diverged],
                np.full(diverged.sum(), bad),
                marker="x",
                s=24,
                c="#D55E00",
                linewidths=1.4,
                clip_on=False,
                label="diverged",
            )
        steps = summary.improvements
        x = [step.epochs for step in steps] + [summary.work]
        y = [step.score for step in steps] + [steps[-1].score]
        axes.plot(x, y, drawstyle="steps-post", color=INK, linewidth=2, label="best so far")
        axes.plot(
            x[-2],
            y[-2],
            marker="*",
            markersize=13,
            color="#D55E00",
            markeredgecolor="white",
            markeredgewidth=0.6,
            linestyle="",
            label="incumbent",
        )
        axes.set_xlim(0, max(summary.work, summary.budget) * 1.01)
        axes.set_xlabel("work spent by the search (epochs)")
        axes.set_ylabel(f"{plain(summary.metric)} (validation)")
        if several:
            bar = figure.colorbar(dots, ax=axes, pad=0.015, aspect=28, fraction=0.05)
            rungs = np.unique(resource)
            bar.set_ticks([] if rungs.size > 8 else rungs.tolist(), minor=False)
            if rungs.size <= 8:
                bar.set_ticklabels([f"{r:g}" for r in rungs])
            bar.ax.minorticks_off()
            bar.outline.set_visible(False)
            bar.set_label("resource when reported")
        figure.legend(loc="outside lower left", ncols=3, borderaxespad=0.3)
    return figure


def _limits(scores: np.ndarray, mode: str) -> tuple[float, float]:
    """From the best score to the 95th percentile on the bad side, so that outliers do not rule."""
    low = float(scores.min()) if mode == "min" else float(quantile(scores, 0.05))
    high = float(quantile(scores, 0.95)) if mode == "min" else float(scores.max())
    if low > 0 and high / low > LOG_RANGE:
        return low / 1.15, high * 1.15
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin
