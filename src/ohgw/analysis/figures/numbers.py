"""From the rows of a comparison to the arrays that its figures show."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ohgw.analysis.results import Summary
from ohgw.analysis.statistics import Floats, ratios
from ohgw.analysis.summary import Searches
from ohgw.core.records import Report

GRID_POINTS = 400


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Only searches that are compared: ended, and not calibration. Work in epochs."""

    epochs: Floats  # (GRID_POINTS,)
    bests: Mapping[str, Floats]  # arm -> best score so far (searches, GRID_POINTS)
    times: Mapping[str, Mapping[str, Floats]]  # target -> arm -> T@tau (searches,)
    paired: Mapping[str, Mapping[str, Floats]]  # target -> comparison's key -> ratios (pairs,)
    survivors: Mapping[str, Mapping[int, float]]  # arm -> resource -> trials per search

    @classmethod
    def of(cls, searches: Searches, summary: Summary) -> "Shown":
        epochs = np.linspace(0, summary.budget, GRID_POINTS)
        work = epochs * searches.header.steps_per_epoch
        times = searches.compared_times()
        return cls(
            epochs=epochs,
            bests={
                cost.arm: np.array(
                    [
                        searches.curves[cost.arm, seed].at(work)
                        for seed in searches.seeds(cost.arm)
                        if (cost.arm, seed) in searches.curves
                    ]
                )
                for cost in summary.costs
            },
            times={
                target: {arm: np.array(list(seeds.values())) for arm, seeds in by_arm.items()}
                for target, by_arm in times.items()
            },
            paired={
                target: {
                    row.key: _paired(by_arm[row.arm], by_arm[row.reference])
                    for row in summary.comparisons
                    if row.reference is not None
                }
                for target, by_arm in times.items()
            },
            survivors=_survivors(compared_reports(searches), summary),
        )


def compared_reports(searches: Searches) -> list[Report]:
    """The reports of searches that ended and are not calibration."""
    compared = set(searches.compared)
    return [report for report in searches.reports if report.seed in compared]


def _paired(arm: Mapping[int, float], reference: Mapping[int, float]) -> Floats:
    both = [seed for seed in arm if seed in reference]
    return ratios([arm[s] for s in both], [reference[s] for s in both])


def _survivors(reports: list[Report], summary: Summary) -> dict[str, dict[int, float]]:
    last: dict[str, dict[tuple[int, int], int]] = {cost.arm: {} for cost in summary.costs}
    for report in reports:
        trial, by_trial = (report.seed, report.trial), last[report.search]
        by_trial[trial] = max(report.resource, by_trial.get(trial, 0))
    rungs = sorted({report.resource for report in reports})
    result: dict[str, dict[int, float]] = {}
    for cost in summary.costs:
        reached = np.array(list(last[cost.arm].values()))
        counts = {rung: int((reached >= rung).sum()) for rung in rungs}
        searches = len({seed for seed, _ in last[cost.arm]})
        result[cost.arm] = {rung: n / searches for rung, n in counts.items() if n}
    return result
