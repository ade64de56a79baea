"""Screening, with a probe that answers what the test says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohgw.core.errors import SettingError
from ohgw.core.space import Float, Space
from ohgw.core.streams import Streams
from ohgw.warmstart.method import RolloutRequest, RolloutResult, Sweep
from ohgw.warmstart.screen import MAX_REDRAWS, Screen

SPACE = Space({"learning_rate": Float(1e-4, 1.0, log=True), "momentum": Float(0.0, 0.99)})
ASKED = {"learning_rate": 1e-2, "momentum": 0.5}


def make_sweep(**settings):
    options = {
        "space": SPACE,
        "streams": Streams(0),
        "draw": SPACE.sample,
        "expected_steps": 1000.0,
        "gradients": True,
        "rollouts": True,
        "warmup_steps": 0.0,
        "visible": lambda estimator, steps: frozenset(),
        "gradient_work": lambda estimator, steps: 0.0,
        "rollout_work": lambda configurations, steps: configurations * (steps + 0.5) + 0.5,
    }
    return Sweep(**options | settings)


def rollout(sweep, request, after, before=2.0):
    """What a probe would answer, with states that say whose they are."""
    count = len(request.configurations)
    states = tuple(f"state {k}" for k in range(count))
    work = sweep.rollout_work(count, request.steps)
    return RolloutResult(before, np.array(after, float), states, work)


def prepared(screen, sweep, answers, before=2.0):
    """Run the guard on the given losses, one list for each initialisation; its requests."""
    conversation = screen.prepare(sweep)
    requests = []
    try:
        request = next(conversation)
        for after in answers:
            requests.append(request)
            request = conversation.send(rollout(sweep, request, after, before))
    except StopIteration:
        return requests
    raise AssertionError("the guard asks for more than there are answers")


def proposed(screen, sweep, after, trial=0):
    """The proposal where the candidates' losses are `after`, and the request before it."""
    conversation = screen.propose(sweep, trial, ASKED)
    request = next(conversation)
    with pytest.raises(StopIteration) as stop:
        conversation.send(rollout(sweep, request, after))
    return stop.value.value, request


def aside(screen, sweep):
    """The reason for which screening does nothing, and costs nothing, in this sweep."""
    assert screen.price(sweep) == 0.0
    assert prepared(screen, sweep, []) == []
    with pytest.raises(StopIteration) as stop:
        next(screen.propose(sweep, 0, ASKED))
    found = stop.value.value
    assert (found.configuration, found.work, found.state, found.steps_done) == (ASKED, 0.0, None, 0)
    return found.diagnostics["stood_aside"]


# the choice


losses = st.one_of(st.floats(-100, 100), st.sampled_from([math.nan, math.inf, -math.inf]))


@given(st.lists(losses, min_size=2, max_size=6))
def test_keeps_the_best_finite_candidate(after):
    screen = Screen(candidates=len(after))
    found, request = proposed(screen, make_sweep(), after)
    finite = [(loss, k) for k, loss in enumerate(after) if math.isfinite(loss)]
    best = min(finite)[1] if finite else 0
    assert found.diagnostics["kept"] == best
    assert found.configuration == request.configurations[best]
    assert found.state == (f"state {best}" if finite else None)
    assert found.steps_done == (4 if finite else 0)
    recorded = [None if not math.isfinite(loss) else loss for loss in after]
    assert found.diagnostics["losses"] == recorded


def test_a_proposal_by_hand():
    found, request = proposed(Screen(), make_sweep(), [1.5, 1.2, 1.9], trial=4)
    assert request == RolloutRequest(request.configurations, steps=4, initialisation=0)
    assert request.configurations[0] == ASKED
    assert found.configuration == request.configurations[1] != ASKED
    assert found.work == 14.0  # 3 * (4 + 0.5) + 0.5, of which 4 steps are training
    assert (found.state, found.steps_done) == ("state 1", 4)
    assert found.diagnostics == {
        "kept": 1,
        "losses": [1.5, 1.2, 1.9],
        "untrained_loss": 2.0,
        "initialisation": 0,
    }


def test_a_task_without_states_has_nothing_to_go_on_from():
    screen, sweep = Screen(), make_sweep()
    conversation = screen.propose(sweep, 0, ASKED)
    next(conversation)
    with pytest.raises(StopIteration) as stop:
        conversation.send(RolloutResult(math.inf, np.array([2.0, 1.0, 3.0]), (None,) * 3, 6.0))
    assert (stop.value.value.state, stop.value.value.steps_done) == (None, 0)


def test_candidates_come_from_the_scheduler_and_the_trial_s_own_stream():
    drawn = []

    def draw(rng):
        drawn.append(SPACE.sample(rng))
        return drawn[-1]

    sweep = make_sweep(draw=draw)
    requests = [
        proposed(Screen(candidates=4), sweep, [1, 2, 3, 4], trial)[1] for trial in (0, 0, 1)
    ]
    first, again, other = (request.configurations[1:] for request in requests)
    assert [*first, *again, *other] == drawn
    assert first == again
    assert not any(one in other for one in first)


