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

from ohgw.analysis.moves import Move
from ohgw.analysis.results import Summary
from ohgw.analysis.statistics import Floats, quantile
from ohgw.analysis.style import (
    FAINT,
    INK,
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
LOG_RANGE = 8.0  # a score axis that spans more than this factor is logarithmic
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
            band = [np.clip(np.where(np.isnan(shown), np.nan, b), -outside, outside)
                    for b in (lower, upper)]  # fmt: skip
            axes.fill_between(
                epochs, *band, step="post", color=look.colour, alpha=0.13, linewidth=0
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
                axes.axvspan(right * 1.02, right * 1.14, color="#f1f1f1", zorder=0, linewidth=0)
                axes.text(right * 1.08, -0.62, "missed", ha="center", fontsize=8.5, color=FAINT)
            axes.set_xlim(0, right * (1.14 if anywhere else 1.02))
        panels[-1].set_xlabel("work until the target is reached, T@τ (epochs)")
        ticks = MaxNLocator(6).tick_values(0, right)
        panels[-1].set_xticks([t for t in ticks if t <= right])
    return figure


def _strip(axes: Axes, place: int, values: Floats, look: Look, right: float) -> None:
    """One arm's searches as dots around height `place`, its median and quartiles on top."""
    reached = values[np.isfinite(values)]
    missed = values.size - reached.size
    axes.plot(
        reached,
        place + _jitter(reached.size, 0.26),
        linestyle="",
        marker="o",
        markersize=3.2,
        markeredgewidth=0,
        color=look.colour,
        alpha=0.38,
    )
    if missed:
        axes.text(right * 1.08, place, str(missed), ha="center", va="center", color=look.colour)
    if not values.size:
        return
    low, median, high = (float(quantile(values, q)) for q in (0.25, 0.5, 0.75))
    if np.isfinite(low):
        end = min(high, right * 1.02)
        axes.plot([low, end], [place, place], color=look.colour, linewidth=3, solid_capstyle="butt")
    if np.isfinite(median):
        axes.plot(
            median, place, marker="D", markersize=6.5, color="white",
            markeredgecolor=look.colour, markeredgewidth=1.6,
        )  # fmt: skip


def changes(values: Mapping[str, Mapping[str, Floats]], summary: Summary) -> Figure | None:
    """T_arm / T_reference of every pair, with the median change and its interval.

    `values` maps target, then a comparison's key, to ratios (pairs,): 0 and infinity, where only
    one arm reached the target, stand at the edges.
    """
    comparisons = [row for row in summary.comparisons if row.pairs]
    if not values or not comparisons:
        return None
    finite = np.concatenate(
        [v[np.isfinite(v) & (v > 0)] for by_key in values.values() for v in by_key.values()]
    )
    reach = max(2.0, float(np.max(np.maximum(finite, 1 / finite), initial=1.0)) * 1.15)
    reach = min(reach, 32.0)
    edge = reach * 1.35
    style = looks([cost.arm for cost in summary.costs])
    height = ROW + 0.16
    with styled():
        figure, panels = blank(
            len(values), len(values) * (height * len(comparisons) + 0.45) + 0.55, sharex=True
        )
        for axes, (target, by_key) in zip(panels, values.items(), strict=True):
            axes.set_title(LABELS[target])
            log_axis(axes, "x", 1 / (edge * 1.2), edge * 1.2)
            axes.axvline(1, color=INK, linewidth=1)
            for side in (1 / edge, edge):
                axes.axvspan(side / 1.17, side * 1.17, color="#f1f1f1", zorder=0, linewidth=0)
            for place, row in enumerate(comparisons):
                cell = next(c for c in row.cells if c.target == target)
                ratio = by_key[row.key]
                look = style[row.arm]
                axes.plot(
                    np.clip(ratio, 1 / edge, edge),
                    place + _jitter(ratio.size, 0.3),
                    linestyle="",
                    marker="o",
                    markersize=3.2,
                    markeredgewidth=0,
                    color=look.colour,
                    alpha=0.35,
                )
                if not np.isnan(cell.low):
                    ends = np.clip([1 + cell.low, 1 + cell.high], 1 / edge, edge)
                    axes.plot(
                        ends, [place, place], color=look.colour, linewidth=3, solid_capstyle="butt"
                    )
                axes.plot(
                    np.clip(1 + cell.change, 1 / edge, edge), place, marker="D", markersize=6.5,
                    color="white", markeredgecolor=look.colour, markeredgewidth=1.6,
                )  # fmt: skip
                axes.text(
                    1.02,
                    place,
                    f"{percent(cell.change)}\nHolm p {p_value(cell.p_holm)}"
                    if not np.isnan(cell.p)
                    else f"{percent(cell.change)}\nnot tested",
                    transform=axes.get_yaxis_transform(),
                    va="center",
                    fontsize=8.5,
                    linespacing=1.1,
                )
            _rows(
                axes,
                [f"{plain(r.arm, 24)}\nvs {plain(r.reference or '', 22)}" for r in comparisons],
            )
        panels[-1].set_xlabel(
            "T@τ of the arm / T@τ of its reference, same seed\n"
            "← arm faster (at the edge: only the arm arrives)   reference faster →"
        )
    return figure


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
                    qs[1:4:2], [place, place], color=look.colour, linewidth=5.5, alpha=0.55,
                    solid_capstyle="butt",
                )  # fmt: skip
                axes.plot(
                    qs[2], place, marker=look.marker, color="white", markersize=5.5,
                    markeredgecolor=look.colour, markeredgewidth=1.5,
                )  # fmt: skip
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


def _jitter(n: int, width: float) -> Floats:
    """Fixed offsets in [-width, width] (n,) that never put neighbours side by side."""
    return width * (2 * ((np.arange(1, n + 1) * 0.6180339887498949) % 1) - 1)


def _legend_below(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    shown = [h for h in handles if isinstance(h, Line2D)]
    columns = 1 if max(map(len, labels), default=0) > 26 else 2
    figure.legend(
        shown, labels, loc="outside lower left", ncols=columns, handlelength=3.2, borderaxespad=0.3
    )
