"""Targets fixed from calibration seeds, and the work a search needs to reach them.

The rules are fixed before any arm is compared (AlgoPerf, Dahl et al. 2023, arXiv:2306.07179): a
target depends on the calibration seeds of the vanilla arm under the plain recipe and on nothing
else, and a search that never reaches it took infinitely long.
"""

import math
from collections.abc import Iterable

import numpy as np

from ohgw.analysis.frames import Curve, curves
from ohgw.analysis.statistics import quantile
from ohgw.core.records import Arm, Header, Report

BASELINE = Arm(method="vanilla", recipe="plain")
_PER_CENT = "\N{NO-BREAK SPACE}%"  # stays with its number wherever a label is shown
LABELS = {
    "budget_25": f"25{_PER_CENT} of budget",
    "budget_50": f"50{_PER_CENT} of budget",
    "reach_90": f"reached by 90{_PER_CENT}",
}
_MEDIAN = "median best score of the calibration seeds when"
RULES = {
    "budget_25": f"{_MEDIAN} 25{_PER_CENT} of the budget is spent",
    "budget_50": f"{_MEDIAN} 50{_PER_CENT} of the budget is spent",
    "reach_90": f"hardest final score that at least 90{_PER_CENT} of the calibration seeds reach",
}
REACH = 0.9


def targets(header: Header, reports: Iterable[Report]) -> dict[str, float]:
    """The targets tau by name (keys of `LABELS`), from the calibration seeds of vanilla/plain.

    A target that these seeds do not define (no calibration seeds, or no finite score by then) is
    left out, never replaced by one from the compared seeds.
    """
    calibration = set(header.plan.calibration_seeds)
    found = curves(
        header,
        (r for r in reports if r.search == BASELINE.label and r.seed in calibration),
    )
    if not found:
        return {}
    budget = header.plan.budget * header.steps_per_epoch
    hardest_first = sorted((c.final for c in found.values()), reverse=header.mode == "max")
    # The rounding guards 0.9 * n against landing a hair above a whole number of seeds.
    enough = math.ceil(round(REACH * len(hardest_first), 9))
    values = {
        "budget_25": float(quantile([c.at(0.25 * budget) for c in found.values()], 0.5)),
        "budget_50": float(quantile([c.at(0.50 * budget) for c in found.values()], 0.5)),
        "reach_90": hardest_first[enough - 1],
    }
    return {name: tau for name, tau in values.items() if math.isfinite(tau)}


def time_to_target(curve: Curve, tau: float) -> float:
    """T@tau: work at which the best score so far first reaches `tau`, `math.inf` when never."""
    reached = curve.best <= tau if curve.mode == "min" else curve.best >= tau
    first = int(np.argmax(reached)) if reached.any() else None
    return math.inf if first is None else float(curve.work[first])
