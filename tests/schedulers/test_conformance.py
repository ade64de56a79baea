"""Every scheduler of the table passes every check, and every check catches what it is there for."""

from functools import partial

import numpy as np
import pytest

from ohgw.core.errors import SettingError
from ohgw.core.trial import Suggestion
from ohgw.schedulers import ASHA, SCHEDULERS, make
from ohgw.testing import schedulers as suite

# Where a scheduler's own settings would take the checks minutes.
CHEAP = {
    "dyhpo": "dyhpo:candidates=30:initial_epochs=2:refit_epochs=1:refit_growth=0.5",
    "boil": "boil:points=24:candidates=32:starts=2:polished=1",
}


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_conformance(name, check):
    check(partial(make, CHEAP.get(name, name)))


def test_every_check_of_the_module_is_in_the_tuple():
    checks = {value for name, value in vars(suite).items() if name.startswith("check_")}
    assert checks == set(suite.CHECKS)


class OwnGenerator(ASHA):
    def __init__(self, space, rng, **settings):
        super().__init__(space, np.random.default_rng(0), **settings)


class GlobalGenerator(ASHA):
    def __init__(self, space, rng, **settings):
        super().__init__(space, np.random.default_rng(), **settings)


class Overshoots(ASHA):
    def ask(self):
        asked = super().ask()
        return Suggestion(asked.trial, asked.configuration, asked.start, asked.resource + 1)


class StartsOver(ASHA):
    """Promotes from the wrong rung: the second promotion starts at the first rung again."""

    def ask(self):
        asked = super().ask()
        start = min(asked.start, 1)
        return Suggestion(asked.trial, asked.configuration, start, asked.resource)


class RunsOutOfTrials(ASHA):
    """Has a pool of thirty; where all of it is out, the first is trained twice."""

    def ask(self):
        asked = super().ask()
        trial = asked.trial if len(self._trials._running) <= 30 else min(self._trials._running)
        return Suggestion(trial, asked.configuration, asked.start, asked.resource)


class DividesByTheSpread(ASHA):
    """Is lost as soon as ten scores are all the same."""

    def ask(self):
        asked = super().ask()
        rungs = self._ladder._rungs
        losses = [loss for rung in rungs for loss in rung._losses.values() if np.isfinite(loss)]
        lost = len(losses) >= 10 and len(set(losses)) == 1
        return Suggestion(asked.trial, asked.configuration, asked.start, 0) if lost else asked


class StartsAtOne(ASHA):
    """Takes min_resource for granted."""

    def __init__(self, space, rng, *, mode, min_resource, max_resource):
        super().__init__(space, rng, mode=mode, min_resource=1, max_resource=max_resource)


class ChangesItsPrice(ASHA):
    @property
    def expected_resource(self):
        return super().expected_resource + (len(self._trials._configurations) > 0) / 100


class LeavesTheSpace(ASHA):
    def ask(self):
        asked = super().ask()
        asked.configuration["momentum"] += 0.5
        return asked


class PromotesTheFailed(ASHA):
    def tell(self, trial, resource, score):
        super().tell(trial, resource, score if np.isfinite(score) else -1.0)


class EndsWhatWaits(ASHA):
    """Gives up a trial that a later one may lift into the best third."""

    def ended(self):
        return [*super().ended(), *(t for t in range(3) if t not in self._trials._running)]


class NeverEnds(ASHA):
    def ended(self):
        return []


class TakesWorstForBest(ASHA):
    def __init__(self, space, rng, *, mode, **settings):
        super().__init__(space, rng, mode="min", **settings)
        self.mode = mode


class DrawsFromItsStream(ASHA):
    def draw(self, rng):
        return self.space.sample(self._trials._rng)


class DrawAdvancesItsStream(ASHA):
    def draw(self, rng):
        self._trials._rng.random()
        return self.space.sample(rng)


class ForgetsAmendments(ASHA):
    def amend(self, trial, configuration):
        if trial % 2:
            super().amend(trial, configuration)


class KeepsTheCallersDictionary(ASHA):
    def amend(self, trial, configuration):
        self._trials._configurations[trial] = configuration


class ForgetsWhatIsRunning(ASHA):
    def state_dict(self):
        return {**super().state_dict(), "running": []}


class ForgetsTheStream(ASHA):
    def load_state_dict(self, state):
        super().load_state_dict({**state, "rng": self._trials._rng.bit_generator.state})


class ForgetsPromotions(ASHA):
    def load_state_dict(self, state):
        rungs = [[[trial, loss, False] for trial, loss, _ in rung] for rung in state["rungs"]]
        super().load_state_dict({**state, "rungs": rungs})


class SharesItsState(ASHA):
    def state_dict(self):
        return {**super().state_dict(), "configurations": self._trials._configurations}


class WritesInfinity(ASHA):
    def state_dict(self):
        rungs = [
            [[trial, float("inf") if loss is None else loss, done] for trial, loss, done in rung]
            for rung in super().state_dict()["rungs"]
        ]
        return {**super().state_dict(), "rungs": rungs}


class TakesAnyState(ASHA):
    def load_state_dict(self, state):
        super().load_state_dict({**state, "settings": self._trials._settings})


class TakesAnyTell(ASHA):
    def tell(self, trial, resource, score):
        if trial in self._trials._running:
            super().tell(trial, self._trials._running[trial], score)


class HidesItsPrice(ASHA):
    expected_resource = 1e9


class ShrugsAtSettings(ASHA):
    def __init__(self, space, rng, *, mode, min_resource, max_resource):
        super().__init__(
            space,
            rng,
            mode=mode if mode == "max" else "min",
            min_resource=max(1, min(int(min_resource), int(max_resource))),
            max_resource=max(1, int(max_resource)),
        )


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (HidesItsPrice, suite.check_attributes),
        (Overshoots, suite.check_contract),
        (StartsOver, suite.check_contract),
        (StartsOver, suite.check_out_of_order),
        (LeavesTheSpace, suite.check_contract),
        (RunsOutOfTrials, suite.check_more_workers_than_trials),
        (DividesByTheSpread, suite.check_ties),
        (StartsAtOne, suite.check_budget),
        (ChangesItsPrice, suite.check_budget),
        (Overshoots, suite.check_budget),
        (OwnGenerator, suite.check_determinism),
        (GlobalGenerator, suite.check_determinism),
        (ForgetsWhatIsRunning, suite.check_resume),
        (ForgetsTheStream, suite.check_resume),
        (ForgetsPromotions, suite.check_resume),
        (SharesItsState, suite.check_resume),
        (TakesAnyState, suite.check_foreign_state),
        (EndsWhatWaits, suite.check_contract),
        (NeverEnds, suite.check_contract),
        (PromotesTheFailed, suite.check_failed_trials),
        (PromotesTheFailed, suite.check_all_failed),
        (Overshoots, suite.check_single_trial),
        (TakesWorstForBest, suite.check_mirror),
        (DrawsFromItsStream, suite.check_draw),
        (DrawAdvancesItsStream, suite.check_draw),
        (ForgetsAmendments, suite.check_amend),
        (KeepsTheCallersDictionary, suite.check_amend),
        (TakesAnyTell, suite.check_bad_tells),
        (ShrugsAtSettings, suite.check_bad_settings),
    ],
)
def test_a_broken_scheduler_is_caught(broken, check):
    with pytest.raises((AssertionError, SettingError)):
        check(broken)


def test_a_state_that_is_not_json_is_caught():
    with pytest.raises(ValueError, match="not JSON compliant"):
        suite.check_resume(WritesInfinity)
