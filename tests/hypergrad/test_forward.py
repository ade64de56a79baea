"""Forward mode agrees with reverse mode, to rounding."""

import warnings

import pytest
import torch

from ohgw.hypergrad import forward
from ohgw.hypergrad.forward import Forward
from ohgw.hypergrad.reverse import Reverse
from ohgw.testing.estimators import SMALL_TASKS, draw_probe, small_task


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("kind", SMALL_TASKS)
def test_agrees_with_reverse_mode(kind, steps):
    task = small_task(kind)
    probe = draw_probe(task, steps)
    torch.testing.assert_close(Forward().gradient(task, *probe), Reverse().gradient(task, *probe))


def test_the_warning_of_torchs_own_rules_does_not_reach_the_user():
    task = small_task("sgd")
    probe = draw_probe(task, 1)
    forward._load_forward_mode.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Forward().gradient(task, *probe)
    assert caught == []
