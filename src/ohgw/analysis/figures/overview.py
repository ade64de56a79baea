"""One cell of a study on one page: curves, times, paired changes and survival of its arms."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from ohgw.analysis.figures.comparison import (
    Bands,
    anytime_panel,
    changes_panels,
    compared,
    survival_panel,
    times_panels,
)
from ohgw.analysis.figures.numbers import Shown
from ohgw.analysis.results import Summary
from ohgw.analysis.style import Look, plain, stacked, styled, widest

ROW, PAIR = 0.28, 0.36  # inches: closer than where a figure has one of these panels alone
GAP = 0.78  # below a panel, for its axis and the title of the next


def overview(
    shown: Shown, summary: Summary, target: str, style: Mapping[str, Look]
) -> Figure | None:
    """Panels for what the cell has, at `target` (any other where it lacks that).

    None where no search has a finite score.
    """
    bands = Bands.of(shown.bests, shown.epochs, summary)
    if bands is None:
        return None
    target = target if target in shown.times else next(iter(shown.times), "")
    comparisons = compared(summary) if target else []
    survivors = {arm: rungs for arm, rungs in shown.survivors.items() if rungs}
    heights = {"anytime": 2.5}
    if target:
        heights["times"] = ROW * len(shown.bests) + 0.1
    if comparisons:
        heights["changes"] = PAIR * len(comparisons)
    if survivors:
        heights["survival"] = 1.9
    arms = [plain(arm) for arm in bands.quartiles]
    columns = 1 if max(map(len, arms)) > 26 else 2
    legend = 0.19 * -(-len(arms) // columns) + 0.1
    inches = [legend + GAP - 0.4]
    for height in heights.values():
        inches += [height, GAP]
    names = [plain(arm, 26) for arm in shown.bests]
    names += [f"vs {plain(row.reference or '', 22)}" for row in comparisons]
    with styled():
        figure, panels = stacked(inches, max(widest(names, 9) + 0.15, 0.75), 1.2)
        by_name = dict(zip(heights, panels, strict=True))
        anytime_panel(by_name["anytime"], bands, summary, style)
        if "times" in by_name:
            times_panels([by_name["times"]], {target: shown.times[target]}, summary, style)
        if "changes" in by_name:
            paired = {target: shown.paired[target]}
            changes_panels([by_name["changes"]], paired, summary, style)
        if "survival" in by_name:
            survival_panel(by_name["survival"], survivors, style)
            by_name["survival"].set_title("Trials that survive to each resource")
        by_name["anytime"].set_title("Best score so far")
        handles, labels = by_name["anytime"].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="upper left",
            ncols=columns,
            handlelength=3.2,
            borderaxespad=0.3,
        )
    return figure
