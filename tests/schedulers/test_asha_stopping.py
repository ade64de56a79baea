import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohgw.core.errors import SettingError
from ohgw.core.space import Float, Space
from ohgw.schedulers import StoppingASHA
from ohgw.schedulers._rungs import rung_levels
from ohgw.schedulers.asha_stopping import _Rung

SPACE = Space({"x": Float(0.0, 1.0)})


def build(**changes):
    settings = {"mode": "min", "min_resource": 1, "max_resource": 9, "eta": 3, **changes}
    return StoppingASHA(SPACE, np.random.default_rng(settings.pop("seed", 0)), **settings)


LOSSES = st.one_of(
    st.sampled_from([0.0, 0.5, 1.0, math.inf]),
    st.floats(allow_nan=False, min_value=-9, max_value=9),
)


@given(losses=st.lists(LOSSES, min_size=1, max_size=80), eta=st.integers(2, 5))
def test_passes_whoever_is_among_the_best_ceil_of_an_eta_th(losses, eta):
    """By counting: at most ceil(n / eta) - 1 of the n so far are strictly better."""
    rung = _Rung(eta)
    for n, loss in enumerate(losses, start=1):
        better = sum(other < loss for other in losses[:n])
        assert rung.passes(loss) == (better < math.ceil(n / eta) and math.isfinite(loss))


@given(
    losses=st.lists(st.integers(-50, 50), min_size=2, max_size=80), eta=st.sampled_from([2, 4, 8])
)
def test_the_cut_is_the_interpolated_quantile(losses, eta):
    """The same rule in the public implementation's words; numbers that its arithmetic holds."""
    rung = _Rung(eta)
    for n, loss in enumerate(losses, start=1):
        assert rung.passes(loss) == (loss <= np.quantile(losses[:n], 1 / eta))


@given(
    mode=st.sampled_from(["min", "max"]),
    resources=st.tuples(st.integers(1, 4), st.integers(0, 80)),
    eta=st.integers(2, 4),
    workers=st.integers(1, 12),
    reports=st.lists(
        st.tuples(st.integers(0, 11), LOSSES, st.booleans()), min_size=20, max_size=120
    ),
    reload_at=st.integers(0, 6),
)
@settings(max_examples=50)
def test_trials_go_on_in_the_order_of_their_reports(
    mode, resources, eta, workers, reports, reload_at
):
    low, high = resources[0], sum(resources)
    arguments = {"mode": mode, "min_resource": low, "max_resource": high, "eta": eta}
    scheduler = build(**arguments)
    levels = rung_levels(low, high, eta)
    seen = {level: [] for level in levels}
    waiting, running, started = [], [], 0
    for k, (pick, loss, drain) in enumerate(reports):
        if k % 7 == reload_at:
            scheduler, old = build(**arguments), scheduler
            scheduler.load_state_dict(json.loads(json.dumps(old.state_dict(), allow_nan=False)))
        while len(running) < (1 if drain else workers):
            asked = scheduler.ask()
            if waiting:
                assert (asked.trial, asked.start, asked.resource) == waiting.pop(0)
            else:
                assert (asked.trial, asked.start, asked.resource) == (started, 0, levels[0])
                started += 1
            running.append(asked)
        done = running.pop(pick % len(running))
        scheduler.tell(done.trial, done.resource, loss if mode == "min" else -loss)
        seen[done.resource].append(loss)
        better = sum(other < loss for other in seen[done.resource])
        if done.resource < high and math.isfinite(loss) and better * eta < len(seen[done.resource]):
            above = levels[levels.index(done.resource) + 1]
            waiting.append((done.trial, done.resource, above))


def test_the_first_trial_goes_to_the_end_and_a_worse_one_stops():
    scheduler = build()
    for start, end in ((0, 1), (1, 3), (3, 9)):
        asked = scheduler.ask()
        assert (asked.trial, asked.start, asked.resource) == (0, start, end)
        scheduler.tell(0, end, 0.5)
    assert scheduler.ask().trial == 1
    scheduler.tell(1, 1, 0.6)
    assert scheduler.ask().trial == 2
    scheduler.tell(2, 1, 0.5)  # a tie with the best is no reason to stop
    assert (scheduler.ask().trial, scheduler.ask().trial) == (2, 3)


def test_whoever_stopped_never_comes_back():
    scheduler = build()
    for trial, score in enumerate((0.5, 0.6, 0.7, 0.8, 0.9, 1.0)):
        while (asked := scheduler.ask()).trial != trial:
            scheduler.tell(asked.trial, asked.resource, 0.1)
        scheduler.tell(trial, 1, score)
    stopped = {1, 2, 3, 4, 5}
    for _ in range(30):
        asked = scheduler.ask()
        assert asked.trial not in stopped
        scheduler.tell(asked.trial, asked.resource, 2.0)


def test_one_in_eta_goes_on_in_the_long_run():
    """What `expected_resource` says is what trials in no particular order take."""
    scheduler = build(max_resource=27)
    scores = np.random.default_rng(0).random((4000, 28)).tolist()
    spent = trials = 0
    while trials < 4000:
        asked = scheduler.ask()
        trials += asked.is_new
        spent += asked.resource - asked.start
        scheduler.tell(asked.trial, asked.resource, scores[asked.trial][asked.resource])
    assert spent / trials == pytest.approx(scheduler.expected_resource, rel=0.1)


@pytest.mark.parametrize("eta", [1, 2.5, "3", True, None])
def test_eta_must_be_whole_and_at_least_two(eta):
    with pytest.raises(SettingError, match=r"eta .* at least 2"):
        build(eta=eta)
