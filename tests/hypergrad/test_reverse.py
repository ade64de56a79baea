"""Reverse mode: the exact gradient of the lookahead, and what is exactly zero in it."""

import pytest
import torch

from ohgw.hypergrad.reverse import Reverse
from ohgw.testing.estimators import SMALL_TASKS, draw_probe, small_task, stack


@pytest.mark.parametrize("kind", SMALL_TASKS)
def test_the_literal_gradient_is_identically_zero(kind):
    """The loss at the first mini-batch, before any step, depends on no hyperparameter."""
    task = small_task(kind)
    probe = draw_probe(task, 0)
    loss, gradient = Reverse().gradient(task, *probe)
    torch.testing.assert_close(loss, task.loss(probe.state.theta, probe.validation))
    assert torch.equal(gradient, torch.zeros_like(probe.psi))


def test_momentum_is_zero_after_one_step_and_not_after_two():
    task = small_task("sgd")
    i = task.space.continuous.index("momentum")
    assert Reverse().gradient(task, *draw_probe(task, 1))[1][i] == 0
    assert Reverse().gradient(task, *draw_probe(task, 2))[1][i].abs() > 1e-6


def test_warm_up_mirrors_the_learning_rate_inside_it():
    """With AdamW, lr and 1 / warmup_scale enter the warm-up steps as one product."""
    task = small_task("adamw")
    probe = draw_probe(task, 1)
    psi = probe.psi.clone()
    psi[task.space.continuous.index("warmup_scale")] = 0.5
    _, gradient = Reverse().gradient(task, *probe._replace(psi=psi))
    lr, warmup = (
        gradient[task.space.continuous.index(name)] for name in ("learning_rate", "warmup_scale")
    )
    assert lr != 0
    torch.testing.assert_close(lr, -warmup)


def test_a_lane_that_is_not_finite_stays_alone():
    task = small_task("sgd")
    probe = draw_probe(task, 2)
    both = stack([probe, probe])
    both.state.theta[1] = torch.nan
    losses, gradients = Reverse().gradients(task, *both)
    _, alone = Reverse().gradient(task, *probe)
    torch.testing.assert_close(gradients[0], alone)
    assert losses[1].isnan() and gradients[1].isnan().any()
