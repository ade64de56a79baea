"""Central differences: their accuracy in both precisions, and the step."""

import pytest
import torch

from ohgw.core.errors import SettingError
from ohgw.hypergrad.finite_difference import FiniteDifference
from ohgw.hypergrad.reverse import Reverse
from ohgw.testing.estimators import SMALL_TASKS, draw_probe, small_task


@pytest.mark.parametrize(
    ("dtype", "share"), [(torch.float64, 1e-7), (torch.float32, 1e-2)], ids=str
)
@pytest.mark.parametrize("kind", SMALL_TASKS)
def test_default_step_suits_the_precision(kind, dtype, share):
    exact = Reverse().gradient(small_task(kind), *draw_probe(small_task(kind), 3))[1]
    task = small_task(kind, dtype)
    probe = draw_probe(small_task(kind), 3)
    probe = torch.utils._pytree.tree_map(
        lambda x: x.to(dtype) if x.is_floating_point() else x, probe
    )
    loss, gradient = FiniteDifference().gradient(task, *probe)
    assert loss.dtype == gradient.dtype == dtype
    distance = (gradient.double() - exact).abs().max()
    assert distance < share * exact.abs().max()


def test_error_falls_with_the_square_of_the_step():
    task = small_task("sgd")
    probe = draw_probe(task, 2)
    exact = Reverse().gradient(task, *probe)[1]
    coarse, fine = (
        (FiniteDifference(step).gradient(task, *probe)[1] - exact).abs().max()
        for step in (2e-2, 1e-2)
    )
    assert coarse / fine == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("step", [0.0, -1e-3, 1.5, float("nan")])
def test_refuses_a_step_that_cannot_work(step):
    with pytest.raises(SettingError, match=f"step is {step!r}"):
        FiniteDifference(step)
