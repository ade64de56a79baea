"""The verdict at a glance: tuples x criteria, and the forest of paired changes over all cells."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ohgw.analysis import wording
from ohgw.analysis.across.results import TupleVerdict
from ohgw.analysis.figures.marks import bar, diamond, margin
from ohgw.analysis.results import Criterion
from ohgw.analysis.style import (
    FAINT,
    GRID,
    INK,
    SHADE,
    Look,
    log_axis,
    plain,
    stacked,
    styled,
    widest,
)
from ohgw.analysis.verdict import DEVIATION_NAME

LINE, SIZE = 0.2, 7.5  # inches for one tuple; points of its letters
FULL = 44  # lines on one figure: one printed page
SHORT = {
    "less time to target": "T@τ",
    "final validation score kept": "valid.",
    "final test score kept": "test",
    "extra cost": "cost",
    "extra memory": "mem.",
    "deviation of T@τ": "s.d.",
}
# Apart in lightness as well, for print in grey: dark, pale, white.
_FILL = {True: "#00664b", False: "#fbd3b5", None: "#ffffff"}
_TEXT = {True: "#ffffff", False: INK, None: FAINT}
_SIGN = {True: "met", False: "no", None: "?"}

Line = TupleVerdict | str  # a tuple, or the name of the cell that the next tuples belong to


def paged(found: Sequence[TupleVerdict]) -> list[list[Line]]:
    """The tuples under their cells' names, in pages of at most FULL lines or one cell."""
    pages: list[list[Line]] = []
    for cell, group in groupby(found, key=lambda t: t.cell):
        lines: list[Line] = [cell, *group]
        if not pages or len(pages[-1]) + len(lines) > FULL:
            pages.append([])
        pages[-1] += lines
    return pages


def matrix(lines: Sequence[Line]) -> Figure:
    """Every criterion of every tuple with its number: dark where met, pale where not."""
    names = list(dict.fromkeys(c.name for t in lines if not isinstance(t, str) for c in t.criteria))
    with styled():
        left = widest(_names(lines), SIZE) + 0.15
        figure, (axes,) = stacked([0.3, LINE * len(lines), 0.1], left, 0.1)
        boxes: dict[bool | None, list[Rectangle]] = {met: [] for met in _FILL}

        def box(x: float, y: float, met: bool | None, text: str) -> None:
            boxes[met].append(Rectangle((x - 0.48, y - 0.45), 0.96, 0.9))
            axes.text(
                x, y, text, ha="center", va="center_baseline", fontsize=SIZE, color=_TEXT[met]
            )

        for place, line in enumerate(lines):
            if isinstance(line, str):
                continue
            by_name = {c.name: c for c in line.criteria}
            for column, name in enumerate(names):
                found = by_name.get(name)
                box(column, place, found.met if found else None, _number(found))
            box(len(names) + 0.15, place, line.met, _SIGN[line.met])
        for met, found_boxes in boxes.items():
            axes.add_collection(
                PatchCollection(found_boxes, facecolor=_FILL[met], edgecolor=GRID, linewidth=0.6)
            )
        _lines(axes, lines)
        axes.set_xlim(-0.5, len(names) + 0.7)
        ticks = [*range(len(names)), len(names) + 0.15]
        axes.set_xticks(ticks, [*(SHORT.get(name, plain(name, 10)) for name in names), "all"])
        axes.xaxis.tick_top()
        axes.tick_params(axis="x", length=0, labelsize=8)
        axes.grid(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
    return figure


def _number(found: Criterion | None) -> str:
    if found is None or np.isnan(found.value):
        return "?"
    if found.name == DEVIATION_NAME:
        return f"×{wording.number(found.value, 2)}"
    return wording.criterion(found).replace(wording.TIE, "")


def forest(lines: Sequence[Line], style: dict[str, Look]) -> Figure | None:
    """Median change of T@tau of every tuple with its interval, and Holm's p over the study."""
    shown = [t.at for t in lines if not isinstance(t, str) and t.at is not None]
    ends = np.array(
        [1 + x for at in shown for x in (at.change.value, at.change.low, at.change.high)]
    )
    ends = ends[np.isfinite(ends) & (ends > 0)]
    if not ends.size:
        return None
    reach = min(max(2.6, float(np.max(np.maximum(ends, 1 / ends))) * 1.1), 64.0)
    with styled():
        left = widest(_names(lines), SIZE) + 0.15
        figure, (axes,) = stacked([0.08, LINE * len(lines), 0.5], left, 1.1)
        log_axis(axes, "x", 1 / reach, reach)
        axes.axvline(1, color=INK, linewidth=1)
        axes.axvspan(1 / reach, 0.85, color=SHADE, zorder=0, linewidth=0)
        for place, line in enumerate(lines):
            if isinstance(line, str) or line.at is None or np.isnan(line.at.change.value):
                continue
            change, look = line.at.change, style[line.arm]
            if not np.isnan(change.low):
                limits = np.clip([1 + change.low, 1 + change.high], 1 / reach, reach)
                bar(axes, limits, place, look, width=2.0)
            value = float(np.clip(1 + change.value, 1 / reach, reach))
            diamond(axes, value, place, look, size=4.2)
            p = line.at.p_holm
            tested = "" if np.isnan(p) else f"  p {wording.p_value(p)}"
            margin(axes, place, wording.percent(change.value) + tested, size=SIZE)
        _lines(axes, lines)
        powers = [2.0**k for k in range(-6, 7) if 2.0 ** abs(k) <= reach]
        powers = powers if len(powers) < 8 else powers[len(powers) // 2 % 2 :: 2]
        axes.set_xticks(powers, [f"{x:g}" if x >= 1 else f"1/{1 / x:g}" for x in powers])
        text = "T@τ arm / T@τ reference  (shaded: 15 % less, or better)"
        axes.set_xlabel(text, loc="right", fontsize=8.5)
    return figure


def _lines(axes: Axes, lines: Sequence[Line]) -> None:
    """Names on the left: of cells in bold, of tuples as arm and reference."""
    axes.set_yticks(range(len(lines)), _names(lines))
    for label, line in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontsize(SIZE)
        label.set_fontweight("bold" if isinstance(line, str) else "normal")
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)


def _names(lines: Sequence[Line]) -> list[str]:
    return [
        plain(line, 38) if isinstance(line, str) else plain(f"{line.arm} vs {line.reference}", 38)
        for line in lines
    ]
