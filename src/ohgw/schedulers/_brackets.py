"""Brackets of synchronous successive halving, cycled for ever, with trials that pause and resume.

Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: A Novel Bandit-Based Approach to
Hyperparameter Optimization", JMLR 2018, Algorithm 1. How a new trial's configuration is proposed
is left to the caller, so that Hyperband and model-based schedulers share the mechanics.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any, TypeAlias

from ohgw.core.errors import SettingError
from ohgw.core.trial import Configuration, Suggestion
from ohgw.schedulers._trials import Trials, whole

System: TypeAlias = tuple[tuple[int, int], ...]
"""(slots, level) of the rungs of one bracket, from the lowest."""


def bracket_systems(
    levels: Sequence[int], eta: int, brackets: int | None = None
) -> tuple[System, ...]:
    """The first `brackets` of the paper's s_max + 1, from the one that starts lowest; all for None.

    The bracket with s + 1 rungs starts n = ceil((s_max + 1) / (s + 1) * eta^s) trials and keeps
    floor(n / eta^i) of them at its rung i. Raises `SettingError` for a number of brackets that is
    not within 1 .. s_max + 1.
    """
    most = len(levels)  # s_max + 1
    count = most if brackets is None else whole("brackets", brackets, 1)
    if count > most:
        raise SettingError(
            f"brackets {count} must be at most {most}, the number of rungs "
            f"{', '.join(map(str, levels))}; lower it, or eta, or min_resource."
        )
    systems = []
    for lowest in range(count):
        above = levels[lowest:]
        trials = -(-most * eta ** (len(above) - 1) // len(above))  # ceil in whole numbers
        systems.append(tuple((trials // eta**i, level) for i, level in enumerate(above)))
    return tuple(systems)


class _Bracket:
    """One bracket: the trials in the slots of its current rung, and what they have scored there."""

    def __init__(
        self,
        system: System,
        rung: int = 0,
        trials: Sequence[int] = (),
        asked: int = 0,
        losses: Sequence[tuple[int, float | None]] = (),
    ) -> None:
        self._system = system
        self._rung = rung
        self._trials = list(trials)  # in order of their slots; the first rung fills as they start
        self._asked = asked  # how many slots are or were out to a worker
        self._losses = {trial: math.inf if loss is None else loss for trial, loss in losses}

    @property
    def level(self) -> int:
        return self._system[self._rung][1]

    @property
    def has_slot(self) -> bool:
        return self._asked < self._slots

    @property
    def is_over(self) -> bool:
        return self._slots == 0

    @property
    def running(self) -> list[int]:
        return [trial for trial in self._trials[: self._asked] if trial not in self._losses]

    def paused(self) -> tuple[int, int] | None:
        """(trial, level it paused at) in the next slot; None where the slot takes a new trial."""
        if self._rung == 0:
            return None
        return self._trials[self._asked], self._system[self._rung - 1][1]

    def take(self, trial: int) -> None:
        """The trial in the next slot is being trained."""
        if self._rung == 0:
            self._trials.append(trial)
        self._asked += 1

    def tell(self, trial: int, loss: float) -> list[int] | None:
        """None while the rung is open. The report that closes it puts the best in the slots of the
        next, and gives those that could have gone on and do not.
        """
        self._losses[trial] = loss
        if len(self._losses) < self._slots:
            return None
        finite = [trial for trial in self._trials if math.isfinite(self._losses[trial])]
        finite.sort(key=self._losses.__getitem__)  # stable: ties stay in order of slots
        self._rung += 1
        if self._rung == len(self._system):
            self._trials, losers = [], []
        else:
            slots = self._system[self._rung][0]
            self._trials, losers = finite[:slots], finite[slots:]
        self._asked, self._losses = 0, {}
        return losers

    def to_list(self) -> list[Any]:
        losses = [
            [trial, loss if math.isfinite(loss) else None] for trial, loss in self._losses.items()
        ]
        return [self._rung, list(self._trials), self._asked, losses]

    @property
    def _slots(self) -> int:
        """Of the current rung; above the first, failed trials may have left fewer than planned."""
        return len(self._trials) if self._rung else self._system[0][0]


class Brackets:
    """Hands out the slots of brackets, the oldest bracket first.

    Brackets take `systems` in turn. A rung is closed when all its slots have been told: the best
    fill the next rung, best first; equal losses keep the order of their slots, and failed trials
    are left behind, so a rung may have fewer slots than planned. Where every slot of the current
    rungs is out to a worker, the next bracket begins, so `ask` never waits.
    ask takes O(log n); tell too, amortised over a rung.
    """

    def __init__(self, trials: Trials, systems: Sequence[System]) -> None:
        self._trials = trials
        self._systems = tuple(systems)
        self._begun = 0
        self._brackets: dict[int, _Bracket] = {}  # by number, those that are not finished
        self._open: list[int] = []  # heap: numbers of the brackets with a slot to hand out
        self._bracket_of: dict[int, int] = {}  # of every trial that is being trained

    def ask(self, propose: Callable[[], Configuration] | None = None) -> Suggestion:
        """The next trial to train.

        Where it is new, its configuration is what `propose` returns, else a draw from the
        scheduler's own stream.
        """
        if not self._open:
            self._brackets[self._begun] = _Bracket(self._systems[self._begun % len(self._systems)])
            heappush(self._open, self._begun)
            self._begun += 1
        number = self._open[0]
        bracket = self._brackets[number]
        paused = bracket.paused()
        if paused is None:
            suggestion = self._trials.start(bracket.level, propose() if propose else None)
        else:
            suggestion = self._trials.resume(*paused, bracket.level)
        bracket.take(suggestion.trial)
        if not bracket.has_slot:
            heappop(self._open)
        self._bracket_of[suggestion.trial] = number
        return suggestion

    def tell(self, trial: int, loss: float) -> None:
        """The loss that the trial reached where it was asked to train to, as `Trials.finish` gives
        it: smaller is better, infinity where it has failed.
        """
        number = self._bracket_of.pop(trial)
        bracket = self._brackets[number]
        losers = bracket.tell(trial, loss)
        if losers is None:
            return
        for loser in losers:
            self._trials.end(loser)
        if bracket.is_over:
            del self._brackets[number]
        else:
            heappush(self._open, number)

    @property
    def expected_resource(self) -> float:
        """Resource of one round of all brackets divided by the number of trials they start."""
        total = sum(
            slots * (level - below)
            for system in self._systems
            for (slots, level), below in zip(system, _below(system), strict=True)
        )
        return total / sum(system[0][0] for system in self._systems)

    def state_dict(self) -> dict[str, Any]:
        return {
            "begun": self._begun,
            "brackets": [
                [number, *bracket.to_list()] for number, bracket in self._brackets.items()
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._begun = state["begun"]
        self._brackets = {
            number: _Bracket(self._systems[number % len(self._systems)], *rest)
            for number, *rest in state["brackets"]
        }
        self._open = sorted(n for n, bracket in self._brackets.items() if bracket.has_slot)
        self._bracket_of = {
            trial: number for number, bracket in self._brackets.items() for trial in bracket.running
        }


def _below(system: System) -> tuple[int, ...]:
    return (0, *(level for _, level in system[:-1]))
