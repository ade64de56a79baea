"""Over the cells of a study: performance profiles, and how effects depend on a setting."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from ohgw.analysis.across.results import Measure, Profile, Sensitivity
from ohgw.analysis.figures.marks import legend_below
from ohgw.analysis.style import INK, SHADE, Look, blank, log_axis, plain, styled
from ohgw.analysis.time_to_target import LABELS

_LINE, _POINT, _GOOD = "#0072B2", "#000000", "#d3ece4"


def profiles(found: Sequence[Profile], style: dict[str, Look]) -> Figure | None:
    """Share of workloads that each arm solves within a factor of the best arm's time."""
    if not found:
        return None
    with styled():
        figure, panels = blank(len(found), 2.35 * len(found) + 0.9, sharex=True)
        for axes, profile in zip(panels, found, strict=True):
            block = "all blocks" if profile.block is None else f"block {plain(profile.block)}"
            axes.set_title(f"{block}: {len(profile.cells)} workloads, {LABELS[profile.target]}")
            log_axis(axes, "x", 0.97, profile.limit)
            for curve in profile.curves:
                look = style[curve.arm]
                axes.plot(
                    [*curve.factors, max(profile.limit, curve.factors[-1])],
                    [*curve.shares, curve.shares[-1]],
                    drawstyle="steps-post",
                    color=look.colour,
                    linestyle=look.dashes,
                    label=plain(curve.arm),
                )
            axes.set_ylim(-0.03, 1.05)
            axes.set_ylabel("share solved")
        panels[-1].set_xlabel("within this factor of the best arm's T@τ (log scale)")
        widest = max(panels, key=lambda axes: len(axes.get_lines()))
        legend_below(figure, widest)
    return figure


def sensitivity(found: Sequence[Sensitivity]) -> Figure | None:
    """Effects along one setting: a row per arm and reference, T@tau left and score right."""
    if not found:
        return None
    keys = list(dict.fromkeys((s.arm, s.reference) for s in found))
    by_key = {(s.arm, s.reference, s.measure): s for s in found}
    measures: tuple[Measure, ...] = ("time", "score")
    with styled():
        figure, flat = blank(len(keys), 2.15 * len(keys) + 0.3, columns=2)
        panels = iter(flat)
        for arm, reference in keys:
            for measure in measures:
                axes = next(panels)
                one = by_key.get((arm, reference, measure))
                if one is None:
                    axes.remove()
                    continue
                _effects(axes, one)
                if measure == "time":
                    axes.set_title(f"{plain(arm, 40)} vs {plain(reference, 30)}", fontsize=8.5)
    return figure


def _effects(axes: Axes, one: Sensitivity) -> None:
    settings = np.array(one.settings)
    if one.logarithmic and settings[0] > 0 and settings[-1] > settings[0]:
        log_axis(axes, "x", settings[0] / 1.25, settings[-1] * 1.25)
        axes.set_xticks(settings, [f"{s:g}" for s in settings], fontsize=8)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.axhline(0, color=INK, linewidth=0.8)
    if one.grid:
        axes.axvspan(*one.region, color=_GOOD, zorder=0, linewidth=0)
        axes.fill_between(
            one.grid,
            100 * np.array(one.band_low),
            100 * np.array(one.band_high),
            color=_LINE,
            alpha=0.14,
            linewidth=0,
        )
        axes.plot(one.grid, 100 * np.array(one.spline), color=_LINE)
        if not one.flat:
            axes.axvline(one.optimum.value, color=_LINE, linewidth=1, linestyle=(0, (3, 2)))
    middle = 100 * np.array([e.value for e in one.effects])
    low = 100 * np.array([e.low for e in one.effects])
    high = 100 * np.array([e.high for e in one.effects])
    seen = np.isfinite(low) & np.isfinite(high)
    axes.vlines(settings[seen], low[seen], high[seen], color=_POINT, linewidth=1.3)
    axes.plot(settings, np.where(np.isfinite(middle), middle, np.nan), "o", color=_POINT, ms=4)
    word = ": points only" if one.note else ": flat within the tolerance" if one.flat else ""
    axes.set_xlabel(plain(one.setting, 24) + word, fontsize=8.5)
    what = "change of T@τ, %" if one.measure == "time" else "gain of score, %"
    axes.set_ylabel(what, fontsize=8.5)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(labelsize=8)
    if one.note:
        axes.set_facecolor(SHADE)
