"""Moves, with a probe that answers what the test says."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ohgw.core.errors import InvisibleHyperparameterError, SettingError, SpaceError
from ohgw.core.space import Categorical, Float, Int, Space
from ohgw.core.streams import Streams
from ohgw.warmstart.method import GradientRequest, GradientResult, Method, Sweep
from ohgw.warmstart.moves import Move

SPACE = Space(
    {
        "learning_rate": Float(1e-4, 1.0, log=True),
        "layers": Int(1, 8),
        "momentum": Float(0.0, 0.99),
        "weight_decay": Float(1e-6, 1e-2, log=True),
        "kind": Categorical(("a", "b")),
    }
)
START = {
    "learning_rate": 1e-2,
    "layers": 3,
    "momentum": 0.5,
    "weight_decay": 1e-4,
    "kind": "b",
}
CONTINUOUS = ("learning_rate", "momentum", "weight_decay")


def make_sweep(seed=0, gradients=True, visible=frozenset(CONTINUOUS)):
    return Sweep(
        space=SPACE,
        streams=Streams(seed),
        draw=SPACE.sample,
        expected_steps=1000.0,
        gradients=gradients,
        rollouts=False,
        warmup_steps=0.0,
        visible=lambda estimator, steps: visible,
        gradient_work=lambda estimator, steps: 3.0 * steps,
        rollout_work=lambda configurations, steps: 0.0,
    )


def proposal(move, gradient, start=START, *, trial=0, sweep=None, work=3.4, loss=1.0):
    """What `move` proposes where the probe answers `gradient`; its one request, too."""
    sweep = sweep or make_sweep()
    conversation = move.propose(sweep, trial, start)
    request = next(conversation)
    with pytest.raises(StopIteration) as stop:
        conversation.send(GradientResult(np.array(gradient, float), loss, work, "reverse"))
    return stop.value.value, request


def natural(configuration):
    return SPACE.to_natural(configuration)


coordinates = st.floats(0, 1)
configurations = st.builds(
    SPACE.from_unit, st.lists(coordinates, min_size=SPACE.d, max_size=SPACE.d)
)
slopes = st.floats(width=32)  # NaN and infinities included
gradients = st.lists(slopes, min_size=3, max_size=3)
methods = st.sampled_from(
    [
        Move(),
        Move(eta=0.7),
        Move(radius=0.1),
        Move(direction="random", eta=0.3),
        Move(direction="random", radius=1.0),
        Move(direction="null"),
        Move(only="learning_rate"),
    ]
)


def test_literal_rule_by_hand():
    """psi <- psi - 1e-3 * gradient: the learning rate by 10^-0.002, the momentum by +0.001."""
    found, request = proposal(Move(), [2.0, -1.0, 0.0])
    assert request == GradientRequest(0, START, 1, "reverse")
    assert found.configuration == {
        **START,
        "learning_rate": pytest.approx(1e-2 * 10**-0.002, rel=1e-12),
        "momentum": pytest.approx(0.501, rel=1e-12),
        "weight_decay": 1e-4,
    }
    assert (found.work, found.steps_done, found.state) == (3.4, 0, None)
    assert found.diagnostics == {
        "loss": 1.0,
        "gradient": {"learning_rate": 2.0, "momentum": -1.0, "weight_decay": 0.0},
        "non_finite": 0,
        "held": [],
        "estimator": "reverse",
    }


@given(gradient=st.lists(st.floats(-50, 50), min_size=3, max_size=3), eta=st.floats(1e-6, 1e-2))
def test_literal_rule_moves_by_eta_times_the_gradient(gradient, eta):
    found, _ = proposal(Move(eta=eta), gradient)
    step = natural(found.configuration) - natural(START)
    assert step[1] == pytest.approx(np.clip(-eta * gradient[1], -0.5, 0.49), abs=1e-12)
    assert step[[0, 2]] == pytest.approx(-eta * np.array(gradient)[[0, 2]], abs=1e-12)


@given(methods, gradients, configurations, st.integers(0, 50))
def test_whatever_the_gradient_the_result_belongs_to_the_space(move, gradient, start, trial):
    found, _ = proposal(move, gradient, start, trial=trial)
    SPACE.validate(found.configuration)
    assert found.configuration["layers"] == start["layers"]
    assert found.configuration["kind"] == start["kind"]
    assert start == SPACE.clip(start)  # what was given is left alone


@given(gradients, configurations)
def test_non_finite_dimensions_stay_and_are_counted(gradient, start):
    found, _ = proposal(Move(eta=0.1), gradient, start)
    bad = [not math.isfinite(value) for value in gradient]
    assert found.diagnostics["non_finite"] == sum(bad)
    for name, value, stays in zip(CONTINUOUS, gradient, bad, strict=True):
        recorded = found.diagnostics["gradient"][name]
        if stays:
            assert found.configuration[name] == start[name]
            assert recorded is None
        else:
            assert recorded == value


def test_one_bad_dimension_does_not_hold_the_others():
    found, _ = proposal(Move(eta=0.1), [math.nan, 1.0, math.inf])
    assert found.configuration["momentum"] == pytest.approx(0.4)
    assert found.diagnostics["non_finite"] == 2
    found, _ = proposal(Move(radius=0.1), [math.nan, 1.0, math.inf])
    assert found.configuration["momentum"] == pytest.approx(0.5 - 0.1 * 0.99)


def test_a_non_finite_loss_is_recorded_as_unknown():
    found, _ = proposal(Move(), [0.0, 0.0, 0.0], loss=math.nan)
    assert found.diagnostics["loss"] is None
    assert found.configuration == START


def test_bounds_clip():
    found, _ = proposal(Move(eta=1.0), [100.0, -100.0, -100.0])
    assert found.configuration == {
        **START,
        "learning_rate": 1e-4,
        "momentum": 0.99,
        "weight_decay": 1e-2,
    }


@given(
    gradient=st.lists(st.floats(-1e30, 1e30), min_size=3, max_size=3),
    radius=st.floats(0.01, 0.4),
)
def test_radius_is_the_length_in_the_unit_cube(gradient, radius):
    assume(any(abs(value) > 1e-30 for value in gradient))
    found, _ = proposal(Move(radius=radius), gradient)
    moved = (natural(found.configuration) - natural(START)) / SPACE.unit_scale
    assert np.linalg.norm(moved) == pytest.approx(radius, rel=1e-6)
    slope = np.array(gradient) * SPACE.unit_scale
    cosine = moved / radius @ (slope / np.abs(slope).max())
    assert cosine == pytest.approx(-np.linalg.norm(slope / np.abs(slope).max()), rel=1e-6)


def test_radius_of_a_zero_gradient_is_no_move():
    found, _ = proposal(Move(radius=0.3), [0.0, 0.0, 0.0])
    assert found.configuration == START


@given(
    gradient=st.lists(st.floats(-20, 20), min_size=3, max_size=3),
    trial=st.integers(0, 1000),
    seed=st.integers(0, 1000),
)
def test_random_direction_is_as_long_and_another(gradient, trial, seed):
    assume(np.linalg.norm(gradient) > 1e-2)
    sweep = make_sweep(seed)
    along, _ = proposal(Move(eta=1e-2), gradient, sweep=sweep, trial=trial)
    control, _ = proposal(Move(eta=1e-2, direction="random"), gradient, sweep=sweep, trial=trial)
    one, two = (natural(found.configuration) - natural(START) for found in (along, control))
    assert np.linalg.norm(one) == pytest.approx(np.linalg.norm(two), rel=1e-6)
    assert np.linalg.norm(one - two) > 1e-6 * np.linalg.norm(one)
    assert control.work == along.work


def test_random_direction_is_the_trial_s_own():
    move = Move(eta=0.1, direction="random")
    found = [
        natural(
            proposal(move, [1.0, 1.0, 1.0], sweep=make_sweep(seed), trial=trial)[0].configuration
        )
        for seed, trial in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert np.array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2]) and not np.allclose(found[0], found[3])


def test_random_direction_is_uniform():
    """No coordinate's sign and no coordinate is preferred."""
    move = Move(eta=0.1, direction="random")
    steps = np.array(
        [
            natural(proposal(move, [0.0, 1.0, 0.0], trial=trial)[0].configuration) - natural(START)
            for trial in range(2000)
        ]
    )
    assert np.abs(steps.mean(0)).max() < 0.005
    assert (steps**2).mean(0) == pytest.approx([0.01 / 3] * 3, rel=0.1)


