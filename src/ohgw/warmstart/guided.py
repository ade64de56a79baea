"""Guided warm starts: choose what to train by a surrogate that hypergradients have scaled.

Of many configurations that the scheduler could have proposed, train the one that a multi-fidelity
Gaussian process over the reports of this search expects most of (lower confidence bound: Cox &
John 1992; Srinivas et al. 2010). The scheduler's rules are untouched: it sees x', and promotes,
pauses and stops as ever.

A search is short, some twenty to a hundred reports, too few to tell from the scores alone which
hyperparameters matter. Hypergradients tell: the one-step hypergradients of the first trials, each
a few mini-batches, say how steeply a loss changes along each dimension of the unit cube, and set
the prior of the surrogate's length scales. Their *direction* is not used, it has too short a
horizon to be trusted; their relative *size* says where to look closely.

Until enough trials have reported there is nothing to fit, and new trials are screened (`screen`).
"""

import math
from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt

from ohgw.core.domains import Categorical
from ohgw.core.errors import SettingError
from ohgw.core.space import Space
from ohgw.core.threads import one_thread
from ohgw.core.trial import Configuration
from ohgw.warmstart._surrogate import LENGTH_SCALE, Observations, Surrogate
from ohgw.warmstart.method import (
    GradientRequest,
    GradientResult,
    Method,
    Proposal,
    Request,
    Sweep,
    check_number,
    check_whole,
)
from ohgw.warmstart.screen import Screen

Array = npt.NDArray[np.float64]

MEMORY = 160  # reports that are modelled at most: a fit takes their number cubed
PENDING = 32  # trials without a report that are modelled at most
REFIT = 1.25  # parameters are fitted anew once there are so many times as many reports
BAD = 0.6  # quantile of the lowest level's losses beyond which a loss is just bad
SHORTEST, LONGEST = 0.3, 2.0  # prior length scales of the steepest and of a flat dimension


