"""Optimisers against torch.optim, in place against functional, batched against looped."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ohgw.core.errors import SettingError
from ohgw.training.optimizers import SGD, AdamW

N, STEPS = 7, 5
HP = {"learning_rate": 0.05, "weight_decay": 0.1, "momentum": 0.9, "warmup_scale": 2.0}


def tensors(values):
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def trajectory(optimizer, hp, theta, grads):
    slots, path = optimizer.init(theta), []
    for t, grad in enumerate(grads):
        count = torch.full(theta.shape[:-1], t)
        theta, slots = optimizer.update(theta, slots, grad, count, hp)
        path.append(theta)
    return torch.stack(path), slots


def torch_trajectory(reference, parameter, grads, rates=None):
    path = []
    for t, grad in enumerate(grads):
        if rates is not None:
            reference.param_groups[0]["lr"] = rates[t]
        parameter.grad = grad.clone()
        reference.step()
        path.append(parameter.detach().clone())
    return torch.stack(path)


@given(
    lr=st.floats(1e-4, 1.0),
    decay=st.sampled_from([0.0, 0.01, 1.0]),
    momentum=st.sampled_from([0.0, 0.5, 0.99]),
    seed=st.integers(0, 9),
)
@settings(max_examples=30, deadline=None)
def test_sgd_takes_the_steps_of_torch(lr, decay, momentum, seed):
    theta, grads = draw(N, seed=seed), draw(STEPS, N, seed=seed + 100)
    hp = tensors({"learning_rate": lr, "weight_decay": decay, "momentum": momentum})
    parameter = theta.clone().requires_grad_()
    reference = torch.optim.SGD([parameter], lr=lr, momentum=momentum, weight_decay=decay)
    ours, _ = trajectory(SGD(), hp, theta, grads)
    torch.testing.assert_close(ours, torch_trajectory(reference, parameter, grads))


@given(
    lr=st.floats(1e-4, 1.0),
    decay=st.sampled_from([0.0, 0.01, 1.0]),
    warmup=st.sampled_from([0.0, 0.3, 3.0, 100.0]),
    seed=st.integers(0, 9),
)
@settings(max_examples=30, deadline=None)
def test_adamw_takes_the_steps_of_torch_but_for_epsilon(lr, decay, warmup, seed):
    theta, grads = draw(N, seed=seed), draw(STEPS, N, seed=seed + 100)
    hp = tensors({"learning_rate": lr, "weight_decay": decay, "warmup_scale": 2.0})
    rates = [lr * min(1.0, (t + 1) / (2.0 * warmup)) if warmup else lr for t in range(STEPS)]
    parameter = theta.clone().requires_grad_()
    reference = torch.optim.AdamW([parameter], lr=lr, weight_decay=decay, eps=1e-14)
    ours, _ = trajectory(AdamW(eps=1e-14, warmup_steps=warmup), hp, theta, grads)
    expected = torch_trajectory(reference, parameter, grads, rates)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


def test_adamw_keeps_the_accuracy_of_its_bias_correction_in_float32():
    theta, grad = draw(N).float(), draw(N, seed=1).float()
    hp = {k: v.float() for k, v in tensors({"learning_rate": 1.0, "weight_decay": 0.0}).items()}
    optimizer = AdamW()
    stepped, _ = optimizer.update(theta, optimizer.init(theta), grad, torch.tensor(0), hp)
    # the very first step is the sign of the gradient, exactly
    torch.testing.assert_close(stepped, theta - grad.sign(), rtol=1e-6, atol=1e-6)


def test_decay_mask_spares_parameters():
    theta, zero = draw(N), torch.zeros(N, dtype=torch.float64)
    mask = torch.tensor([1.0, 0, 1, 0, 1, 0, 1], dtype=torch.float64)
    optimizer = AdamW(decay_mask=mask)
    hp = tensors({"learning_rate": 0.1, "weight_decay": 0.5})
    stepped, _ = optimizer.update(theta, optimizer.init(theta), zero, torch.tensor(0), hp)
    torch.testing.assert_close(stepped, theta * (1 - 0.05 * mask))


OPTIMIZERS = {
    "sgd": SGD(),
    "sgd, all fixed": SGD(weight_decay=0.1, momentum=0.9),
    "sgd, plain": SGD(weight_decay=0.0, momentum=0.0),
    "adamw": AdamW(),
    "adamw, warm-up": AdamW(warmup_steps=2.0),
    "adamw, mask": AdamW(decay_mask=(torch.arange(N) % 2).double()),
    "adamw, fixed decay": AdamW(weight_decay=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("lanes", [(), (3,)], ids=["single", "lanes"])
@pytest.mark.parametrize("zero", [(), ("weight_decay",), ("momentum",)], ids=str)
def test_in_place_equals_functional(optimizer, lanes, zero):
    theta, grads = draw(*lanes, N), draw(STEPS, *lanes, N, seed=1)
    scale = 1 + torch.arange(3, dtype=torch.float64) / 4 if lanes else torch.tensor(1.0).double()
    hp = {k: v * scale * (k not in zero) for k, v in tensors(HP).items()}
    path, slots = trajectory(optimizer, hp, theta, grads)
    theta_, slots_, t = theta.clone(), optimizer.init(theta), torch.zeros(lanes, dtype=torch.int64)
    for grad in grads:
        before = grad.clone()
        optimizer.update_(theta_, slots_, grad, t, hp)
        assert torch.equal(grad, before)
        t += 1
    torch.testing.assert_close((theta_, *slots_), (path[-1], *slots))


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_lanes_equal_single_configurations(optimizer):
    theta, grads = draw(3, N), draw(STEPS, 3, N, seed=1)
    hp = {k: v * torch.tensor([0.5, 1.0, 1.05]).double() for k, v in tensors(HP).items()}
    together, _ = trajectory(optimizer, hp, theta, grads)
    for i in range(3):
        alone, _ = trajectory(optimizer, {k: v[i] for k, v in hp.items()}, theta[i], grads[:, i])
        torch.testing.assert_close(together[:, i], alone)


def test_lanes_may_stand_at_different_steps():
    optimizer, theta, grad = AdamW(warmup_steps=10.0), draw(2, N), draw(2, N, seed=1)
    hp = {k: v.expand(2) for k, v in tensors(HP).items()}
    slots = (draw(2, N, seed=2), draw(2, N, seed=3).square())
    t = torch.tensor([0, 7])
    together, _ = optimizer.update(theta, slots, grad, t, hp)
    for i in range(2):
        alone, _ = optimizer.update(
            theta[i], tuple(s[i] for s in slots), grad[i], t[i], tensors(HP)
        )
        torch.testing.assert_close(together[i], alone)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_derivatives_are_finite_where_the_gradient_is_zero(optimizer):
    """Epsilon inside the root: outside, the derivative through v is 0 * inf."""
    values = {k: v.requires_grad_() for k, v in tensors(HP).items()}
    grad = torch.zeros(N, dtype=torch.float64, requires_grad=True)
    theta = draw(N)
    stepped, _ = optimizer.update(theta, optimizer.init(theta), grad, torch.tensor(0), values)
    wanted = [grad, *(values[name] for name in sorted(optimizer.hyperparameters))]
    for derivative in torch.autograd.grad(stepped.sum(), wanted):
        assert derivative.isfinite().all()


def test_warm_up_shorter_than_a_step_is_no_warm_up():
    theta, grad = draw(N), draw(N, seed=1)
    hp = tensors({**HP, "warmup_scale": 0.0})
    hp["warmup_scale"].requires_grad_()
    optimizer = AdamW(warmup_steps=10.0)
    stepped, _ = optimizer.update(theta, optimizer.init(theta), grad, torch.tensor(0), hp)
    plain, _ = AdamW().update(theta, optimizer.init(theta), grad, torch.tensor(0), hp)
    torch.testing.assert_close(stepped, plain)
    (slope,) = torch.autograd.grad(stepped.sum(), hp["warmup_scale"])
    assert slope == 0


def test_fixed_values_are_not_hyperparameters():
    assert SGD().hyperparameters == {"learning_rate", "weight_decay", "momentum"}
    assert SGD(momentum=0.0).hyperparameters == {"learning_rate", "weight_decay"}
    assert SGD(momentum=0.0).delayed == frozenset()
    assert SGD(weight_decay=0.0).persistent == frozenset()
    assert AdamW().hyperparameters == {"learning_rate", "weight_decay"}
    assert AdamW(warmup_steps=1.0, weight_decay=0.0).hyperparameters == {
        "learning_rate",
        "warmup_scale",
    }


@pytest.mark.parametrize("beta", [-0.1, 0.0, 1.0, float("nan")])
def test_adamw_refuses_betas_that_cannot_work(beta):
    with pytest.raises(SettingError, match=f"beta2 is {beta!r}"):
        AdamW(beta2=beta)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_plain_sgd_step_keeps_the_fixed_point(momentum):
    """Where training stands still, so does the memoryless map."""
    optimizer, theta = SGD(), draw(N)
    hp = tensors({**HP, "momentum": momentum})
    grad = -hp["weight_decay"] * theta
    slots = optimizer.init(theta)
    still, _ = optimizer.update(theta, slots, grad, torch.tensor(3), hp)
    torch.testing.assert_close(still, theta)
    torch.testing.assert_close(optimizer.plain_step(theta, slots, grad, torch.tensor(3), hp), theta)


def test_plain_adamw_step_keeps_the_fixed_point():
    # long after the start the moments of a constant gradient have settled; its normalised step,
    # its sign, is balanced by decay where every parameter has size 1 / weight_decay
    optimizer, theta = AdamW(eps=1e-12), 10 * draw(N).sign()
    hp, late, grad = tensors(HP), torch.tensor(100_000), -theta.sign() * draw(N, seed=1).abs()
    slots = (grad.clone(), grad.square())
    still, _ = optimizer.update(theta, slots, grad, late, hp)
    torch.testing.assert_close(still, theta)
    torch.testing.assert_close(optimizer.plain_step(theta, slots, grad, late, hp), theta)
