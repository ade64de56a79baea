"""Counted cost."""

import pytest
import torch
from torch.nn import functional as F

from ohgw.tasks import load
from ohgw.testing.estimators import draw_probe
from ohgw.training.cost import count_flops
from ohgw.training.dynamics import decode, train_step


def test_matrix_products_and_convolutions_are_counted():
    a, b = torch.randn(3, 4), torch.randn(4, 5)
    assert count_flops(lambda: a @ b) == 2 * 3 * 4 * 5
    x, kernel = torch.randn(2, 3, 8, 8), torch.randn(5, 3, 3, 3)
    assert count_flops(lambda: F.conv2d(x, kernel, padding=1)) == 2 * (2 * 8 * 8) * 5 * (3 * 9)
    assert count_flops(lambda: a + a) == 0


def test_a_training_step_of_the_mlp_by_hand():
    """Forward, the gradient of each weight, and that of each layer's input but the first."""
    task = load("breast-cancer")
    state, psi, batches, noise, _ = draw_probe(task, 1)
    hp = decode(task.space, psi)
    batch = tuple(part[0] for part in batches)
    layers = [30 * 32, 32 * 16, 16 * 2]
    expected = 2 * task.batch_size * (3 * sum(layers) - layers[0])
    counted = count_flops(lambda: train_step(task, state, batch, hp, noise[0]))
    assert counted == pytest.approx(expected)


def test_cost_is_a_number_of_the_task_alone():
    """Neither values nor precision matter."""
    found = set()
    for dtype, seed in ((torch.float32, 0), (torch.float64, 1)):
        task = load("digits", dtype=dtype)
        state, psi, batches, noise, _ = draw_probe(task, 1, seed)
        batch = tuple(part[0] for part in batches)
        hp = decode(task.space, psi)
        found.add(count_flops(lambda: train_step(task, state, batch, hp, noise[0])))  # noqa: B023
    assert len(found) == 1
