"""What probes saw: the hypergradient's size against what moving gained, and x to x' as arrows."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import rankdata

from ohgw.analysis.probes import Arrows, Benefits
from ohgw.analysis.statistics import Floats, quantile
from ohgw.analysis.style import INK, Look, blank, plain, styled
from ohgw.analysis.wording import number
from ohgw.core.domains import Float
from ohgw.core.space import Space

COLUMNS, LEVELS = 10, 11
LONG = 0.3  # of the unit cube: shorter arrows are drawn longer, by a factor that is stated
# White where there is nothing; the map's own palest yellow would look like something.
_SHADES = LinearSegmentedColormap.from_list(
    "shares", ["#ffffff", *mpl.colormaps["YlGnBu"](np.linspace(0.2, 1.0, 8))]
)


def heat(found: Sequence[Benefits]) -> Figure | None:
    """Gain of x' over x by size of the hypergradient: shares of each column's trials.

    The top and the bottom row hold everything beyond. A line joins the columns' medians.
    """
    if not found:
        return None
    with styled():
        figure, panels = blank(len(found), 2.5 * len(found) + 0.75)
        grids = [_grid(one) for one in found]
        top = max(float(np.nanmax(shares)) for *_, shares in grids)
        mesh: Any = None
        for axes, one, (across, levels, shares) in zip(panels, found, grids, strict=True):
            mesh = axes.pcolormesh(
                across, levels, shares.T, cmap=_SHADES, vmin=0, vmax=top, rasterized=True
            )
            centres = (across[:-1] + across[1:]) / 2
            medians = [_median(one, a, b) for a, b in pairwise(across)]
            shown = np.clip(100 * np.array(medians), levels[0], levels[-1])
            axes.plot(centres, shown, color="#D55E00", marker="o", markersize=3.5)
            axes.axhline(0, color=INK, linewidth=0.9)
            axes.set_title(
                f"{plain(one.arm)}: {one.gains.size} trials, rank correlation "
                f"{number(_rank_correlation(one.magnitudes, one.gains), 2)}"
            )
            axes.grid(False)
            axes.set_ylabel("gain of score, %")
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_locator(MaxNLocator(6))
        panels[-1].set_xlabel("log₁₀ of the hypergradient's norm")
        bar = figure.colorbar(mesh, ax=panels, location="bottom", aspect=50, shrink=0.6, pad=0.03)
        bar.set_label("share of a column's trials")
        bar.outline.set_visible(False)
    return figure


def _grid(one: Benefits) -> tuple[Floats, Floats, Floats]:
    """Edges of the columns and of the levels, and the share of each column's trials (n, m)."""
    sizes, gains = np.log10(one.magnitudes), 100 * one.gains
    low, high = float(quantile(sizes, 0.01)), float(quantile(sizes, 0.99))
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    reach = float(quantile(np.abs(gains), 0.9)) or float(np.abs(gains).max()) or 1.0
    across, levels = np.linspace(low, high, COLUMNS + 1), np.linspace(-reach, reach, LEVELS + 1)
    counts, _, _ = np.histogram2d(
        np.clip(sizes, low, high), np.clip(gains, -reach, reach), bins=(across, levels)
    )
    totals = counts.sum(axis=1, keepdims=True)
    return across, levels, np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)


def _median(one: Benefits, low: float, high: float) -> float:
    inside = (np.log10(one.magnitudes) >= low) & (np.log10(one.magnitudes) <= high)
    return float(quantile(one.gains[inside], 0.5)) if inside.any() else math.nan


def _rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's."""
    if a.size < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def moved(found: Sequence[Arrows], space: Space, style: Mapping[str, Look]) -> Figure | None:
    """Arrows from x to x' over the two hyperparameters that moved farthest, arm by arm."""
    if not found:
        return None
    with styled():
        figure, panels = blank(len(found), 3.0 * len(found))
        for axes, one in zip(panels, found, strict=True):
            step = one.after - one.before
            long = float(quantile(np.linalg.norm(step, axis=1), 0.9))
            factor = 10.0 ** max(0, math.floor(math.log10(LONG / long))) if long > 0 else 1.0
            axes.quiver(
                *one.before.T,
                *(factor * step).T,
                angles="xy",
                scale_units="xy",
                scale=1,
                color=style[one.arm].colour,
                alpha=0.65,
                width=0.003,
                headwidth=4,
            )
            axes.plot(*one.before.T, ".", color=INK, markersize=2.2)
            drawn = "" if factor == 1 else f", drawn {factor:,.0f} times as long"
            axes.set_title(f"{plain(one.arm)}: {len(step)} of {one.trials} trials{drawn}")
            for which, name in zip("xy", one.names, strict=True):
                _cube_axis(axes, which, name, space)
    return figure


def _cube_axis(axes: Axes, which: str, name: str, space: Space) -> None:
    """An axis over the unit interval, labelled with the hyperparameter's own values."""
    domain = space[name]
    places = np.linspace(0, 1, 5)
    labels = [number(float(domain.from_unit(u)), 2) for u in places]
    log = isinstance(domain, Float) and domain.log
    (axes.set_xlim if which == "x" else axes.set_ylim)(-0.03, 1.03)
    (axes.set_xticks if which == "x" else axes.set_yticks)(places, labels)
    text = plain(name) + (" (log scale)" if log else "")
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(text)
