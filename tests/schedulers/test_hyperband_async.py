import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohgw.core.errors import SettingError
from ohgw.core.space import Float, Space
from ohgw.schedulers import ASHA, AsyncHyperband
from ohgw.schedulers._brackets import bracket_systems
from ohgw.schedulers._rungs import expected_resource, rung_levels

SPACE = Space({"x": Float(0.0, 1.0)})


def build(kind=AsyncHyperband, **changes):
    settings = {"mode": "min", "min_resource": 1, "max_resource": 81, "eta": 3, **changes}
    return kind(SPACE, np.random.default_rng(settings.pop("seed", 0)), **settings)


def test_new_trials_start_at_the_rung_of_their_bracket_as_often_as_in_hyperband():
    class EveryDraw:
        """All whole numbers below the bound, once each."""

        def __init__(self):
            self.drawn = []

        def integers(self, bound):
            self.drawn.append(len(self.drawn) % bound)
            return self.drawn[-1]

    scheduler = build()
    scheduler._rng = EveryDraw()
    slots = {1: 81, 3: 34, 9: 15, 27: 8, 81: 5}
    assert Counter(scheduler.ask().resource for _ in range(sum(slots.values()))) == slots
    assert sorted(scheduler._rng.drawn) == list(range(sum(slots.values())))


@given(
    resources=st.tuples(st.integers(1, 4), st.integers(0, 80)),
    eta=st.integers(2, 4),
    workers=st.integers(1, 12),
    reports=st.lists(
        st.tuples(st.integers(0, 11), st.sampled_from([0.0, 1.0, 2.0, 3.0, math.inf])),
        min_size=20,
        max_size=120,
    ),
    reload_at=st.integers(0, 6),
)
@settings(max_examples=50)
def test_rungs_are_shared_by_all_brackets(resources, eta, workers, reports, reload_at):
    """Whoever is promoted is among the best floor(n / eta) of all that reached the rung; a new
    trial starts only where no rung has anybody to promote.
    """
    low, high = resources[0], sum(resources)
    arguments = {"min_resource": low, "max_resource": high, "eta": eta}
    scheduler = build(**arguments)
    levels = rung_levels(low, high, eta)
    rungs = {level: {} for level in levels[:-1]}
    promoted = set()
    running = []

    def to_promote():
        for level in reversed(levels[:-1]):
            order = sorted(rungs[level], key=lambda trial: (rungs[level][trial], trial))
            for trial in order[: len(order) // eta]:
                if (trial, level) not in promoted and math.isfinite(rungs[level][trial]):
                    return trial, level
        return None

    for k, (pick, loss) in enumerate(reports):
        if k % 7 == reload_at:
            scheduler, old = build(**arguments), scheduler
            scheduler.load_state_dict(json.loads(json.dumps(old.state_dict(), allow_nan=False)))
        while len(running) < workers:
            expected = to_promote()
            asked = scheduler.ask()
            if expected is None:
                assert asked.is_new and asked.resource in levels
            else:
                assert (asked.trial, asked.start) == expected
                promoted.add(expected)
            running.append(asked)
        done = running.pop(pick % len(running))
        scheduler.tell(done.trial, done.resource, loss)
        if done.resource < high:
            rungs[done.resource][done.trial] = loss


def test_one_bracket_is_asynchronous_halving():
    scores = np.random.default_rng(1).random(400)
    one, asha = build(brackets=1), build(ASHA)
    for score in scores:
        asked, reference = one.ask(), asha.ask()
        assert (asked.trial, asked.start, asked.resource) == (
            reference.trial,
            reference.start,
            reference.resource,
        )
        one.tell(asked.trial, asked.resource, score)
        asha.tell(asked.trial, asked.resource, score)
    assert one.expected_resource == asha.expected_resource


def test_a_promotion_costs_no_draw():
    """So the brackets and configurations of new trials do not depend on what was promoted."""
    still, moving = build(), build()
    fresh = [still.ask() for _ in range(200)]
    seen = []
    while len(seen) < 200:
        asked = moving.ask()
        if asked.is_new:
            seen.append(asked)
        moving.tell(asked.trial, asked.resource, float(asked.trial))
    assert seen == fresh


def test_price_is_the_mean_over_brackets():
    systems = bracket_systems(rung_levels(1, 81, 3), 3)
    prices = [expected_resource([level for _, level in system], 3) for system in systems]
    slots = [system[0][0] for system in systems]
    assert build().expected_resource == pytest.approx(np.average(prices, weights=slots))
    assert build(min_resource=81).expected_resource == 81


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"brackets": 0}, "brackets 0 must be a whole number of at least 1"),
        ({"brackets": 6}, "brackets 6 must be at most 5"),
        ({"eta": 1}, "eta 1 must be a whole number of at least 2"),
    ],
)
def test_settings_that_cannot_work_are_refused(setting, message):
    with pytest.raises(SettingError, match=message):
        build(**setting)


def test_a_state_of_other_brackets_is_refused():
    with pytest.raises(SettingError, match="written with brackets 5, this scheduler has 2"):
        build(brackets=2).load_state_dict(build().state_dict())
