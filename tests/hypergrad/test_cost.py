"""What a hypergradient costs, in training steps; the numbers of docs/hypergradients.md."""

import pytest
from torch.utils.flop_counter import FlopCounterMode

from ohgw.hypergrad import ESTIMATORS
from ohgw.tasks import load
from ohgw.testing.estimators import draw_probe
from ohgw.training.dynamics import decode, train_step


@pytest.fixture(scope="module")
def task():
    return load("breast-cancer")


@pytest.mark.parametrize(
    ("name", "steps", "multiple"),
    [
        ("analytic", 1, 2.0),
        ("reverse", 1, 3.4),
        ("reverse", 3, 9.4),
        ("reverse", 10, 30.4),
        ("forward", 1, 12.3),
        ("forward", 3, 34.3),
        ("finite-difference", 1, 15.7),
        ("finite-difference", 3, 37.7),
        ("implicit", 1, 44.0),
        ("implicit", 3, 130.0),
    ],
)
def test_multiple_of_a_training_step(task, name, steps, multiple):
    state, psi, batches, noise, validation = draw_probe(task, steps)
    validation = tuple(part[: task.batch_size] for part in validation)
    first = tuple(part[0] for part in batches)
    with FlopCounterMode(display=False) as unit:
        train_step(task, state, first, decode(task.space, psi), noise[0])
    with FlopCounterMode(display=False) as spent:
        ESTIMATORS[name].gradient(task, state, psi, batches, noise, validation)
    assert spent.get_total_flops() / unit.get_total_flops() == pytest.approx(multiple, abs=0.05)