@given(gradients)
def test_null_does_not_move_yet_charges(gradient):
    found, request = proposal(Move(direction="null"), gradient, work=3.4)
    assert found.configuration == START
    assert found.work == 3.4
    assert request.steps == 1


def test_masked_moves_what_is_named():
    found, _ = proposal(Move(eta=0.1, only="learning_rate"), [1.0, 1.0, 1.0])
    assert found.configuration == {**START, "learning_rate": pytest.approx(10**-2.1)}
    assert found.diagnostics["held"] == ["momentum", "weight_decay"]
    found, _ = proposal(Move(eta=0.1, only="learning_rate+momentum"), [1.0, 1.0, math.nan])
    assert found.configuration["momentum"] == pytest.approx(0.4)
    assert found.diagnostics["non_finite"] == 0  # of those that may move


def test_masked_random_direction_stays_within_the_mask():
    found, _ = proposal(
        Move(eta=0.1, only="momentum", direction="random"), [1.0, 1.0, 1.0], trial=3
    )
    assert found.configuration == {**START, "momentum": found.configuration["momentum"]}
    assert abs(found.configuration["momentum"] - 0.5) == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["layers", "kind", "dropout"])
def test_masks_name_continuous_hyperparameters_of_the_space(name):
    with pytest.raises(SpaceError, match=rf"only='{name}'.*learning_rate, momentum, weight_decay"):
        Move(only=f"learning_rate+{name}").check(make_sweep())


