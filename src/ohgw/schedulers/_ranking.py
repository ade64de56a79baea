"""PASHA's soft ranking: did trials change places between two rungs by more than noise?

Bohdal, Balles, Wistuba, Ermis, Archambeau and Zappella, "PASHA: Efficient HPO and NAS with
Progressive Resource Allocation", ICLR 2023, section 4.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.float32]
Slots: TypeAlias = NDArray[np.intp]
_LARGEST = np.finfo(np.float64).max
_BLOCK = 1 << 19  # losses compared at a time, which bounds memory


class SoftRanking:
    """Trials in the rung at `upper`, or on their way there from the rung at `lower`.

    `lower` and `upper` count units, from 1; a curve holds the loss of every unit so far, all
    finite. Two trials are *noisy* where the sign of the difference of their losses changed twice
    or more up to the last unit that both have reported, if that unit is above `lower`; their
    distance is the difference there. `epsilon` is the `quantile` of the distances of all noisy
    pairs, or the given one while there is none. Where two losses are equal, the trial with the
    lower number counts as the better of the two.

    There are as many pairs as trials squared, so epsilon itself is computed only where a decision
    hangs on it. Between, a `bound` at which the ranking is still stable is known to lie below
    epsilon by counting alone: the noisy pairs, and those of them that are closer than the bound.
    A report changes the pairs of one trial, which takes O(trials), or none at all while the two
    rungs agree and the bound is 0.
    """

    def __init__(self, lower: int, upper: int, quantile: float, epsilon: float = 0.0) -> None:
        self._lower, self._upper = lower, upper
        self._quantile = quantile
        self.inherited = epsilon
        self._slots: dict[int, int] = {}  # trial -> its place in what follows
        self._curves: Floats = np.empty((upper, 16))
        self._numbers = np.empty(16, dtype=np.int64)
        self._units = np.empty(16, dtype=np.int64)  # reported so far
        self._upper_losses: Floats = np.empty(0)  # of the trials in the upper rung, best first
        self._lower_losses: Floats = np.empty(0)  # of the same trials, best first
        self._matching: Floats = np.empty(0)  # lower losses in the order of the upper rung
        self._bound, self._agrees_within_bound = 0.0, True
        self._noisy = self._closer = 0  # counted while the bound is above 0

    def add(self, trial: int, curve: Sequence[float]) -> bool:
        """The trial has reported `len(curve)` units; False where that is nothing to this ranking.

        Every unit above `lower` is to be added, one after the other, or a whole curve at first.
        """
        unit = len(curve)
        if not self._lower < unit <= self._upper:
            return False
        slot = self._slots.get(trial)
        if slot is None:
            slot = self._enter(trial, curve)
        self._curves[unit - 1, slot] = curve[-1]
        if self._bound > 0:
            self._recount(slot, unit)
        self._units[slot] = unit
        if unit == self._upper:
            self._rank(curve[self._lower - 1], curve[-1])
        return True

    def is_stable(self) -> bool:
        """True where no trial has left its place by more than epsilon.

        In place i of the upper rung belongs a trial whose lower loss is within epsilon of the
        lower loss in place i of the lower rung, counting only trials that are in both.
        """
        if self._agrees_within_bound and self._is_bound_below_epsilon():
            return True
        distances = self._all_distances()
        epsilon = self._quantile_of(distances)
        self._bound, self._agrees_within_bound = 0.0, False
        if not self._agrees(epsilon):
            return False
        # Any bound between the largest displacement and epsilon would do; half-way leaves room.
        half = float(_apart(self._matching, self._lower_losses).max()) / 2 + epsilon / 2
        self._bound = half if half < epsilon and self._agrees(half) else epsilon
        self._agrees_within_bound = True
        self._noisy = self._closer = 0
        self._count(distances, 1)
        return True

    @property
    def epsilon(self) -> float:
        """The threshold after all reports so far. Takes O(trials^2)."""
        return self._quantile_of(self._all_distances())

    def _quantile_of(self, distances: Floats) -> float:
        return float(np.quantile(distances, self._quantile)) if len(distances) else self.inherited

    def _is_bound_below_epsilon(self) -> bool:
        """The quantile lies between the distances in places k and k + 1, so not below place k."""
        return (
            self._bound == 0
            or self._noisy == 0
            or self._closer <= math.floor((self._noisy - 1) * self._quantile)
        )

    def _agrees(self, epsilon: float) -> bool:
        with np.errstate(over="ignore"):
            worse = self._matching > self._lower_losses + epsilon
            better = self._matching < self._lower_losses - epsilon
        return not (worse.any() or better.any())

    def _enter(self, trial: int, curve: Sequence[float]) -> int:
        slot = self._slots[trial] = len(self._slots)
        if slot == len(self._units):
            self._curves = np.concatenate([self._curves, np.empty_like(self._curves)], axis=1)
            self._numbers = np.resize(self._numbers, 2 * slot)
            self._units = np.resize(self._units, 2 * slot)
        self._curves[: len(curve), slot] = curve
        self._numbers[slot], self._units[slot] = trial, 0
        return slot

    def _rank(self, lower_loss: float, upper_loss: float) -> None:
        place = np.searchsorted(self._lower_losses, lower_loss)
        self._lower_losses = _inserted(self._lower_losses, place, lower_loss)
        place = np.searchsorted(self._upper_losses, upper_loss, side="right")  # ties as they come
        self._upper_losses = _inserted(self._upper_losses, place, upper_loss)
        self._matching = _inserted(self._matching, place, lower_loss)
        self._agrees_within_bound = self._agrees(self._bound)

    def _recount(self, slot: int, unit: int) -> None:
        """The pairs of a slot with those that have reported `unit` move on to there."""
        met = np.flatnonzero(self._units[: len(self._slots)] >= unit)
        turns, turns_before = self._turns(np.array([slot]), unit, met)
        self._count(self._distances(slot, unit, met[turns[0] >= 2]), 1)
        if unit - 1 > self._lower:  # these pairs have been counted there
            self._count(self._distances(slot, unit - 1, met[turns_before[0] >= 2]), -1)

    def _count(self, distances: Floats, sign: int) -> None:
        self._noisy += sign * len(distances)
        self._closer += sign * int(np.count_nonzero(distances < self._bound))

    def _all_distances(self) -> Floats:
        """Those of all noisy pairs."""
        units = self._units[: len(self._slots)]
        found = [np.empty(0)]
        for unit in range(self._lower + 1, self._upper + 1):
            here, met = np.flatnonzero(units == unit), np.flatnonzero(units >= unit)
            rows = 1 + _BLOCK // (unit * (1 + len(met)))
            for first in range(0, len(here), rows):
                slots = here[first : first + rows]
                noisy = self._turns(slots, unit, met)[0] >= 2
                noisy &= (units[met] > unit) | (met < slots[:, None])  # each pair once
                row, column = np.nonzero(noisy)
                found.append(self._distances(slots[row], unit, met[column]))
        return np.concatenate(found)

    def _distances(self, slots: int | Slots, unit: int, others: Slots) -> Floats:
        losses = self._curves[unit - 1]
        return _apart(losses[slots], losses[others])

    def _turns(self, slots: Slots, unit: int, others: Slots) -> tuple[Counts, Counts]:
        """How often the order of each of slots and each of others changed up to `unit`, and up to
        the unit before; both of shape (slots, others).
        """
        curves = self._curves[:unit]
        own, theirs = curves.take(slots, axis=1)[:, :, None], curves.take(others, axis=1)[:, None]
        worse = theirs > own
        tied = theirs == own
        if tied.any():
            worse |= tied & (self._numbers[others] > self._numbers[slots, None])
        changes = worse[1:] != worse[:-1]
        # A product adds up many times faster than a sum over the first axis; exact up to 2^24.
        turns = np.ones(unit - 1, dtype=np.float32) @ changes.reshape(unit - 1, -1)
        turns = turns.reshape(changes.shape[1:])
        return turns, turns - changes[-1]


def _apart(a: Floats, b: Floats) -> Floats:
    """Absolute differences, kept finite so that their quantile is a number."""
    with np.errstate(over="ignore"):
        return np.minimum(np.abs(a - b), _LARGEST)


def _inserted(values: Floats, place: np.intp, value: float) -> Floats:
    return np.concatenate([values[:place], [value], values[place:]])
