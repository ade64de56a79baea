"""The environments of reinforcement learning, step for step against gymnasium's."""

import gymnasium
import numpy as np
import pytest

from ohgw.tasks.control._environments import Acrobots, CartPoles

PAIRS = [(CartPoles, "CartPole-v1"), (Acrobots, "Acrobot-v1")]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_steps_are_gymnasium_s(ours, theirs):
    """From the same states under the same actions, until each episode's end."""
    rng = np.random.default_rng(0)
    copies = ours(6, rng)
    references = [gymnasium.make(theirs).unwrapped for _ in range(6)]
    for reference, state in zip(references, copies.state, strict=True):
        reference.reset(seed=0)
        reference.state = state.copy()
    going, ends = np.ones(6, bool), 0
    for _ in range(499):
        actions = rng.integers(ours.actions, size=6)
        rewards, ended = copies.step(actions)
        seen = copies.observe()
        for k in np.flatnonzero(going):
            their_seen, reward, terminated, _, _ = references[k].step(int(actions[k]))
            assert (rewards[k], ended[k]) == (reward, terminated)
            if not terminated:
                np.testing.assert_allclose(seen[k], their_seen, rtol=1e-4, atol=1e-5)
        ends += int((going & ended).sum())
        going &= ~ended
    # a random policy drops the pole soon; one that swings up is lucky
    assert ends == 6 if ours is CartPoles else ends <= 6


def test_the_goal_of_acrobot_ends_an_episode_without_a_cost():
    copies = Acrobots(2, np.random.default_rng(0))
    copies.state[0] = [np.pi - 0.01, 0.0, 0.0, 0.0]
    rewards, ended = copies.step(np.array([1, 1]))
    assert rewards.tolist() == [0.0, -1.0] and ended.tolist() == [True, False]
    assert np.abs(copies.state[0]).max() <= Acrobots.spread  # begun anew


@pytest.mark.parametrize("ours", [CartPoles, Acrobots])
def test_episodes_end_by_time(ours, monkeypatch):
    monkeypatch.setattr(ours, "limit", 3)
    copies = ours(2, np.random.default_rng(0))
    ended = [copies.step(np.array([0, 1]))[1].tolist() for _ in range(6)]
    assert ended == [[False, False], [False, False], [True, True]] * 2
