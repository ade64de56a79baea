"""Schedulers: which trials are trained, and up to which epoch.

A scheduler is an iterator of rungs. It sees the validation curves of all trials so far and names
the trials to go on with and the epoch to train them to.
"""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

from src.config import SearchConfig

Curves = dict[int, list[float]]  # validation losses by trial, the untrained model's first


class Scheduler(Protocol):
    def rungs(self, curves: Curves) -> Iterator[tuple[list[int], int]]:
        """Pairs of (trials, epoch). `curves` is filled by the caller between two rungs."""
        ...


def last_loss(curve: list[float]) -> float:
    return curve[-1]


def extrapolated_loss(curve: list[float]) -> float:
    """The loss one epoch ahead if it went on falling as it did in the last epoch."""
    if math.isinf(curve[-1]):
        return math.inf
    return curve[-1] + (curve[-1] - curve[-2])


PROMOTIONS: dict[str, Callable[[list[float]], float]] = {
    "last": last_loss,
    "slope": extrapolated_loss,
}


class RandomSearch:
    """Every trial is trained to the end."""

    def __init__(self, config: SearchConfig) -> None:
        self.trials = config.trials
        self.max_epochs = config.max_epochs

    def rungs(self, curves: Curves) -> Iterator[tuple[list[int], int]]:
        yield list(range(self.trials)), self.max_epochs


class SuccessiveHalving:
    """The best 1/eta of a rung goes on to eta times as many epochs."""

    def __init__(self, config: SearchConfig) -> None:
        self.trials = config.trials
        self.max_epochs = config.max_epochs
        self.eta = config.eta
        self.score = PROMOTIONS[config.promotion]

    def rungs(self, curves: Curves) -> Iterator[tuple[list[int], int]]:
        alive = list(range(self.trials))
        epoch = 1
        while True:
            yield alive, epoch
            if epoch >= self.max_epochs:
                return
            ranked = sorted(alive, key=lambda trial: self.score(curves[trial]))
            alive = ranked[: max(1, len(ranked) // self.eta)]
            epoch = min(epoch * self.eta, self.max_epochs)


SCHEDULERS: dict[str, Callable[[SearchConfig], Scheduler]] = {
    "random": RandomSearch,
    "halving": SuccessiveHalving,
}


def make_scheduler(config: SearchConfig) -> Scheduler:
    try:
        return SCHEDULERS[config.scheduler](config)
    except KeyError as error:
        known = ", ".join((*SCHEDULERS, *PROMOTIONS))
        raise ValueError(f"unknown scheduler or promotion {error}; known: {known}") from None