def test_masks_name_what_the_estimator_can_see():
    sweep = make_sweep(visible=frozenset({"learning_rate", "weight_decay"}))
    with pytest.raises(InvisibleHyperparameterError, match=r"only='momentum'.*weight_decay"):
        Move(only="learning_rate+momentum").check(sweep)
    for only in (None, "learning_rate", "learning_rate+weight_decay"):
        Move(only=only).check(sweep)


def test_what_the_estimator_cannot_see_does_not_move():
    sweep = make_sweep(visible=frozenset({"weight_decay"}))
    for move in (Move(eta=0.1), Move(eta=0.1, direction="random")):
        found, _ = proposal(move, [1.0, 1.0, 1.0], sweep=sweep)
        assert found.diagnostics["held"] == ["learning_rate", "momentum"]
        assert found.configuration["learning_rate"] == START["learning_rate"]
        assert found.configuration["weight_decay"] != START["weight_decay"]


def test_request_and_price_are_of_the_steps_and_estimator_asked_for():
    move = Move(steps=4, estimator="forward")
    _, request = proposal(move, [0.0, 0.0, 0.0], trial=7)
    assert request == GradientRequest(7, START, 4, "forward")
    assert move.price(make_sweep()) == 12.0


def test_stands_aside_without_gradients():
    sweep = make_sweep(gradients=False)
    with pytest.raises(StopIteration) as stop:
        next(Move().propose(sweep, 0, START))
    found = stop.value.value
    assert (found.configuration, found.work) == (START, 0.0)
    assert found.diagnostics == {"stood_aside": "task has no probe"}
    assert Move().price(sweep) == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eta": 0.0}, r"eta=0\.0"),
        ({"eta": -1e-3}, r"eta=-0\.001"),
        ({"eta": math.nan}, "eta=nan"),
        ({"radius": 0.0}, r"radius=0\.0"),
        ({"radius": 1.1}, r"radius=1\.1"),
        ({"radius": math.nan}, "radius=nan"),
        ({"steps": 0}, "steps=0.*does not depend"),
    ],
)
def test_bad_settings_are_refused_by_value(options, message):
    with pytest.raises(SettingError, match=message):
        Move(**options)


def test_the_base_method_proposes_what_was_asked():
    method, sweep = Method(), make_sweep()
    method.check(sweep)
    with pytest.raises(StopIteration):
        next(method.prepare(sweep))
    with pytest.raises(StopIteration) as stop:
        next(method.propose(sweep, 0, START))
    found = stop.value.value
    assert (found.configuration, found.work, found.diagnostics) == (START, 0.0, {})
    assert method.price(sweep) == 0.0
    method.load_state_dict(method.state_dict())
