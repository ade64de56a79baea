"""The closed form of one step."""

import math

import pytest
import torch
from torch.func import grad
from torch.utils.flop_counter import FlopCounterMode

from ohgw.core.errors import HypergradError
from ohgw.hypergrad.analytic import Analytic
from ohgw.hypergrad.reverse import Reverse
from ohgw.testing.estimators import SMALL_TASKS, draw_probe, small_task
from ohgw.training.dynamics import decode, train_step


def test_learning_rate_is_baydins_inner_product():
    task = small_task("sgd")
    probe = draw_probe(task, 1)
    state, psi, batches, noise, validation = probe
    hp, batch = decode(task.space, psi), tuple(part[0] for part in batches)
    g0 = grad(task.train_loss)(state.theta, batch, hp, noise[0])
    after = train_step(task, state, batch, hp, noise[0]).theta
    g1 = grad(task.loss)(after, validation)
    by_value = -(g1 @ (g0 + hp["weight_decay"] * state.theta))
    loss, gradient = Analytic().gradient(task, *probe)
    torch.testing.assert_close(loss, task.loss(after, validation))
    i = task.space.continuous.index("learning_rate")
    torch.testing.assert_close(gradient[i], by_value * hp["learning_rate"] * math.log(10))


@pytest.mark.parametrize("kind", SMALL_TASKS)
def test_agrees_with_reverse_mode_on_what_it_sees(kind):
    task = small_task(kind)
    probe = draw_probe(task, 1)
    loss, gradient = Analytic().gradient(task, *probe)
    exact_loss, exact = Reverse().gradient(task, *probe)
    torch.testing.assert_close(loss, exact_loss)
    for i, name in enumerate(task.space.continuous):
        if name in task.optimizer.hyperparameters:
            torch.testing.assert_close(gradient[i], exact[i])
        else:
            assert gradient[i] == 0 and exact[i] != 0


def test_costs_two_gradients():
    """No second-order graph: one training and one validation gradient, nothing else."""
    task = small_task("sgd")
    state, psi, batches, noise, validation = draw_probe(task, 1)
    hp, batch = decode(task.space, psi), tuple(part[0] for part in batches)
    with FlopCounterMode(display=False) as needed:
        grad(task.train_loss)(state.theta, batch, hp, noise[0])
        grad(task.loss)(state.theta, validation)
    with FlopCounterMode(display=False) as spent:
        Analytic().gradient(task, state, psi, batches, noise, validation)
    assert spent.get_total_flops() == needed.get_total_flops() > 0


@pytest.mark.parametrize("steps", [0, 3])
def test_refuses_any_other_number_of_steps(steps):
    task = small_task("sgd")
    with pytest.raises(HypergradError, match=f"given {steps} training steps"):
        Analytic().gradient(task, *draw_probe(task, steps))