# the guard


@pytest.mark.parametrize(
    ("after", "passes"),
    [
        ([1.0, 1.0, 3.0], True),
        ([1.0, 3.0, 3.0], False),  # fewer than half improve
        ([1.0, math.nan, math.inf], False),
        ([math.nan, 1.0, 1.0], True),
        ([2.0, 2.0, 1.0], False),  # an equal loss is no improvement
    ],
)
def test_guard_redraws_unless_half_improve(after, passes):
    screen, sweep = Screen(), make_sweep()
    requests = prepared(screen, sweep, [after] if passes else [after, [1.0, 1.0, 1.0]])
    assert [request.initialisation for request in requests] == ([0] if passes else [0, 1])
    assert all(request.configurations == requests[0].configurations for request in requests)
    assert screen.initialisation == len(requests) - 1
    _, request = proposed(screen, sweep, [1, 2, 3])
    assert request.initialisation == len(requests) - 1


def test_half_of_an_even_number_is_enough():
    screen = Screen(candidates=4)
    assert len(prepared(screen, make_sweep(), [[1.0, 1.0, 3.0, 3.0]])) == 1


def test_guard_gives_up_after_some_redraws():
    screen = Screen()
    bad = [[3.0, 3.0, 3.0]] * MAX_REDRAWS
    assert len(prepared(screen, make_sweep(), bad)) == MAX_REDRAWS
    assert screen.initialisation == MAX_REDRAWS - 1


def test_guard_charges_every_redraw_to_the_first_proposal():
    screen, sweep = Screen(), make_sweep()
    prepared(screen, sweep, [[3.0, 3.0, 3.0], [3.0, 3.0, 3.0], [1.0, 1.0, 1.0]])
    assert screen.price(sweep) == 4 * 14.0
    assert proposed(screen, sweep, [1, 2, 3], trial=0)[0].work == 4 * 14.0
    assert screen.price(sweep) == 14.0
    assert proposed(screen, sweep, [1, 2, 3], trial=1)[0].work == 14.0


def test_guard_judges_configurations_of_its_own():
    screen, sweep = Screen(), make_sweep()
    (request,) = prepared(screen, sweep, [[1.0, 1.0, 1.0]])
    _, first = proposed(screen, sweep, [1, 2, 3], trial=0)
    assert not any(one in first.configurations for one in request.configurations)


def test_without_guard_the_first_initialisation_is_taken_for_nothing():
    screen, sweep = Screen(guard=False), make_sweep()
    assert prepared(screen, sweep, []) == []
    assert screen.price(sweep) == 14.0
    assert proposed(screen, sweep, [1, 2, 3])[1].initialisation == 0


def test_a_resumed_sweep_goes_on_with_what_the_guard_decided():
    screen, sweep = Screen(), make_sweep()
    prepared(screen, sweep, [[3.0, 3.0, 3.0], [1.0, 1.0, 1.0]])
    resumed = Screen()
    resumed.load_state_dict(screen.state_dict())
    assert proposed(resumed, sweep, [1, 2, 3]) == proposed(screen, sweep, [1, 2, 3])
    assert resumed.state_dict() == screen.state_dict() == {"initialisation": 1, "redraw_work": 0.0}


# standing aside


def test_stands_aside_where_the_task_has_no_probe():
    assert aside(Screen(), make_sweep(rollouts=False)) == "task has no probe"


def test_stands_aside_within_the_warm_up():
    reason = aside(Screen(), make_sweep(warmup_steps=50.0))
    assert "4 probe steps" in reason and "warm-up (50 steps)" in reason
    _, request = proposed(
        Screen(steps=50), make_sweep(warmup_steps=50.0, expected_steps=1e5), [1] * 3
    )
    assert request.steps == 50  # as soon as the probe outlasts it


def test_stands_aside_where_it_costs_too_much():
    # two of three candidates are lost: 2/3 * 14 of 100 steps
    reason = aside(Screen(), make_sweep(expected_steps=100.0))
    assert reason == "a probe would cost 9.3% of a trial, more than 4.0%"
    assert Screen(max_share=0.1).price(make_sweep(expected_steps=100.0)) == 14.0
    border = 14.0 * 2 / 3 / 0.04
    assert Screen().price(make_sweep(expected_steps=border * 1.001)) == 14.0
    assert Screen().price(make_sweep(expected_steps=border * 0.999)) == 0.0


@pytest.mark.parametrize(
    ("options", "message"), [({"candidates": 1}, "candidates=1"), ({"steps": 0}, "steps=0")]
)
def test_bad_settings_are_refused_by_value(options, message):
    with pytest.raises(SettingError, match=message):
        Screen(**options)
