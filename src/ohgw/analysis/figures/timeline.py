"""What a scheduler did with its budget: every leg of every trial, on its worker's clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ohgw.analysis.style import INK, blank, plain, styled
from ohgw.core.records import Report

# Dark where the resource is high: the trials that were trained longest stand out.
_SHADES = ListedColormap(mpl.colormaps["YlGnBu"](np.linspace(0.3, 1.0, 256)))


@dataclass(frozen=True, slots=True)
class Leg:
    """One job: `trial` was trained to `resource` between two moments of virtual time."""

    trial: int
    resource: int
    begin: float  # epochs of work, on the clock of one worker
    end: float
    best: bool  # whether its report became the incumbent of the whole search


def legs(reports: Sequence[Report], steps_per_epoch: float, incumbent: int | None) -> list[Leg]:
    """The legs of one search's reports, which are in order of arrival.

    A worker is never idle before the budget is spent, so the time at which its job begins is the
    sum of the work of its jobs before.
    """
    clocks: dict[int, float] = {}
    last = max((r.resource for r in reports if r.trial == incumbent), default=None)
    found = []
    for report in reports:
        begin = clocks.get(report.worker, 0.0)
        clocks[report.worker] = end = begin + report.job_work / steps_per_epoch
        best = report.trial == incumbent and report.resource == last
        found.append(Leg(report.trial, report.resource, begin, end, best))
    return found


def timeline(found: Mapping[str, Sequence[Leg]], workers: Mapping[str, int]) -> Figure | None:
    """One panel per scheduler: trials in order of start against virtual time."""
    shown = {name: rows for name, rows in found.items() if rows}
    if not shown:
        return None
    with styled():
        figure, panels = blank(len(shown), 2.5 * len(shown) + 0.3)
        for axes, (name, rows) in zip(panels, shown.items(), strict=True):
            rungs = sorted({leg.resource for leg in rows})
            depth = np.linspace(0.0, 1.0, len(rungs)) if len(rungs) > 1 else np.ones(1)
            colour = {rung: _SHADES(x) for rung, x in zip(rungs, depth, strict=True)}
            trials = max(leg.trial for leg in rows) + 1
            axes.barh(
                [leg.trial for leg in rows],
                [leg.end - leg.begin for leg in rows],
                left=[leg.begin for leg in rows],
                height=0.9,
                color=[colour[leg.resource] for leg in rows],
            )
            best = [(leg.end, leg.trial) for leg in rows if leg.best]
            if best:
                axes.plot(
                    *best[-1],
                    marker="*",
                    markersize=11,
                    color="#D55E00",
                    markeredgecolor="white",
                    markeredgewidth=0.6,
                    clip_on=False,
                )
            axes.set_ylim(trials - 0.3, -0.7)
            axes.set_xlim(0, max(leg.end for leg in rows))
            axes.set_title(f"{plain(name, 60)}: {trials} trials, {workers[name]} workers")
            axes.set_ylabel("trial")
            axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.xaxis.set_major_locator(MaxNLocator(6))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            steps = [0, *range(max(1, len(rungs) // 5), len(rungs), max(1, len(rungs) // 5))]
            keys = [rungs[k] for k in dict.fromkeys([*steps, len(rungs) - 1])]
            axes.legend(
                handles=[Patch(color=colour[rung], label=str(rung)) for rung in keys],
                title="trained to",
                title_fontsize=8,
                fontsize=8,
                loc="center left",
                bbox_to_anchor=(1.0, 0.5),
                handlelength=1.0,
                labelcolor=INK,
            )
        panels[-1].set_xlabel("virtual time (epochs of work of one worker)")
    return figure
