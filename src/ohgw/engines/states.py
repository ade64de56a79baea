"""States of trials that are paused, finished or best: what engines keep between jobs."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ohgw.core.protocols import DifferentiableTask
from ohgw.core.streams import Streams
from ohgw.training.dynamics import State, initial_state, over_lanes
from ohgw.training.feed import initial_parameters
from ohgw.training.recipes import PolynomialAveraging, Recipe

AVERAGING = PolynomialAveraging()
Key = tuple[int, int]  # (search, trial)


class Paused(NamedTuple):
    """One configuration's training between two jobs."""

    theta: Tensor  # (N,)
    slots: tuple[Tensor, ...]
    steps: int
    average: Tensor | None  # (N,) under an averaging recipe

    @property
    def scored(self) -> Tensor:
        """The parameters that are evaluated: averaged ones as soon as there are any."""
        if self.average is None or self.steps < AVERAGING.every:
            return self.theta
        return self.average


def start(
    task: DifferentiableTask, streams: Streams, trial: int, recipe: Recipe, probed: State | None
) -> Paused:
    """Before a trial's first job: from where its probe left off, or from its own initialisation."""
    if probed is None:
        theta = initial_parameters(task, streams.integer("initialisation", trial))
        probed = initial_state(task, theta)
    average = probed.theta.clone() if recipe.averaged else None
    return Paused(probed.theta, probed.slots, int(probed.t), average)


def evaluate(
    task: DifferentiableTask, thetas: list[Tensor], split: str, lanes: int = 64
) -> list[dict[str, float]]:
    """Metrics of each parameter vector on a whole split, `lanes` of them at a time."""
    data = task.data[split]
    results: list[dict[str, float]] = []
    with torch.no_grad():
        for first in range(0, len(thetas), lanes):
            stack = torch.stack(thetas[first : first + lanes])
            metrics = over_lanes(task, lambda theta: task.metrics(theta, data))(stack)
            values = {name: value.tolist() for name, value in metrics.items()}
            results += [
                {name: column[row] for name, column in values.items()} for row in range(len(stack))
            ]
    return results


def score(task: DifferentiableTask, thetas: list[Tensor]) -> list[dict[str, float]]:
    """Validation metrics of each, and those of the splits that a task wants at every report.

    A task's `rung_splits` maps such a split to the metric whose difference is reported too.
    """
    found = evaluate(task, thetas, "val")
    for split, name in getattr(task, "rung_splits", {}).items():
        for metrics, more in zip(found, evaluate(task, thetas, split), strict=True):
            metrics[f"{split}_{name}_difference"] = more[name] - metrics[name]
            metrics |= _prefixed(split, more)
    return found


def final_metrics(task: DifferentiableTask, theta: Tensor) -> dict[str, float]:
    """Metrics on the test split, on a task's further splits, and what it alone can examine.

    A task's `examine(theta)` gives metrics that are no mean over a split.
    """
    found = dict(evaluate(task, [theta], "test")[0])
    for split in sorted(task.data.keys() - {"train", "val", "test"}):
        found |= _prefixed(split, evaluate(task, [theta], split)[0])
    examine = getattr(task, "examine", None)
    return found if examine is None else found | examine(theta)


def _prefixed(split: str, metrics: dict[str, float]) -> dict[str, float]:
    return {f"{split}_{name}": value for name, value in metrics.items()}


class StateStore:
    """States by (search, trial), and the best of each search."""

    def __init__(self) -> None:
        self.paused: dict[Key, Any] = {}
        self.bests: dict[int, Any] = {}

    def keep(self, search: int, trial: int) -> None:
        self.bests[search] = self.paused[search, trial]

    def forget(self, search: int, trial: int) -> None:
        del self.paused[search, trial]

    def release(self, search: int) -> None:
        for key in [key for key in self.paused if key[0] == search]:
            del self.paused[key]

    def state_dict(self) -> dict[str, Any]:
        return {"paused": dict(self.paused), "bests": dict(self.bests)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.paused, self.bests = state["paused"], state["bests"]
