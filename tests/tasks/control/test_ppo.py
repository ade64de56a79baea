"""PPO: its pieces against loops and torch's own, its derivatives against central differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from ohgw.tasks import load
from ohgw.tasks.control import _ppo
from ohgw.tasks.control._environments import CartPoles
from ohgw.testing.estimators import assert_agrees, central_differences

POLICY = _ppo.Perceptrons(4, 2, width=8)
HP = {"clip": 0.2, "entropy": 0.01, "gae_lambda": 0.9, "discount": 0.95, "learning_rate": 3e-3}


def values(**changed) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value).double() for name, value in (HP | changed).items()}


def rollout(steps=12, seed=0) -> tuple[torch.Tensor, _ppo.Rollout]:
    theta = POLICY.init(torch.Generator().manual_seed(seed)).double()
    rng = np.random.default_rng(seed)
    return theta, _ppo.collect(POLICY, theta, CartPoles(3, rng), steps, rng)


@given(st.integers(0, 99), st.floats(0.5, 1.0), st.floats(0.0, 1.0))
def test_advantages_are_discounted_sums_of_errors(seed, discount, gae_lambda):
    """Equation 16, one start at a time, stopping where the episode does."""
    rng = np.random.default_rng(seed)
    rewards, v, going = rng.normal(size=7), rng.normal(size=8), rng.random(7) > 0.2
    blank = torch.zeros(7, 1)
    found = _ppo.advantages(
        _ppo.Rollout(
            blank, blank, blank, *(torch.tensor(a)[:, None] for a in (v, rewards, going * 1.0))
        ),
        torch.tensor(discount, dtype=torch.float64),
        torch.tensor(gae_lambda, dtype=torch.float64),
    )
    for start in range(7):
        total, weight = 0.0, 1.0
        for t in range(start, 7):
            total += weight * (rewards[t] + discount * v[t + 1] * going[t] - v[t])
            if not going[t]:
                break
            weight *= discount * gae_lambda
        assert found[start].item() == pytest.approx(total, abs=1e-12)


def test_what_a_rollout_says_of_its_policy_is_so():
    theta, met = rollout()
    logits, v = POLICY(POLICY.layout.split(theta), met.seen)
    log_p = torch.distributions.Categorical(logits=logits).log_prob(met.actions)
    assert_close(log_p, met.log_p)
    assert_close(v, met.values[:-1])
    assert {0, 1} == set(met.actions.flatten().tolist())  # it explores


def test_the_first_loss_is_a_policy_gradient_s():
    """Nothing is clipped yet: its gradient is that of advantage times log-probability."""
    theta, met = rollout()
    batch = _ppo.Samples.of(met, values())
    theta.requires_grad_()
    (ours,) = torch.autograd.grad(_ppo.loss(POLICY, theta, batch, values()), theta)
    logits, v = POLICY(POLICY.layout.split(theta), batch.seen)
    chosen = torch.distributions.Categorical(logits=logits)
    gain = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
    plain = -(gain * chosen.log_prob(batch.actions)).mean() - 0.01 * chosen.entropy().mean()
    plain = plain + 0.5 * 0.5 * ((v - batch.returns) ** 2).mean()
    (theirs,) = torch.autograd.grad(plain, theta)
    assert_close(ours, theirs)


def test_clipping_by_hand():
    """Two samples at ratios 1.5 and 0.5 under a range of 0.2, normalised advantages +-1/sqrt(2)."""

    class Fixed:
        layout = POLICY.layout

        def __call__(self, weights, seen):
            p = torch.tensor([[0.75, 0.25], [0.75, 0.25]], dtype=torch.float64)
            return p.log(), torch.tensor([2.0, 0.1], dtype=torch.float64)

    batch = _ppo.Samples(
        seen=torch.zeros(2, 4),
        actions=torch.tensor([0, 1]),
        log_p=torch.tensor([0.5, 0.5], dtype=torch.float64).log(),
        values=torch.tensor([1.0, 0.0], dtype=torch.float64),
        advantages=torch.tensor([1.0, -1.0], dtype=torch.float64),
        returns=torch.tensor([2.0, 0.0], dtype=torch.float64),
    )
    found = _ppo.loss(Fixed(), torch.zeros(POLICY.layout.size), batch, values(entropy=0.0))
    a = 1 / 2**0.5
    acting = (-a * 1.2 + a * 0.8) / 2  # both at the edge of the range, the pessimistic one
    error = ((1.2 - 2.0) ** 2 + 0.1**2) / 2  # the first value is held at 1 + 0.2
    assert found.item() == pytest.approx(acting + 0.5 * error / 2, rel=1e-6)


def test_gradients_are_cut_to_their_norm():
    theta, met = rollout()
    orders = np.arange(36)[None]
    met = met._replace(rewards=1e6 * met.rewards)
    after = _ppo.improve(POLICY, _ppo.begin(theta), met, values(), orders)
    # Adam's first moment after four steps of norm 0.5 at most
    assert after.slots[0].norm() <= 0.5 * (1 - 0.9**4) + 1e-9


def test_an_update_is_the_same_with_its_graph():
    theta, met = rollout()
    orders = np.stack([np.random.default_rng(k).permutation(36) for k in range(2)])
    plain, graph = (
        _ppo.improve(POLICY, _ppo.begin(theta), met, values(), orders, graph=graph)
        for graph in (False, True)
    )
    assert_close(plain.theta, graph.theta.detach(), rtol=0, atol=0)
    assert plain.t == graph.t == 8


@pytest.mark.parametrize("name", ["cartpole", "acrobot"])
def test_hypergradients_through_an_update_are_central_differences(name):
    """At a learning rate that leaves the clip range, which has none even then."""
    task = load(name, dtype=torch.float64)
    psi = torch.as_tensor(task.space.to_natural(HP | {"learning_rate": 8e-3, "clip": 0.06}))
    met = task.rollouts(3)
    leaf = psi.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(task.look(leaf, *met, graph=True), leaf)
    low, high = (torch.as_tensor(bound) for bound in task.space.natural_bounds)
    # narrower than usual: hundreds of samples cross the range somewhere within a wider step
    expected = central_differences(lambda x: task.look(x, *met).detach(), psi, (high - low) / 100)
    assert_agrees(gradient, expected, rtol=1e-3)
    seen = {name for name, slope in zip(task.space, gradient, strict=True) if slope != 0}
    assert seen == set(task.probe_gradient_names)
