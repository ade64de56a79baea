"""The figures of a comparison: anytime curves, times to target, paired changes, survival, moves.

Every function returns a matplotlib `Figure`, or None where the record holds nothing to draw.
Work is shown in epochs. Only searches that are compared (ended, not calibration) are drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ohgw.analysis.figures.marks import PAIR, ROW, bar, diamond, dots, legend_below, margin, rows
from ohgw.analysis.moves import Move
from ohgw.analysis.results import Cell, Row, Summary
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

LOG_RANGE = 2.5  # a score axis that spans more than this factor is logarithmic


def anytime(
    bests: Mapping[str, Floats],
    epochs: Floats,
    summary: Summary,
) -> Figure | None:
    """Median best score against work with its interquartile band, and the targets.

    `bests` maps an arm to its searches' best scores so far (searches, len(epochs)).
    """
    bands = Bands.of(bests, epochs, summary)
    if bands is None:
        return None
    with styled():
        figure, (axes,) = blank(1, 3.4 + 0.19 * ((len(bands.quartiles) + 1) // 2))
        anytime_panel(axes, bands, summary, looks(list(bests)))
        legend_below(figure, axes)
    return figure


@dataclass(frozen=True, slots=True)
class Bands:
    """Quartiles of the best score so far, by arm, over a grid of work, and the axis they need."""

    epochs: Floats
    quartiles: Mapping[str, tuple[Floats, Floats, Floats]]
    limits: tuple[float, float]

    @classmethod
    def of(cls, bests: Mapping[str, Floats], epochs: Floats, summary: Summary) -> "Bands | None":
        """None where no search has a finite score."""
        quartiles = {
            arm: (
                quantile(values, 0.25, axis=0),
                quantile(values, 0.5, axis=0),
                quantile(values, 0.75, axis=0),
            )
            for arm, values in bests.items()
            if values.size
        }
        limits = _score_limits(quartiles, epochs, summary)
        return None if limits is None else cls(epochs, quartiles, limits)


def anytime_panel(axes: Axes, bands: Bands, summary: Summary, style: Mapping[str, Look]) -> None:
    low, high = bands.limits
    if low > 0 and high / low > LOG_RANGE:
        log_axis(axes, "y", low, high)
    else:
        axes.set_ylim(low, high)
    epochs = bands.epochs
    for arm, (lower, median, upper) in bands.quartiles.items():
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
    arms = list(next(iter(values.values())))
    with styled():
        figure, panels = blank(
            len(values), len(values) * (ROW * len(arms) + 0.45) + 0.35, sharex=True
        )
        times_panels(panels, values, summary, looks(arms))
    return figure


def times_panels(
    panels: Sequence[Axes],
    values: Mapping[str, Mapping[str, Floats]],
    summary: Summary,
    style: Mapping[str, Look],
) -> None:
    """One panel for each target; they share the axis of work."""
    right = summary.budget
    anywhere = any(np.isinf(v).any() for by_arm in values.values() for v in by_arm.values())
    for axes, (target, by_arm) in zip(panels, values.items(), strict=True):
        tau = number(summary.targets[target], 4)
        axes.set_title(f"{LABELS[target]}  (τ = {tau})")
        for place, (arm, found) in enumerate(by_arm.items()):
            _strip(axes, place, found, style[arm], right)
        rows(axes, [plain(arm, 26) for arm in by_arm])
        if anywhere:
            axes.axvspan(right * 1.02, right * 1.14, color=SHADE, zorder=0, linewidth=0)
        axes.set_xlim(0, right * (1.14 if anywhere else 1.02))
    panels[-1].set_xlabel("work until the target is reached, T@τ (epochs)")
    last = 0.9 * right if anywhere else right  # room for the word beside the last number
    ticks = {t: number(t) for t in MaxNLocator(6).tick_values(0, right) if t <= last}
    if anywhere:
        ticks[right * 1.08] = "missed"
    panels[-1].set_xticks(list(ticks), list(ticks.values()))


def _strip(axes: Axes, place: int, values: Floats, look: Look, right: float) -> None:
    """One arm's searches as dots around height `place`, its median and quartiles on top."""
    reached = values[np.isfinite(values)]
    dots(axes, reached, place, look)
    if reached.size < values.size:
        missed = str(values.size - reached.size)
        axes.text(right * 1.08, place, missed, ha="center", va="center", color=look.colour)
    if not values.size:
        return
    low, median, high = (float(quantile(values, q)) for q in (0.25, 0.5, 0.75))
    if np.isfinite(low):
        bar(axes, [low, min(high, right * 1.02)], place, look)
    if np.isfinite(median):
        diamond(axes, median, place, look)


