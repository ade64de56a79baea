"""What several figures are made of: rows of dots, bars and diamonds, margins, a legend below."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from ohgw.analysis.statistics import Floats
from ohgw.analysis.style import Look

ROW = 0.42  # inches for one arm in a strip chart
PAIR = 0.58  # inches for one comparison, whose name takes two lines


def rows(axes: Axes, labels: Sequence[str]) -> None:
    """Rows of a strip chart, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)


def dots(axes: Axes, values: Floats, place: int, look: Look) -> None:
    axes.plot(
        values,
        place + jitter(values.size, 0.28),
        linestyle="",
        marker="o",
        markersize=3.2,
        markeredgewidth=0,
        color=look.colour,
        alpha=0.38,
    )


def bar(axes: Axes, ends: ArrayLike, place: int, look: Look, width: float = 3.0) -> None:
    axes.plot(ends, [place, place], color=look.colour, linewidth=width, solid_capstyle="butt")


def diamond(axes: Axes, value: float, place: int, look: Look, size: float = 6.5) -> None:
    axes.plot(
        value,
        place,
        marker="D",
        markersize=size,
        color="white",
        markeredgecolor=look.colour,
        markeredgewidth=1.6,
    )


def margin(axes: Axes, place: int, text: str, size: float = 8.5) -> None:
    """Text beside a row, right of the axes."""
    where = axes.get_yaxis_transform()
    axes.text(1.02, place, text, transform=where, va="center", fontsize=size, linespacing=1.1)


def jitter(n: int, width: float) -> Floats:
    """Fixed offsets in [-width, width] (n,) that never put neighbours side by side."""
    golden = 0.6180339887498949
    return width * (2 * (np.arange(1, n + 1, dtype=np.float64) * golden % 1) - 1)


def legend_below(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    shown = [h for h in handles if isinstance(h, Line2D)]
    columns = 1 if max(map(len, labels), default=0) > 26 else 2
    figure.legend(
        shown, labels, loc="outside lower left", ncols=columns, handlelength=3.2, borderaxespad=0.3
    )
