"""The figures of a comparison: anytime curves, times to target, paired changes, survival, moves.

Every function returns a matplotlib `Figure`, or None where the record holds nothing to draw.
Work is shown in epochs. Only searches that are compared (ended, not calibration) are drawn.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from ohgw.analysis.moves import Move
from ohgw.analysis.results import Cell, Summary
from ohgw.analysis.statistics import Floats, quantile
from ohgw.analysis.style import (
    FAINT,
    INK,
    SHADE,
    Look,
    blank,
    log_axis,
    looks,
    plain,
    spread_out,
    styled,
)
from ohgw.analysis.time_to_target import LABELS
from ohgw.analysis.wording import number, p_value, percent

GRID_POINTS = 400
LOG_RANGE = 2.5  # a score axis that spans more than this factor is logarithmic
ROW = 0.42  # inches for one arm in a strip chart


def anytime(
    bests: Mapping[str, Floats],
    epochs: Floats,
    summary: Summary,
) -> Figure | None:
    """Median best score against work with its interquartile band, and the targets.

    `bests` maps an arm to its searches' best scores so far (searches, len(epochs)).
    """
    quartiles = {
        arm: tuple(quantile(values, q, axis=0) for q in (0.25, 0.5, 0.75))
        for arm, values in bests.items()
        if values.size
    }
    limits = _score_limits(quartiles, epochs, summary)
    if limits is None:
        return None
    low, high = limits
    style = looks(list(bests))
    with styled():
        figure, (axes,) = blank(1, 3.4 + 0.19 * ((len(quartiles) + 1) // 2))
        if low > 0 and high / low > LOG_RANGE:
            log_axis(axes, "y", low, high)
        else:
            axes.set_ylim(low, high)
        for arm, (lower, median, upper) in quartiles.items():
            look = style[arm]
            shown = np.where(np.isfinite(median), median, np.nan)
            outside = 10 * (abs(low) + abs(high))  # a band to infinity runs off the axes
            bottom, top = (
                np.clip(np.where(np.isnan(shown), np.nan, side), -outside, outside)
                for side in (lower, upper)
            )
            axes.fill_between(
                epochs, bottom, top, step="post", color=look.colour, alpha=0.13, linewidth=0
            )
            axes.plot(
                epochs,
                shown,
                color=look.colour,
                linestyle=look.dashes,
                drawstyle="steps-post",
                label=plain(arm),
            )
        _target_lines(axes, summary.targets)
        axes.set_xlim(0, epochs[-1])
        axes.set_xlabel("work spent by the search (epochs)")
        axes.set_ylabel(f"best {plain(summary.metric)} so far (validation)")
        _legend_below(figure, axes)
    return figure


def _score_limits(
    quartiles: Mapping[str, tuple[Floats, ...]], epochs: Floats, summary: Summary
) -> tuple[float, float] | None:
    """Limits that leave out the first 4 % of the search, whose scores would flatten the rest."""
    late = epochs >= 0.04 * epochs[-1]
    shown = [b for lower, median, upper in quartiles.values() for b in (lower, median, upper)]
    values = np.concatenate([b[late & np.isfinite(b)] for b in shown] or [np.empty(0)])
    if not values.size:
        return None
    values = np.concatenate([values, list(summary.targets.values())])
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > LOG_RANGE:
        return low / 1.15, high * 1.15
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _target_lines(axes: Axes, targets: Mapping[str, float]) -> None:
    """A dashed line for each target, named in the right margin."""
    names = list(targets)
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(to_axes.transform((1.0, targets[name]))[1]) for name in names]
    for name, height in zip(names, spread_out(heights, 0.062), strict=True):
        axes.axhline(targets[name], color=FAINT, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        axes.annotate(
            f"τ: {LABELS[name]}",
            xy=(1.0, targets[name]),
            xycoords=("axes fraction", "data"),
            xytext=(1.02, height),
            textcoords="axes fraction",
            va="center",
            color=FAINT,
            fontsize=8.5,
            annotation_clip=False,
        )


def times(values: Mapping[str, Mapping[str, Floats]], summary: Summary) -> Figure | None:
    """T@tau of every search, by target and arm, with median and quartiles; misses at the edge.

    `values` maps target, then arm, to times in epochs (searches,), infinite where missed.
    """
    if not values:
        return None
    arms = [row for row in next(iter(values.values()))]
    style = looks(arms)
    right = summary.budget
    anywhere = any(np.isinf(v).any() for by_arm in values.values() for v in by_arm.values())
    with styled():
        figure, panels = blank(
            len(values), len(values) * (ROW * len(arms) + 0.45) + 0.35, sharex=True
        )
        for axes, (target, by_arm) in zip(panels, values.items(), strict=True):
            tau = number(summary.targets[target], 4)
            axes.set_title(f"{LABELS[target]}  (τ = {tau})")
            for place, arm in enumerate(arms):
                _strip(axes, place, by_arm[arm], style[arm], right)
            _rows(axes, [plain(arm, 26) for arm in arms])
            if anywhere:
                axes.axvspan(right * 1.02, right * 1.14, color=SHADE, zorder=0, linewidth=0)
                axes.text(right * 1.08, -0.62, "missed", ha="center", fontsize=8.5, color=FAINT)
            axes.set_xlim(0, right * (1.14 if anywhere else 1.02))
        panels[-1].set_xlabel("work until the target is reached, T@τ (epochs)")
        ticks = MaxNLocator(6).tick_values(0, right)
        panels[-1].set_xticks([t for t in ticks if t <= right])
    return figure


def _strip(axes: Axes, place: int, values: Floats, look: Look, right: float) -> None:
    """One arm's searches as dots around height `place`, its median and quartiles on top."""
    reached = values[np.isfinite(values)]
    _dots(axes, reached, place, look)
    if reached.size < values.size:
        missed = str(values.size - reached.size)
        axes.text(right * 1.08, place, missed, ha="center", va="center", color=look.colour)
    if not values.size:
        return
    low, median, high = (float(quantile(values, q)) for q in (0.25, 0.5, 0.75))
    if np.isfinite(low):
        _bar(axes, [low, min(high, right * 1.02)], place, look)
    if np.isfinite(median):
        _diamond(axes, median, place, look)


