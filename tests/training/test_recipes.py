"""Recipes: the average against its closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ohgw.core.errors import UnknownNameError
from ohgw.core.records import Arm, Report
from ohgw.core.streams import Streams
from ohgw.engines.build import make_engine
from ohgw.engines.engine import drive
from ohgw.engines.states import evaluate
from ohgw.study.plan import make_plan, make_searches
from ohgw.tasks import load
from ohgw.training.dynamics import decode, initial_state, step_
from ohgw.training.feed import Feed, initial_parameters
from ohgw.training.recipes import DEFAULT_RECIPE, RECIPES, PolynomialAveraging, get_recipe


def closed_form(thetas, gamma):
    """Weights proportional to those of the recursion unrolled: prod over later (1 - w_j)."""
    weights = np.array([(gamma + 1) / (k + gamma) for k in range(1, len(thetas) + 1)])
    remaining = np.append(np.cumprod((1 - weights)[::-1])[::-1][1:], 1.0)
    shares = weights * remaining
    assert shares.sum() == pytest.approx(1.0)
    return shares @ np.array(thetas)


def averaged(averaging, thetas, start=123.0):
    """The running average after as many steps as `thetas` has, one for each training step."""
    average = start
    for step, theta in enumerate(thetas, start=1):
        average += averaging.weight(step) * (theta - average)
    return average


@given(
    thetas=st.lists(st.floats(-10, 10), min_size=1, max_size=30),
    gamma=st.floats(0, 20),
    every=st.integers(1, 7),
)
def test_recursion_equals_its_closed_form(thetas, gamma, every):
    path = np.repeat(thetas, every).tolist()
    found = averaged(PolynomialAveraging(gamma, every), path)
    assert found == pytest.approx(closed_form(thetas, gamma), abs=1e-9)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30))
def test_gamma_zero_is_the_mean(thetas):
    assert averaged(PolynomialAveraging(0.0, 1), thetas) == pytest.approx(np.mean(thetas), abs=1e-9)


def test_weights_by_hand():
    averaging = PolynomialAveraging()
    weights = [averaging.weight(step) for step in range(31)]
    assert [step for step, weight in enumerate(weights) if weight] == [10, 20, 30]
    # the first average is the parameters themselves: what was there before is forgotten
    assert [weights[10], weights[20], weights[30]] == pytest.approx([1.0, 9 / 10, 9 / 11])


@given(st.floats(0, 50), st.integers(1, 20), st.integers(0, 10_000))
def test_weights_are_shares(gamma, every, steps):
    assert 0 <= PolynomialAveraging(gamma, every).weight(steps) <= 1


def test_table():
    assert get_recipe(DEFAULT_RECIPE).averaged and not get_recipe("plain").averaged
    assert all(get_recipe(name).name == name for name in RECIPES)
    with pytest.raises(UnknownNameError, match=r"'averagd'.*Did you mean 'averaged'"):
        get_recipe("averagd")


@pytest.mark.parametrize("engine_name", ["population", "serial"])
def test_engines_score_the_closed_form(engine_name):
    """A trial trained by hand, its iterates averaged in one go."""
    task = load("breast-cancer", dtype=torch.float64)
    plan = make_plan(
        task,
        arms=[Arm(method="vanilla", recipe="averaged")],
        seeds=[3],
        scheduler="asha",
        budget=4.0,
        workers=1,
        engine=engine_name,
        device="cpu",
        threads=1,
    )
    engine = make_engine(engine_name, task)
    rows = []
    drive(make_searches(plan, task, engine), engine, rows.append, lambda: None)
    report = rows[0]
    assert isinstance(report, Report)
    feed, streams = Feed(task), Streams(3)
    hp = decode(task.space, torch.as_tensor(task.space.to_natural(report.configuration)))
    seed = streams.integer("initialisation", report.trial)
    state = initial_state(task, initial_parameters(task, seed))
    iterates = []
    for epoch in range(report.resource):
        order, offsets = map(torch.as_tensor, feed.epoch(streams, report.trial, epoch))
        for k in range(task.steps_per_epoch):
            noise = feed.noise(offsets[k : k + 1])[0]
            step_(task, state, feed.batch(order[k]), hp, noise)
            if len(order) * epoch + k + 1 == 10 * (len(iterates) + 1):
                iterates.append(state.theta.numpy().copy())
    assert len(iterates) == report.resource * task.steps_per_epoch // 10
    average = torch.from_numpy(closed_form(iterates, 8.0))
    assert report.score == pytest.approx(evaluate(task, [average], "val")[0]["loss"], rel=1e-9)
    assert report.score != pytest.approx(evaluate(task, [state.theta], "val")[0]["loss"], rel=1e-6)