class Guided(Method):
    """Best of `candidates` by the surrogate's mean minus `caution` standard deviations.

    least
        Trials with a finite score before the surrogate is trusted; as many are probed.
    relevance
        Whether hypergradients set the prior of the length scales: 'hypergradient', 'flat' (all
        alike, no probe), or 'permuted', a control that gives each dimension another one's.
    screening
        Whether the trials before that are screened.
    """

    name = "guided"

    def __init__(
        self,
        *,
        candidates: int = 64,
        caution: float = 2.0,
        least: int = 4,
        relevance: str = "hypergradient",
        screening: bool = True,
    ) -> None:
        check_whole(self.name, "candidates", candidates, 2)
        check_whole(self.name, "least", least, 2)
        check_number(self.name, "caution", caution, lambda x: 0 <= x < math.inf, "0 or positive")
        if relevance not in ("hypergradient", "flat", "permuted"):
            raise SettingError(
                f"relevance={relevance!r} of method 'guided' must be hypergradient, flat or "
                "permuted."
            )
        if not isinstance(screening, bool):
            raise SettingError(f"screening={screening!r} of method 'guided' must be true or false.")
        self.candidates, self.caution, self.least = candidates, caution, least
        self.relevance = relevance
        self._screen = Screen() if screening else None
        self._history = _History()
        self._steepness: list[list[float]] = []  # |dL/du| of each probed trial, largest 1
        self._surrogate: Surrogate | None = None
        self._fitted = 0  # reports at the last fit of the parameters

    def _probes(self, sweep: Sweep, trial: int) -> bool:
        return sweep.gradients and self.relevance != "flat" and trial < self.least

    @property
    def _learning(self) -> bool:
        """Too few reports to fit anything to."""
        return len(self._history.finite) < self.least

    def price(self, sweep: Sweep) -> float:
        price = 0.0
        if self._probes(sweep, len(self._steepness)):
            price += sweep.gradient_work("reverse", 1)
        if self._screen is not None and self._learning:
            price += self._screen.price(sweep)
        return price

    def prepare(self, sweep: Sweep) -> Generator[Request, Any, None]:
        if self._screen is not None:
            yield from self._screen.prepare(sweep)

    def observe(
        self, trial: int, configuration: Configuration, resource: float, loss: float
    ) -> None:
        self._history.add(trial, configuration, resource, loss)

    def propose(
        self, sweep: Sweep, trial: int, configuration: Configuration
    ) -> Generator[Request, Any, Proposal]:
        work, seen = 0.0, {}
        if self._probes(sweep, trial):
            answer: GradientResult = yield GradientRequest(trial, configuration, 1, "reverse")
            work = answer.work
            seen = self._look(sweep.space, answer)
        if not self._learning:
            proposal = self._choose(sweep, trial, configuration)
        elif self._screen is not None:
            proposal = yield from self._screen.propose(sweep, trial, configuration)
        else:
            proposal = Proposal(configuration)
        self._history.launch(trial, proposal.configuration)
        return Proposal(
            proposal.configuration,
            work=work + proposal.work,
            diagnostics={**seen, **proposal.diagnostics},
            state=proposal.state,
            steps_done=proposal.steps_done,
        )

    def _look(self, space: Space, answer: GradientResult) -> dict[str, Any]:
        """Keep how steep the loss is along each continuous dimension of the unit cube."""
        steepness = np.abs(answer.gradient * space.unit_scale)
        steepness[~np.isfinite(steepness)] = 0.0
        if steepness.max(initial=0.0) > 0:
            self._steepness.append((steepness / steepness.max()).tolist())
        return answer.diagnostics(space.continuous)

    @one_thread()
    def _choose(self, sweep: Sweep, trial: int, configuration: Configuration) -> Proposal:
        seen, pending = self._history.observations(sweep.space)
        if self._surrogate is None:
            self._surrogate = Surrogate(self._length_scales(sweep))
        surrogate = self._surrogate
        anew = len(seen.values) >= REFIT * self._fitted
        self._fitted = len(seen.values) if anew else self._fitted
        surrogate.fit(seen, optimise=anew)
        lowest, highest = int(seen.levels.min()), int(seen.levels.max())
        if len(pending):
            surrogate.believe(pending, lowest)
        rng = sweep.streams.generator("probe", trial)
        drawn = [configuration, *(sweep.draw(rng) for _ in range(self.candidates - 1))]
        points = np.stack([coordinates(sweep.space, candidate) for candidate in drawn])
        mean, deviation = surrogate.predict(points, highest)
        best = int((mean - self.caution * deviation).argmin())
        return Proposal(
            drawn[best],
            diagnostics={
                "kept": best,
                "predicted": float(mean[best]),
                "predicted_deviation": float(deviation[best]),
                "reports": len(seen.values),
            },
        )

    def _length_scales(self, sweep: Sweep) -> Array:
        """Prior medians: short along dimensions in which the loss is steep."""
        space = sweep.space
        scales = dict.fromkeys(space.names, LENGTH_SCALE)
        if self._steepness:
            steepness = np.sqrt(np.mean(np.square(self._steepness), axis=0))
            relative = np.maximum(steepness / steepness.max(), 1e-9)
            if self.relevance == "permuted":
                relative = sweep.streams.generator("probe", 4).permutation(relative)
            lengths = np.clip(SHORTEST / np.sqrt(relative), SHORTEST, LONGEST)
            scales |= dict(zip(space.continuous, lengths.tolist(), strict=True))
        return np.array([scales[name] for name in _columns(space)])

    def state_dict(self) -> dict[str, Any]:
        return {
            "screen": self._screen.state_dict() if self._screen is not None else None,
            "history": self._history.state_dict(),
            "steepness": self._steepness,
            "prior": self._surrogate.lengths.tolist() if self._surrogate else None,
            "parameters": self._surrogate.parameters.tolist() if self._surrogate else None,
            "fitted": self._fitted,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._screen is not None:
            self._screen.load_state_dict(state["screen"])
        self._history.load_state_dict(state["history"])
        self._steepness, self._fitted = state["steepness"], state["fitted"]
        if state["prior"] is not None:
            self._surrogate = Surrogate(np.array(state["prior"]), np.array(state["parameters"]))


class _History:
    """Reports of a search, at most one for each trial and doubling of the resource.

    Kept are the half of `MEMORY` at the highest levels, and the newest half: what fell out of both
    can never come back, so that memory and time do not grow with the search.
    """

    def __init__(self) -> None:
        self.losses: dict[tuple[int, int], float] = {}  # (trial, level), oldest first
        self.configurations: dict[int, Configuration] = {}
        self.waiting: dict[int, Configuration] = {}  # launched, without a report yet
        self._points: dict[int, Array] = {}  # coordinates, of trials that were modelled before

    @property
    def finite(self) -> set[int]:
        """Trials with a finite loss."""
        return {trial for (trial, _), loss in self.losses.items() if math.isfinite(loss)}

    def launch(self, trial: int, configuration: Configuration) -> None:
        self.waiting[trial] = configuration

    def add(self, trial: int, configuration: Configuration, resource: float, loss: float) -> None:
        self.waiting.pop(trial, None)
        self.configurations[trial] = configuration
        key = trial, math.floor(math.log2(max(resource, 1)))
        self.losses.pop(key, None)  # the newest of a level counts, and is the newest of all
        self.losses[key] = loss
        if len(self.losses) > MEMORY:
            keys = list(self.losses)
            high = sorted(range(len(keys)), key=lambda k: (keys[k][1], k))[-MEMORY // 2 :]
            kept = sorted({*high, *range(len(keys) - MEMORY // 2, len(keys))})
            self.losses = {keys[k]: self.losses[keys[k]] for k in kept}
            trials = {trial for trial, _ in self.losses}
            self.configurations = {t: c for t, c in self.configurations.items() if t in trials}

    def observations(self, space: Space) -> tuple[Observations, Array]:
        """All reports, and the points (n, d) of trials that wait for their first."""
        levels = np.array([level for _, level in self.losses])
        losses = np.array(list(self.losses.values()))
        finite = np.isfinite(losses)
        lowest = losses[finite & (levels == levels[finite].min())]
        # How bad a bad one is says nothing about the best; a divergence is as bad as any.
        values = np.where(finite, losses, np.inf).clip(max=np.quantile(lowest, BAD))
        if values.min() > 0:
            values = np.log(values)
        trials = [trial for trial, _ in self.losses]
        pending = dict(list(self.waiting.items())[-PENDING:])
        self._points = {
            trial: self._points[trial] if trial in self._points else coordinates(space, c)
            for trial, c in (self.configurations | pending).items()
        }
        points = np.stack([self._points[trial] for trial in trials])
        seen = Observations(points, levels, np.array(trials), values)
        return seen, np.array([self._points[trial] for trial in pending])

    def state_dict(self) -> dict[str, Any]:
        return {
            "losses": [[*key, loss] for key, loss in self.losses.items()],
            "configurations": list(self.configurations.items()),
            "waiting": list(self.waiting.items()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.losses = {(trial, level): loss for trial, level, loss in state["losses"]}
        self.configurations = dict(state["configurations"])
        self.waiting = dict(state["waiting"])


def _columns(space: Space) -> list[str]:
    """The hyperparameter that each coordinate belongs to."""
    return [
        name
        for name, domain in space.items()
        for _ in range(len(domain.choices) if isinstance(domain, Categorical) else 1)
    ]


def coordinates(space: Space, configuration: Configuration) -> Array:
    """Where the surrogate sees a configuration: the unit cube, with choices one-hot."""
    parts: list[Array] = []
    for (name, domain), u in zip(space.items(), space.to_unit(configuration), strict=True):
        if isinstance(domain, Categorical):
            chosen = [choice == configuration[name] for choice in domain.choices]
            parts.append(np.array(chosen, dtype=float) / math.sqrt(2))
        else:
            parts.append(np.array([u]))
    return np.concatenate(parts)
