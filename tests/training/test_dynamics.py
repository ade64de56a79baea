"""One training step, pure and in place, of one configuration and of many."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ohgw.core.space import Categorical, Float, Int, Space
from ohgw.tasks import DIFFERENTIABLE
from ohgw.testing.estimators import SMALL_TASKS, draw_probe, small_task, stack
from ohgw.training.dynamics import decode, initial_state, population_step_, step_, train_step


@pytest.fixture(params=[*SMALL_TASKS, *DIFFERENTIABLE], scope="module")
def task(request, load_small):
    if request.param in SMALL_TASKS:
        return small_task(request.param)
    return load_small(request.param)


def test_decode_gives_values_by_name():
    space = Space(
        {
            "lr": Float(1e-4, 1.0, log=True),
            "layers": Int(1, 4),
            "momentum": Float(0.0, 1.0),
            "kind": Categorical(("a", "b")),
        }
    )
    psi = torch.tensor([[-3.0, 0.5], [0.0, 0.9]], dtype=torch.float64)
    values = decode(space, psi)
    assert list(values) == ["lr", "momentum"]
    torch.testing.assert_close(values["lr"], torch.tensor([1e-3, 1.0], dtype=torch.float64))
    torch.testing.assert_close(values["momentum"], psi[:, 1])


def test_decode_agrees_with_the_space(task):
    configuration = task.space.sample(np.random.default_rng(0))
    values = decode(task.space, torch.from_numpy(task.space.to_natural(configuration)))
    assert {name: float(v) for name, v in values.items()} == pytest.approx(configuration, rel=1e-12)


def test_decode_is_differentiable(task):
    _, psi, *_ = draw_probe(task, 1)
    slope = torch.func.jacrev(lambda p: decode(task.space, p)["learning_rate"])(psi)
    i = task.space.continuous.index("learning_rate")
    expected = torch.zeros_like(psi)
    expected[i] = np.log(10) * 10 ** psi[i]
    torch.testing.assert_close(slope, expected)


def test_a_step_is_a_step_of_torch():
    task = small_task("sgd")
    state, psi, batches, noise, _ = draw_probe(task, 3)
    hp = decode(task.space, psi)
    theta = state.theta.clone().requires_grad_()
    reference = torch.optim.SGD(
        [theta],
        lr=float(hp["learning_rate"]),
        momentum=float(hp["momentum"]),
        weight_decay=float(hp["weight_decay"]),
    )
    for k in range(3):
        batch = tuple(b[k] for b in batches)
        state = train_step(task, state, batch, hp, noise[k])
        reference.zero_grad()
        task.train_loss(theta, batch, hp, noise[k]).backward()
        reference.step()
    torch.testing.assert_close(state.theta, theta.detach())
    assert state.t == 3


def population(task, lanes=3, steps=3):
    probes = [draw_probe(task, steps, seed) for seed in range(lanes)]
    state = stack([p[0] for p in probes])
    hp = decode(task.space, torch.stack([p[1] for p in probes]))
    batches = tuple(torch.stack(b) for b in zip(*(p[2] for p in probes), strict=True))
    return probes, state, hp, batches, torch.stack([p[3] for p in probes])


def test_a_population_trains_as_its_members_would_alone(task):
    probes, state, hp, batches, noise = population(task)
    started = state.theta.clone()
    for k in range(3):
        losses = population_step_(task, state, tuple(b[:, k] for b in batches), hp, noise[:, k])
    assert losses.shape == (3,) and not losses.requires_grad
    assert not state.theta.requires_grad
    assert state.t.tolist() == [3, 3, 3]
    assert not torch.equal(state.theta, started)
    for i, (alone, psi, own, own_noise, _) in enumerate(probes):
        values = decode(task.space, psi)
        for k in range(3):
            batch = tuple(b[k] for b in own)
            loss = task.train_loss(alone.theta, batch, values, own_noise[k])
            alone = train_step(task, alone, batch, values, own_noise[k])
        torch.testing.assert_close(losses[i], loss)
        torch.testing.assert_close(state.theta[i], alone.theta)
        for ours, slot in zip(state.slots, alone.slots, strict=True):
            torch.testing.assert_close(ours[i], slot)


def test_a_lane_that_is_not_finite_leaves_the_others_untouched(task):
    results = []
    for broken in (False, True):
        _, state, hp, batches, noise = population(task)
        if broken:
            state.theta[1] = torch.nan
        for k in range(3):
            losses = population_step_(task, state, tuple(b[:, k] for b in batches), hp, noise[:, k])
        results.append((state.theta, losses))
    (healthy, _), (mixed, losses) = results
    assert mixed[1].isnan().all() and losses[1].isnan()
    assert torch.equal(mixed[[0, 2]], healthy[[0, 2]])


def test_train_step_leaves_its_input_alone(task):
    state, psi, batches, noise, _ = draw_probe(task, 1)
    before = state.theta.clone()
    train_step(task, state, tuple(b[0] for b in batches), decode(task.space, psi), noise[0])
    assert torch.equal(state.theta, before) and state.t == 0


def test_initial_state_has_zero_slots_and_step():
    task = small_task("adamw")
    state = initial_state(task, torch.ones(2, 7, dtype=task.dtype))
    assert state.t.tolist() == [0, 0]
    assert all(slot.shape == (2, 7) and not slot.any() for slot in state.slots)


def test_accumulated_gradients_are_those_of_the_mini_batch():
    """Of noise that lies example by example, as this task's does."""
    task = small_task("sgd")
    whole, parts = draw_probe(task, 1), draw_probe(task, 1)
    hp = decode(task.space, whole.psi)
    batch = tuple(part[0] for part in whole.batches)
    losses = [
        step_(task, probe.state, batch, hp, whole.noise[0], parts=count)
        for probe, count in ((whole, 1), (parts, 3))
    ]
    assert_close(losses[0], losses[1])
    assert_close(whole.state.theta, parts.state.theta)