def changes(values: Mapping[str, Mapping[str, Floats]], summary: Summary) -> Figure | None:
    """T_arm / T_reference of every pair, with the median change and its interval.

    `values` maps target, then a comparison's key, to ratios (pairs,): 0 and infinity, where only
    one of the two reached the target, stand at the edges.
    """
    comparisons = compared(summary)
    if not values or not comparisons:
        return None
    with styled():
        figure, panels = blank(
            len(values), len(values) * (PAIR * len(comparisons) + 0.45) + 0.4, sharex=True
        )
        changes_panels(panels, values, summary, looks([cost.arm for cost in summary.costs]))
    return figure


def compared(summary: Summary) -> list[Row]:
    """The comparisons that have pairs."""
    return [row for row in summary.comparisons if row.pairs]


def changes_panels(
    panels: Sequence[Axes],
    values: Mapping[str, Mapping[str, Floats]],
    summary: Summary,
    style: Mapping[str, Look],
) -> None:
    """One panel for each target; they share the axis of ratios."""
    comparisons = compared(summary)
    everything = np.concatenate([v for by_key in values.values() for v in by_key.values()])
    finite = everything[np.isfinite(everything) & (everything > 0)]
    reach = max(2.6, float(np.max(np.maximum(finite, 1 / finite), initial=1.0)) * 1.1)
    edges = reach**1.12 if finite.size < everything.size else None  # where 0 and infinity stand
    names = [f"{plain(r.arm, 24)}\nvs {plain(r.reference or '', 22)}" for r in comparisons]
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
        rows(axes, names)
    powers = [2.0**k for k in range(-12, 13) if 2.0 ** abs(k) <= reach]
    powers = powers if len(powers) < 10 else powers[len(powers) // 2 % 2 :: 2]
    labels = [f"{x:g}" if x >= 1 else f"1/{1 / x:g}" for x in powers]
    if edges:
        powers, labels = [1 / edges, *powers, edges], ["0", *labels, "∞"]
    panels[-1].set_xticks(powers, labels)
    panels[-1].set_xlabel("← arm faster      T@τ arm / T@τ reference      reference faster →")


def _pairs(axes: Axes, place: int, ratio: Floats, cell: Cell, look: Look, edge: float) -> None:
    """One comparison's pairs as dots around height `place`, the median and its interval on top."""
    dots(axes, np.clip(ratio, 1 / edge, edge), place, look)
    if not np.isnan(cell.low):
        bar(axes, np.clip([1 + cell.low, 1 + cell.high], 1 / edge, edge), place, look)
    diamond(axes, float(np.clip(1 + cell.change, 1 / edge, edge)), place, look)
    tested = "not tested" if np.isnan(cell.p) else f"Holm p {p_value(cell.p_holm)}"
    margin(axes, place, f"{percent(cell.change)}\n{tested}")


def survival(counts: Mapping[str, Mapping[int, float]]) -> Figure | None:
    """Trials per search that reached each resource or went beyond, by arm."""
    arms = [arm for arm, by_rung in counts.items() if by_rung]
    if not arms:
        return None
    with styled():
        figure, (axes,) = blank(1, 3.0 + 0.19 * ((len(arms) + 1) // 2))
        survival_panel(axes, counts, looks(list(counts)))
        legend_below(figure, axes)
    return figure


def survival_panel(
    axes: Axes, counts: Mapping[str, Mapping[int, float]], style: Mapping[str, Look]
) -> None:
    found = {arm: by_rung for arm, by_rung in counts.items() if by_rung}
    rungs = sorted({rung for by_rung in found.values() for rung in by_rung})
    heights = [height for by_rung in found.values() for height in by_rung.values()]
    log_axis(axes, "y", min(heights) / 1.3, max(heights) * 1.3)
    log_axis(axes, "x", rungs[0] / 1.15, rungs[-1] * 1.15)
    if len(rungs) <= 10:
        axes.set_xticks(rungs, [str(r) for r in rungs])
    for arm, by_rung in found.items():
        axes.plot(
            list(by_rung),
            list(by_rung.values()),
            color=style[arm].colour,
            linestyle=style[arm].dashes,
            marker=style[arm].marker,
            markersize=5.5,
            markeredgecolor="white",
            label=plain(arm),
        )
    axes.set_xlabel("resource reached (resource units, log scale)")
    axes.set_ylabel("trials per search (log scale)")


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
                margin(axes, place, f"median {number(qs[2], 2)}")
            reach = max(abs(axes.get_xlim()[0]), abs(axes.get_xlim()[1]))
            axes.set_xlim(-reach, reach)
            axes.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
            axes.ticklabel_format(axis="x", scilimits=(-3, 4), useMathText=True)
            rows(axes, [plain(arm, 26) for arm in moving])
    return figure
