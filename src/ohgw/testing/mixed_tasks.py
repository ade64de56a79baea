"""Conformance suite for tasks with discrete hyperparameters, and a small one to try engines on.

    @pytest.mark.parametrize("check", mixed_tasks.CHECKS, ids=lambda check: check.__name__)
    def test_my_task(check):
        check(MyTask())

The contract is `ohgw.core.protocols.MixedTask`. Variants that differ from the reference in one
value are looked at; numbers are compared exactly, so any precision will do.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.func import vmap
from torch.testing import assert_close

from ohgw.core.protocols import DifferentiableTask, MixedTask
from ohgw.core.space import Categorical, Int, Space
from ohgw.testing.estimators import SmallTask, draw_probe, stack
from ohgw.training.dynamics import decode
from ohgw.training.optimizers import SGD, AdamW


class SmallMixedTask(SmallTask):
    """`SmallTask` under SGD or AdamW, with so many hidden units and mini-batches of such a size."""

    own = Space(
        {
            "hidden": Int(3, 5),
            "optimizer": Categorical(("sgd", "adamw")),
            "batch_size": Categorical((6, 4, 12)),
        }
    )
    defaults: Mapping[str, Any] = {"hidden": 4, "optimizer": "sgd", "batch_size": 6}

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__("small-mixed", SGD(momentum=0.5), {}, dtype)
        self.continuous = self.space
        self.space = Space({**self.own, **self.continuous})
        self._variants: dict[tuple[Any, ...], SmallTask] = {}

    def variant(self, values: Mapping[str, Any]) -> SmallTask:
        key = tuple(values[name] for name in self.own)
        if key not in self._variants:
            optimizer = SGD(momentum=0.5) if values["optimizer"] == "sgd" else AdamW()
            made = SmallTask(
                f"small-mixed at {key}",
                optimizer,
                {},
                self.dtype,
                hidden=values["hidden"],
                batch_size=values["batch_size"],
            )
            made.data = self.data
            self._variants[key] = made
        return self._variants[key]


def check_reference(task: MixedTask) -> None:
    """The task's own functions are those of the variant at its defaults."""
    assert set(task.defaults) == set(task.space.discrete), (
        f"defaults {dict(task.defaults)!r} are not for {task.space.discrete}"
    )
    for name, value in task.defaults.items():
        task.space[name].validate(value)
    reference = task.variant(task.defaults)
    for attribute in ("batch_size", "noise_size", "steps_per_epoch"):
        own, theirs = getattr(task, attribute), getattr(reference, attribute)
        assert own == theirs, f"{attribute} is {own!r}, that of the reference is {theirs!r}"
    assert_close(_look(task), _look(reference), rtol=0, atol=0)


def check_variants(task: MixedTask) -> None:
    """What a variant shares with its task, and what it leaves out."""
    continuous = task.space.only(task.space.continuous)
    for values in _values(task):
        variant = task.variant(values)
        assert variant is task.variant(dict(values)), f"{values!r} gave two objects"
        assert variant.space == continuous, f"at {values!r}, the space is {variant.space!r}"
        for attribute in ("metric", "min_resource", "max_resource", "device", "dtype"):
            own, theirs = getattr(task, attribute), getattr(variant, attribute)
            assert own == theirs, f"at {values!r}, {attribute} is {theirs!r} instead of {own!r}"
        assert variant.data.keys() == task.data.keys()
        for split, tensors in task.data.items():
            shared = zip(tensors, variant.data[split], strict=True)
            assert all(one is two for one, two in shared), f"at {values!r}, {split} is a copy"
        assert 1 <= variant.batch_size <= min(len(task.data[s][0]) for s in ("train", "val"))
        assert variant.steps_per_epoch >= 1


def check_lanes(task: MixedTask) -> None:
    """Each variant's functions are finite and give lanes what they give one configuration."""
    for values in _values(task):
        variant = task.variant(values)
        probes = [draw_probe(variant, 1, seed) for seed in range(2)]

        def loss(probe: Any, variant: DifferentiableTask = variant) -> torch.Tensor:
            state, psi, batches, noise, _ = probe
            batch = tuple(part[0] for part in batches)
            return variant.train_loss(state.theta, batch, decode(variant.space, psi), noise[0])

        alone = torch.stack([loss(probe) for probe in probes])
        assert alone.shape == (2,) and alone.isfinite().all(), f"at {values!r}: {alone}"
        assert_close(vmap(loss)(stack(probes)), alone, rtol=1e-4, atol=1e-6)


def _values(task: MixedTask) -> Iterator[dict[str, Any]]:
    """The defaults, and every combination that differs from them in one value."""
    yield dict(task.defaults)
    for name in task.space.discrete:
        domain = task.space[name]
        if isinstance(domain, Categorical):
            choices = domain.choices
        else:
            assert isinstance(domain, Int)
            choices = (domain.low, (domain.low + domain.high) // 2, domain.high)
        for value in choices:
            yield {**task.defaults, name: value}


def _look(task: DifferentiableTask) -> Any:
    """Numbers of every function of a task, at fixed arguments."""
    low, high = task.space.natural_bounds
    psi = torch.as_tensor((low + high) / 2).to(task.device, task.dtype)
    hp = decode(task.space, psi)
    theta = task.init(torch.Generator().manual_seed(1))
    batch = tuple(part[: task.batch_size] for part in task.data["train"])
    noise = torch.randn(task.noise_size, generator=torch.Generator().manual_seed(2))
    noise = noise.to(task.device, task.dtype)
    slots, t = task.optimizer.init(theta), torch.zeros((), dtype=torch.int64, device=task.device)
    return (
        task.train_loss(theta, batch, hp, noise),
        task.loss(theta, batch),
        task.metrics(theta, batch),
        task.parameters(theta),
        task.optimizer.update(theta, slots, torch.ones_like(theta), t, hp),
    )


CHECKS: tuple[Callable[[MixedTask], None], ...] = (check_reference, check_variants, check_lanes)
