"""Tasks of reinforcement learning: black boxes that pause, repeat, learn and answer probes."""

import math
import pickle
import sys

import pytest
import torch

from ohgw.core.errors import MissingExtraError, SettingError, UnknownNameError
from ohgw.core.streams import Streams
from ohgw.tasks import load
from ohgw.warmstart.black_box_probe import BlackBoxProbe
from ohgw.warmstart.method import GradientRequest

CONFIGURATION = {
    "learning_rate": 1e-3, "clip": 0.2, "entropy": 0.01, "gae_lambda": 0.95, "discount": 0.99,
}  # fmt: skip
SHORT = ":steps=16:updates=2"
ATARI = "atari:game=pong:environments=2:steps=4:updates=1:episodes=2:horizon=20"


@pytest.mark.parametrize("spec", [f"cartpole{SHORT}", f"acrobot{SHORT}", ATARI])
def test_a_pause_leaves_no_trace(spec):
    if spec == ATARI:
        pytest.importorskip("ale_py", reason="the extra `atari` is not installed")
    task = load(spec)
    whole = task.train(CONFIGURATION, task.initial_state(5), 2)
    first, _ = task.train(CONFIGURATION, task.initial_state(5), 1)
    second = task.train(CONFIGURATION, pickle.loads(pickle.dumps(first)), 2)
    assert torch.equal(whole[0].learner.theta, second[0].learner.theta)
    assert whole[1]["return"] == second[1]["return"]
    assert first.learner.t == 4 * 4 * task.updates
    assert not torch.equal(first.learner.theta, second[0].learner.theta)


def test_a_policy_learns_to_balance():
    task = load("cartpole")
    before = task.test(task.initial_state(0))["return"]
    state, metrics = task.train(CONFIGURATION, task.initial_state(0), 6)
    assert before < 60 < 200 < metrics["training_return"]
    assert task.test(state)["return"] > 100


def test_what_diverges_has_no_score():
    task = load(f"cartpole{SHORT}")
    _, metrics = task.train({**CONFIGURATION, "learning_rate": 1e30}, task.initial_state(0), 1)
    assert math.isnan(metrics["return"])


def test_the_probe_s_gradient_is_its_own_and_priced():
    task = load("cartpole")
    probe = BlackBoxProbe(task)
    streams = Streams(0)
    request = GradientRequest(0, CONFIGURATION, 1, "reverse")
    (result,) = probe.answer([(streams, request)])
    assert result.estimator == "task" and result.work == task.probe_gradient_resource == 0.25
    loss, slopes = task.probe_gradient(CONFIGURATION, streams.integer("probe", 0))
    assert loss == pytest.approx(task.probe(CONFIGURATION, streams.integer("probe", 0)), rel=1e-6)
    assert "clip" not in slopes and probe.visible("reverse", 1) == slopes.keys()
    assert result.gradient.tolist() == [slopes.get(name, 0.0) for name in task.space.continuous]


def test_a_gradient_without_a_price_is_refused():
    class Unpriced:
        name, space = "unpriced", load("cartpole").space

        def probe_gradient(self, configuration, seed):
            raise NotImplementedError

    with pytest.raises(SettingError, match="no positive probe_gradient_resource"):
        BlackBoxProbe(Unpriced())


def test_games_are_those_of_the_library():
    pytest.importorskip("ale_py", reason="the extra `atari` is not installed")
    task = load(ATARI)
    assert task.policy.layout.size == 1_687_719  # CleanRL's agent of six actions
    with pytest.raises(UnknownNameError, match="game of task 'atari' 'pnog'.*Did you mean 'pong'"):
        load("atari:game=pnog")
    with pytest.raises(SettingError, match="horizon=0"):
        load("atari:horizon=0")


def test_atari_says_what_it_lacks(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(MissingExtraError, match=r"ohgw\[atari\]"):
        load("atari")
