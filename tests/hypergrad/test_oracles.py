"""Independent implementations of the same derivatives: `higher` and TorchOpt.

`higher` (Grefenstette et al. 2019, arXiv:1910.01727) unrolls torch.optim.SGD with tensors for its
hyperparameters; TorchOpt (Ren et al. 2023, arXiv:2211.06934) unrolls its own functional AdamW,
whose learning rate may be a tensor and whose `eps_root` is an epsilon inside the square root.
"""

import warnings

import pytest
import torch

from ohgw.hypergrad.forward import Forward
from ohgw.hypergrad.reverse import Reverse
from ohgw.testing.estimators import draw_probe, small_task
from ohgw.training.dynamics import decode
from ohgw.training.optimizers import AdamW

STEPS = 3


def batch_of(batches, k):
    return tuple(part[k] for part in batches)


@pytest.mark.parametrize("estimator", [Reverse(), Forward()], ids=lambda e: e.name)
def test_sgd_as_higher(estimator):
    higher = pytest.importorskip("higher")
    task = small_task("sgd")
    state, psi, batches, noise, validation = probe = draw_probe(task, STEPS)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.theta = torch.nn.Parameter(state.theta.clone())

        def forward(self, function, *arguments):
            return function(self.theta, *arguments)

    leaf = psi.clone().requires_grad_()
    hp = decode(task.space, leaf)
    model = Model()
    # the numbers are placeholders: momentum must not be 0 for torch to keep a buffer
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.1, weight_decay=0.1)
    override = {
        "lr": [hp["learning_rate"]],
        "momentum": [hp["momentum"]],
        "weight_decay": [hp["weight_decay"]],
    }
    with higher.innerloop_ctx(model, optimizer, override=override) as (unrolled, steps):
        for k in range(STEPS):
            steps.step(unrolled(task.train_loss, batch_of(batches, k), hp, noise[k]))
        expected_loss = unrolled(task.loss, validation)
        (expected,) = torch.autograd.grad(expected_loss, leaf)
    assert (expected != 0).all()
    torch.testing.assert_close(estimator.gradient(task, *probe), (expected_loss.detach(), expected))


@pytest.mark.parametrize("estimator", [Reverse(), Forward()], ids=lambda e: e.name)
def test_adamw_as_torchopt(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its imports, not ours
        torchopt = pytest.importorskip("torchopt")
    task = small_task("adamw")
    # TorchOpt takes a number for weight decay, and knows no warm-up. It raises the betas to the
    # step's power in float32: these have powers that are exact there.
    betas = (0.875, 1 - 2**-6)
    task.optimizer = AdamW(*betas, eps=1e-3, weight_decay=0.1)
    state, psi, batches, noise, validation = probe = draw_probe(task, STEPS)
    leaf = psi.clone().requires_grad_()
    hp = decode(task.space, leaf)
    optimizer = torchopt.adamw(
        lambda count: hp["learning_rate"], betas, eps=0.0, eps_root=1e-6, weight_decay=0.1
    )
    theta = (state.theta.clone().requires_grad_(),)
    slots = optimizer.init(theta)
    for k in range(STEPS):
        loss = task.train_loss(theta[0], batch_of(batches, k), hp, noise[k])
        grads = torch.autograd.grad(loss, theta, create_graph=True)
        updates, slots = optimizer.update(grads, slots, params=theta, inplace=False)
        theta = torchopt.apply_updates(theta, updates, inplace=False)
    expected_loss = task.loss(theta[0], validation)
    expected = torch.autograd.grad(expected_loss, leaf)[0]
    names = task.space.continuous
    assert {n for n, e in zip(names, expected, strict=True) if e != 0} == {
        "learning_rate",
        "dropout",
        "smoothing",
    }
    torch.testing.assert_close(estimator.gradient(task, *probe), (expected_loss.detach(), expected))