def changes(values: Mapping[str, Mapping[str, Floats]], summary: Summary) -> Figure | None:
    """T_arm / T_reference of every pair, with the median change and its interval.

    `values` maps target, then a comparison's key, to ratios (pairs,): 0 and infinity, where only
    one of the two reached the target, stand at the edges.
    """
    comparisons = [row for row in summary.comparisons if row.pairs]
    if not values or not comparisons:
        return None
    everything = np.concatenate([v for by_key in values.values() for v in by_key.values()])
    finite = everything[np.isfinite(everything) & (everything > 0)]
    reach = max(2.6, float(np.max(np.maximum(finite, 1 / finite), initial=1.0)) * 1.1)
    edges = reach**1.12 if finite.size < everything.size else None  # where 0 and infinity stand
    style = looks([cost.arm for cost in summary.costs])
    names = [f"{plain(r.arm, 24)}\nvs {plain(r.reference or '', 22)}" for r in comparisons]
    with styled():
        figure, panels = blank(
            len(values), len(values) * ((ROW + 0.16) * len(comparisons) + 0.45) + 0.4, sharex=True
        )
        for axes, (target, by_key) in zip(panels, values.items(), strict=True):
            axes.set_title(LABELS[target])
            outer = reach**1.24 if edges else reach
            log_axis(axes, "x", 1 / outer, outer)
            axes.axvline(1, color=INK, linewidth=1)
            if edges:
                axes.axvspan(1 / outer, reach**-1.02, color=SHADE, zorder=0, linewidth=0)
                axes.axvspan(reach**1.02, outer, color=SHADE, zorder=0, linewidth=0)
            for place, row in enumerate(comparisons):
                cell = next(c for c in row.cells if c.target == target)
                _pairs(axes, place, by_key[row.key], cell, style[row.arm], edges or reach)
            _rows(axes, names)
        powers = [2.0**k for k in range(-12, 13) if 2.0 ** abs(k) <= reach]
        powers = powers if len(powers) < 10 else powers[len(powers) // 2 % 2 :: 2]
        labels = [f"{x:g}" if x >= 1 else f"1/{1 / x:g}" for x in powers]
        if edges:
            powers, labels = [1 / edges, *powers, edges], ["0", *labels, "∞"]
        panels[-1].set_xticks(powers, labels)
        panels[-1].set_xlabel("← arm faster      T@τ arm / T@τ reference      reference faster →")
    return figure


def _pairs(axes: Axes, place: int, ratio: Floats, cell: Cell, look: Look, edge: float) -> None:
    """One comparison's pairs as dots around height `place`, the median and its interval on top."""
    _dots(axes, np.clip(ratio, 1 / edge, edge), place, look)
    if not np.isnan(cell.low):
        _bar(axes, np.clip([1 + cell.low, 1 + cell.high], 1 / edge, edge), place, look)
    _diamond(axes, float(np.clip(1 + cell.change, 1 / edge, edge)), place, look)
    tested = "not tested" if np.isnan(cell.p) else f"Holm p {p_value(cell.p_holm)}"
    _margin(axes, place, f"{percent(cell.change)}\n{tested}")


def survival(
    counts: Mapping[str, Mapping[int, float]],
) -> Figure | None:
    """Trials per search that reached each resource or went beyond, by arm."""
    arms = [arm for arm, by_rung in counts.items() if by_rung]
    if not arms:
        return None
    style = looks(list(counts))
    rungs = sorted({rung for by_rung in counts.values() for rung in by_rung})
    tallest = max(max(by_rung.values()) for by_rung in counts.values() if by_rung)
    least = min(min(by_rung.values()) for by_rung in counts.values() if by_rung)
    with styled():
        figure, (axes,) = blank(1, 3.0 + 0.19 * ((len(arms) + 1) // 2))
        log_axis(axes, "y", least / 1.3, tallest * 1.3)
        log_axis(axes, "x", rungs[0] / 1.15, rungs[-1] * 1.15)
        if len(rungs) <= 10:
            axes.set_xticks(rungs, [str(r) for r in rungs])
        for arm in arms:
            look = style[arm]
            axes.plot(
                list(counts[arm]),
                list(counts[arm].values()),
                color=look.colour,
                linestyle=look.dashes,
                marker=look.marker,
                markersize=5.5,
                markeredgecolor="white",
                label=plain(arm),
            )
        axes.set_xlabel("resource reached (resource units, log scale)")
        axes.set_ylabel("trials per search (log scale)")
        _legend_below(figure, axes)
    return figure


def displacement(found: Sequence[Move], arms: Sequence[str]) -> Figure | None:
    """How far each hyperparameter moved: the middle 50 % and 90 % of trials, and the median."""
    if not found:
        return None
    style = looks(arms)
    moving = list(dict.fromkeys(move.arm for move in found))
    names = list(dict.fromkeys(move.name for move in found))
    with styled():
        figure, panels = blank(len(names), len(names) * (0.3 * len(moving) + 0.72) + 0.1)
        for axes, name in zip(panels, names, strict=True):
            here = [move for move in found if move.name == name]
            unit = "log₁₀ x′/x" if here[0].unit == "log10 ratio" else "x′ − x"
            axes.set_title(f"{plain(name)}:  {unit}")
            axes.axvline(0, color=INK, linewidth=1)
            for move in here:
                place, look = moving.index(move.arm), style[move.arm]
                if not move.values.size:
                    continue
                qs = [float(quantile(move.values, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)]
                axes.plot(qs[::4], [place, place], color=look.colour, linewidth=1.3)
                axes.plot(
                    qs[1:4:2],
                    [place, place],
                    color=look.colour,
                    linewidth=5.5,
                    alpha=0.55,
                    solid_capstyle="butt",
                )
                axes.plot(
                    qs[2],
                    place,
                    marker=look.marker,
                    color="white",
                    markersize=5.5,
                    markeredgecolor=look.colour,
                    markeredgewidth=1.5,
                )
                _margin(axes, place, f"median {number(qs[2], 2)}")
            reach = max(abs(axes.get_xlim()[0]), abs(axes.get_xlim()[1]))
            axes.set_xlim(-reach, reach)
            axes.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
            axes.ticklabel_format(axis="x", scilimits=(-3, 4), useMathText=True)
            _rows(axes, [plain(arm, 26) for arm in moving])
    return figure


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    """Rows of a strip chart, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)


def _dots(axes: Axes, values: Floats, place: int, look: Look) -> None:
    axes.plot(
        values,
        place + _jitter(values.size, 0.28),
        linestyle="",
        marker="o",
        markersize=3.2,
        markeredgewidth=0,
        color=look.colour,
        alpha=0.38,
    )


def _bar(axes: Axes, ends: ArrayLike, place: int, look: Look) -> None:
    axes.plot(ends, [place, place], color=look.colour, linewidth=3, solid_capstyle="butt")


def _diamond(axes: Axes, value: float, place: int, look: Look) -> None:
    axes.plot(
        value,
        place,
        marker="D",
        markersize=6.5,
        color="white",
        markeredgecolor=look.colour,
        markeredgewidth=1.6,
    )


def _margin(axes: Axes, place: int, text: str) -> None:
    """Text beside a row, right of the axes."""
    where = axes.get_yaxis_transform()
    axes.text(1.02, place, text, transform=where, va="center", fontsize=8.5, linespacing=1.1)


def _jitter(n: int, width: float) -> Floats:
    """Fixed offsets in [-width, width] (n,) that never put neighbours side by side."""
    golden = 0.6180339887498949
    return width * (2 * (np.arange(1, n + 1, dtype=np.float64) * golden % 1) - 1)


def _legend_below(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    shown = [h for h in handles if isinstance(h, Line2D)]
    columns = 1 if max(map(len, labels), default=0) > 26 else 2
    figure.legend(
        shown, labels, loc="outside lower left", ncols=columns, handlelength=3.2, borderaxespad=0.3
    )
