"""How far a method moved configurations: from x, as asked, to x', as trained."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ohgw.core.records import Report

Unit = Literal["log10 ratio", "difference"]


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """Moves of one hyperparameter in one arm: `values` (trials,), x' - x or log10 x' / x."""

    arm: str
    name: str
    unit: Unit
    values: np.ndarray

    @property
    def moved(self) -> float:
        """Share of the trials whose value changed."""
        return float(np.mean(self.values != 0)) if self.values.size else math.nan


def moves(reports: Iterable[Report]) -> list[Move]:
    """Moves by hyperparameter and arm, over each trial's first report.

    Empty where no arm moved anything. Left out are arms that moved nothing, and hyperparameters
    that no arm moved or that are not numbers. The unit is the same in every arm: the log ratio
    where all values of a hyperparameter are positive, the plain difference otherwise.
    """
    pairs: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for report in reports:
        if report.start == 0:
            pairs.setdefault(report.search, []).append((report.proposed, report.configuration))
    pairs = {arm: found for arm, found in pairs.items() if any(x != new for x, new in found)}
    names = dict.fromkeys(name for found in pairs.values() for x, _ in found for name in x)
    result = []
    for name in names:
        values = {
            arm: np.array(
                [(x[name], new[name]) for x, new in found if _numbers(name, x, new)], dtype=float
            ).reshape(-1, 2)
            for arm, found in pairs.items()
        }
        if all((v[:, 0] == v[:, 1]).all() for v in values.values()):
            continue
        positive = all((v > 0).all() for v in values.values())
        unit: Unit = "log10 ratio" if positive else "difference"
        for arm, v in values.items():
            before, after = np.log10(v).T if positive else v.T
            result.append(Move(arm, name, unit, after - before))
    return result


def _numbers(name: str, *configurations: dict[str, Any]) -> bool:
    values = [c.get(name) for c in configurations]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
