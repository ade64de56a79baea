"""Tasks with discrete hyperparameters: the suite on those that ship, and what the suite catches."""

import pytest
import torch
from torch.testing import assert_close

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.protocols import MixedTask
from ohgw.core.space import get_space
from ohgw.tasks import load
from ohgw.testing.mixed_tasks import CHECKS, SmallMixedTask, check_reference, check_variants
from ohgw.training.cost import count_flops
from ohgw.training.dynamics import decode, initial_state, natural, step_
from ohgw.training.feed import Feed, initial_parameters


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["small", "breast-cancer:space=mixed"])
def test_conformance(name, check):
    task = SmallMixedTask() if name == "small" else load(name)
    assert isinstance(task, MixedTask)
    check(task)


class Forgetful(SmallMixedTask):
    def variant(self, values):
        self._variants.clear()
        return super().variant(values)


class Copying(SmallMixedTask):
    def variant(self, values):
        made = super().variant(values)
        made.data = {split: tuple(t.clone() for t in parts) for split, parts in made.data.items()}
        return made


class Unfrozen(SmallMixedTask):
    def variant(self, values):
        made = super().variant(values)
        made.space = self.space
        return made


class OtherDefaults(SmallMixedTask):
    defaults = SmallMixedTask.defaults | {"hidden": 5}


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Forgetful, check_variants),
        (Copying, check_variants),
        (Unfrozen, check_variants),
        (OtherDefaults, check_reference),
    ],
)
def test_the_suite_catches(broken, check):
    with pytest.raises(AssertionError):
        check(broken())


def test_a_variant_is_the_task_with_its_discrete_values_frozen():
    """Loaded by its own name it is the same task, at the defaults the one without `space=mixed`."""
    mixed = load("breast-cancer:space=mixed:label_noise=0.1", dtype=torch.float64)
    assert mixed.space.continuous == get_space("exp-1").names
    variant = mixed.variant({"width": 16, "activation": "gelu", "batch_size": 32})
    again = load(variant.name, dtype=torch.float64)
    frozen, plain = mixed.variant(mixed.defaults), load("breast-cancer:label_noise=0.1")
    for one, two in ((variant, again), (frozen, plain)):
        theta = initial_parameters(one, 3)
        assert_close(theta, initial_parameters(two, 3).to(theta), rtol=1e-6, atol=0)
        assert one.space == two.space and one.steps_per_epoch == two.steps_per_epoch
        for split in one.data:
            x, y = one.data[split]
            other_x, other_y = two.data[split]
            assert_close(x, other_x.to(x), rtol=1e-5, atol=1e-6)
            assert torch.equal(y, other_y)
    theta, batch = initial_parameters(variant, 3), again.data["val"]
    assert_close(variant.metrics(theta, batch), again.metrics(theta, batch), rtol=0, atol=0)


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("batch_size", [8, 32])
def test_flops_of_a_step_are_those_of_its_matrices(width, batch_size):
    """Forward and the weights' gradient for each layer, the inputs' for all but the first."""
    values = {"width": width, "activation": "tanh", "batch_size": batch_size}
    task = load("breast-cancer:space=mixed").variant(values)
    state = initial_state(task, initial_parameters(task, 0))
    batch = tuple(part[:batch_size] for part in task.data["train"])
    configuration = {**task.space.from_unit([0.5] * 5), **values}
    hp = decode(task.space, natural(task, [configuration])[0])
    noise = torch.zeros(task.noise_size)
    layers = 2 * 30 * width + 3 * width * width // 2 + 3 * width // 2 * 2
    assert count_flops(lambda: step_(task, state, batch, hp, noise)) == 2 * batch_size * layers


def test_variants_share_one_table_of_noise():
    mixed = load("breast-cancer:space=mixed")
    feed = Feed(mixed)
    large = mixed.variant({**mixed.defaults, "batch_size": 32})
    theirs = Feed(large, feed.table)
    assert theirs.table is feed.table
    last = len(feed.table) - large.noise_size  # a window must not run over the table's end
    assert theirs.noise(torch.tensor([last - 1])).shape == (1, 32 * 30)
    assert_close(theirs.noise(torch.tensor([7]))[0, :240], feed.noise(torch.tensor([7]))[0])


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("breast-cancer:space=mixd", UnknownNameError, "'mixd'.*Did you mean 'mixed'"),
        ("breast-cancer:width=7", SettingError, "width=7"),
        ("breast-cancer:activation=relo", UnknownNameError, "'relo'.*Did you mean 'relu'"),
        ("breast-cancer:space=mixed:width=24", SettingError, "24 is not one of 16, 32, 64"),
        ("breast-cancer:space=mixed:batch_size=10", SettingError, "10 is not one of 8, 16, 32"),
    ],
)
def test_an_option_that_cannot_work_is_refused(spec, error, says):
    with pytest.raises(error, match=says):
        load(spec)
