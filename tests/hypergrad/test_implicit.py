"""Implicit differentiation against re-optimising a strongly convex problem."""

import pytest
import torch
from torch.func import grad, hessian

from ohgw.core.errors import SettingError
from ohgw.core.space import Float, Space
from ohgw.hypergrad.implicit import Implicit
from ohgw.testing.estimators import (
    SmallTask,
    assert_agrees,
    central_differences,
    draw_probe,
    small_task,
)
from ohgw.training.dynamics import State, decode, initial_state
from ohgw.training.optimizers import SGD, AdamW


class Convex(SmallTask):
    """Logistic regression with a ridge of its own; strongly convex."""

    noise_size = 30

    def __init__(self, optimizer, own):
        super().__init__("convex", optimizer, own)
        self.space = Space({**self.space, "ridge": Float(1e-3, 1.0, log=True)})

    def train_loss(self, theta, batch, hp, noise):
        x, y = batch
        x = x * (1 + hp["dropout"] * noise.reshape(x.shape))
        target = (1 - hp["smoothing"]) * y + hp["smoothing"] / 2
        logit = x @ theta
        fit = (torch.nn.functional.softplus(logit) - target * logit).mean()
        return fit + hp["ridge"] / 2 * (theta @ theta)

    def loss(self, theta, batch):
        x, y = batch
        logit = x @ theta
        return (torch.nn.functional.softplus(logit) - y * logit).mean()


BETA2 = 1 - 1e-12  # a preconditioner that the gradient at hand does not move
LATE = 10


def convex(kind):
    """(task, slots, diagonal): the preconditioner's diagonal is ones for SGD."""
    if kind == "sgd":
        own = {"momentum": Float(0.0, 0.9)}
        return Convex(SGD(), own), (torch.zeros(5).double(),), torch.ones(5).double()
    task = Convex(AdamW(beta2=BETA2), {})
    curvature = torch.linspace(0.2, 2.0, 5, dtype=torch.float64)
    correction = (LATE + 1) * 1e-12
    return task, (torch.zeros(5).double(), correction * curvature**2), 1 / curvature


def optimum(task, diagonal, psi, batches, noise):
    """Where a training step stands still, by Newton's method."""
    hp = decode(task.space, psi)

    def objective(theta):
        each = torch.func.vmap(task.train_loss, in_dims=(None, 0, None, 0))
        decay = hp["weight_decay"] / 2 * (theta * theta / diagonal).sum()
        return each(theta, batches, hp, noise).mean() + decay

    theta = torch.zeros(5, dtype=psi.dtype)
    for _ in range(12):
        theta = theta - torch.linalg.solve(hessian(objective)(theta), grad(objective)(theta))
    assert grad(objective)(theta).abs().max() < 1e-13
    return theta


def convex_probe(task):
    _, psi, batches, noise, validation = draw_probe(small_task("sgd"), 4)
    low, high = (torch.from_numpy(bound) for bound in task.space.natural_bounds)
    values = {"learning_rate": 0.0, "weight_decay": -1.0, "ridge": -1.0, "dropout": 0.4}
    psi = (low + high) / 2
    for name, value in values.items():
        psi[task.space.continuous.index(name)] = value
    return psi, batches, noise, validation, high - low


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_is_the_derivative_of_the_reoptimised_validation_loss(kind):
    task, slots, diagonal = convex(kind)
    psi, batches, noise, validation, width = convex_probe(task)
    theta = optimum(task, diagonal, psi, batches, noise)
    state = State(theta, slots, torch.tensor(LATE))
    loss, gradient = Implicit(terms=1500).gradient(task, state, psi, batches, noise, validation)
    torch.testing.assert_close(loss, task.loss(theta, validation))

    def reoptimised(psi):
        return task.loss(optimum(task, diagonal, psi, batches, noise), validation)

    reference = central_differences(reoptimised, psi, width)
    for name in ("dropout", "smoothing", "weight_decay", "ridge"):
        assert reference.gradient[task.space.continuous.index(name)].abs() > 1e-4
    assert_agrees(gradient, reference)


def test_fewer_terms_are_further_off():
    task, slots, diagonal = convex("sgd")
    psi, batches, noise, validation, _ = convex_probe(task)
    state = State(optimum(task, diagonal, psi, batches, noise), slots, torch.tensor(LATE))
    exact, *others = (
        Implicit(terms).gradient(task, state, psi, batches, noise, validation)[1]
        for terms in (2000, 100, 10, 0)
    )
    errors = [float((other - exact).norm() / exact.norm()) for other in others]
    assert errors == sorted(errors) and errors[0] < 1e-2 < 0.5 < errors[-1] < 1


def test_learning_rate_and_momentum_are_zero_even_away_from_an_optimum():
    task, *_ = convex("sgd")
    psi, batches, noise, validation, _ = convex_probe(task)
    state = initial_state(task, torch.ones(5, dtype=torch.float64))
    _, gradient = Implicit().gradient(task, state, psi, batches, noise, validation)
    for i, name in enumerate(task.space.continuous):
        assert (gradient[i] == 0) == (name in {"learning_rate", "momentum"})


def test_refuses_a_negative_number_of_terms():
    with pytest.raises(SettingError, match="terms is -1"):
        Implicit(-1)
