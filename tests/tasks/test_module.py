"""A user's own module as a task."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import vmap
from torch.nn import functional as F
from torch.testing import assert_close

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.records import Arm, Final
from ohgw.core.space import Categorical, Float, Space
from ohgw.engines.build import make_engine
from ohgw.engines.engine import drive
from ohgw.study.plan import make_plan, make_searches
from ohgw.tasks.module import ModuleTask
from ohgw.training.dynamics import initial_state, step_
from ohgw.training.optimizers import SGD

LEARNING_RATE = Float(1e-3, 1.0, log=True)
SPACE = Space(
    {
        "learning_rate": LEARNING_RATE,
        "weight_decay": Float(1e-6, 1e-2, log=True),
        "momentum": Float(0.0, 0.99),
    }
)
CONFIGURATION = {"learning_rate": 0.1, "weight_decay": 1e-2, "momentum": 0.9}


def make_data(count=96, dtype=torch.float64):
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return x, (x[:, 0] + x[:, 1] > 0).long()


def make_net(*extra):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), *extra, nn.Tanh(), nn.Linear(8, 2)).double()


def make_task(module, space=SPACE, **options):
    data = make_data()
    options = {"batch_size": 16, "max_resource": 9} | options
    return ModuleTask(module, F.cross_entropy, data, data, space, **options)


def tensors(configuration):
    return {k: torch.tensor(v, dtype=torch.float64) for k, v in configuration.items()}


def search_rows(task, method="ohgw", engine="population"):
    plan = make_plan(
        task,
        arms=[Arm(method=method, recipe="averaged")],
        seeds=[0],
        scheduler="asha",
        budget=20.0,
        workers=2,
        engine=engine,
        device="cpu",
        threads=1,
    )
    trainer = make_engine(engine, task)
    rows = []
    drive(make_searches(plan, task, trainer), trainer, rows.append, lambda: None)
    return rows


def test_is_a_differentiable_task():
    task = make_task(make_net(), name="mine")
    assert isinstance(task, DifferentiableTask)
    assert (task.name, task.steps_per_epoch, task.dtype) == ("mine", 6, torch.float64)


def test_is_the_module():
    """Parameters by its names, its outputs, its loss."""
    net = make_net()
    task, (x, y) = make_task(net), make_data()
    theta = task.init(torch.Generator())
    named = task.parameters(theta)
    assert named.keys() == dict(net.named_parameters()).keys()
    assert all(torch.equal(named[name], value) for name, value in net.named_parameters())
    assert_close(task.loss(theta, (x, y)), F.cross_entropy(net(x), y).detach())
    assert task.metrics(theta, (x, y)).keys() == {"loss"}


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_trains_as_torch_does(kind):
    net = make_net()
    if kind == "sgd":
        task = make_task(net)
        optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-2)
    else:
        names = ("learning_rate", "weight_decay")
        task = make_task(net, Space({name: SPACE[name] for name in names}), optimizer="adamw")
        optimizer = torch.optim.AdamW(net.parameters(), 0.1, weight_decay=1e-2)
    state = initial_state(task, task.init(torch.Generator()))
    batch = tuple(part[:16] for part in make_data())
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(net(batch[0]), batch[1]).backward()
        optimizer.step()
        step_(task, state, batch, tensors(CONFIGURATION), torch.zeros(0))
    trained = torch.cat([p.detach().flatten() for p in net.parameters()])
    assert_close(state.theta, trained, rtol=0, atol=1e-4)  # of 0.1 that a step of AdamW moves


def test_what_the_space_leaves_out_is_zero():
    task = make_task(make_net(), Space({"learning_rate": LEARNING_RATE}))
    assert task.optimizer.hyperparameters == {"learning_rate"}
    state = initial_state(task, task.init(torch.Generator()))
    batch = tuple(part[:16] for part in make_data())
    theta = state.theta.clone().requires_grad_()
    expected = theta.detach().clone()
    for _ in range(2):
        theta = expected.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(task.loss(theta, batch), theta)
        expected -= 0.1 * gradient
        step_(task, state, batch, tensors({"learning_rate": 0.1}), torch.zeros(0))
    assert_close(state.theta, expected)


@pytest.mark.parametrize("engine", ["population", "serial"])
def test_the_users_module_is_untouched(engine):
    net = make_net(nn.BatchNorm1d(8), nn.Dropout(0.5))
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modules = [type(module) for module in net.modules()]
    task = make_task(net)
    for method in ("ohgw", "screen:max_share=1"):
        assert isinstance(search_rows(task, method, engine)[-1], Final)
    assert [type(module) for module in net.modules()] == modules
    assert net.training and all(module.training for module in net.modules())
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert net[1].num_batches_tracked == 0 and net[1].track_running_stats


def test_batch_norm_uses_the_batch_it_sees():
    net = make_net(nn.BatchNorm1d(8))
    task, data = make_task(net), make_data()
    theta = task.init(torch.Generator())
    reference = make_net(nn.BatchNorm1d(8)).train()
    assert_close(task.loss(theta, data), F.cross_entropy(reference(data[0]), data[1]).detach())
    fused = vmap(task.loss, in_dims=(0, None))(torch.stack([theta, 2 * theta]), data)
    assert_close(fused[0], task.loss(theta, data))
    assert fused[1] != fused[0]


def test_batch_norm_trains_in_a_population():
    rows = search_rows(make_task(make_net(nn.BatchNorm1d(8))))
    untrained = np.log(2)
    assert rows[-1].score < 0.8 * untrained
    assert all(row.diagnostics["estimator"] == "reverse" for row in rows[:-1] if row.start == 0)


def test_dropout_is_off():
    task, data = make_task(make_net(nn.Dropout(0.9))), make_data()
    theta = task.init(torch.Generator())
    assert task.loss(theta, data) == task.loss(theta, data)
    plain = make_task(make_net())
    assert_close(task.loss(theta, data), plain.loss(theta, data))


def test_a_module_starts_every_trial_from_its_parameters_and_a_function_afresh():
    fixed = make_task(make_net())
    starts = [fixed.init(torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    assert torch.equal(*starts)
    fresh = make_task(lambda: nn.Linear(6, 2).double())
    state = torch.random.get_rng_state()
    one, again, other = (fresh.init(torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(0)
    own = nn.Linear(6, 2).double()
    assert torch.equal(fresh.parameters(one)["weight"], own.weight)  # as the user would seed it


def test_tied_parameters_are_one():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(torch.tanh(self.first(x)))[:, :2]

    torch.manual_seed(0)
    net = Tied().double()
    task, (x, y) = make_task(net), make_data()
    theta = task.init(torch.Generator())
    assert task.layout.size == 6 * 6 + 6 + 6
    assert_close(task.loss(theta, (x, y)), F.cross_entropy(net(x), y).detach())
    moved = 2 * theta
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 2
    assert_close(task.loss(moved, (x, y)), F.cross_entropy(net(x), y).detach())


class WithLoss(nn.Module):
    """Returns its loss, as transformers' models do, and branches on a value."""

    def __init__(self):
        super().__init__()
        self.net = make_net()

    def forward(self, x, y):
        loss = F.cross_entropy(self.net(x), y)
        return loss if loss.item() < 1e6 else 0 * loss


@pytest.mark.parametrize("method", ["ohgw", "screen:max_share=1"])
def test_one_after_another_is_fused(method):
    """A module that vmap refuses is probed and trained like its twin that vmap takes."""
    data = make_data()
    refused = ModuleTask(
        WithLoss(), None, data, data, SPACE, batch_size=16, max_resource=9, vectorized=False
    )
    fused = search_rows(make_task(make_net()), method)
    rows = search_rows(refused, method)
    assert len(rows) == len(fused)
    for one, other in zip(rows, fused, strict=True):
        assert one.configuration == pytest.approx(other.configuration)
        assert one.score == pytest.approx(other.score)


def test_an_optimiser_with_settings_of_its_own():
    rate = Space({"learning_rate": LEARNING_RATE})
    optimizer = SGD(momentum=0.9, weight_decay=1e-2)
    task, whole = make_task(make_net(), rate, optimizer=optimizer), make_task(make_net())
    batch = tuple(part[:16] for part in make_data())
    states = [initial_state(each, each.init(torch.Generator())) for each in (task, whole)]
    for _ in range(3):
        for each, state in zip((task, whole), states, strict=True):
            step_(each, state, batch, tensors(CONFIGURATION), torch.zeros(0))
    assert_close(states[0].theta, states[1].theta)
    with pytest.raises(
        SettingError, match="'module' lacks momentum, weight_decay .* SGD; add them"
    ):
        make_task(make_net(), rate, optimizer=SGD())


def test_test_split_is_the_validation_split_unless_given():
    one, two = make_data(), make_data(32)
    assert torch.equal(make_task(make_net()).data["test"][0], one[0])
    assert torch.equal(make_task(make_net(), test=two).data["test"][0], two[0])


@pytest.mark.parametrize(
    ("space", "options", "error", "message"),
    [
        (
            {"learning_rate": LEARNING_RATE, "momentun": Float(0.0, 1.0)},
            {},
            UnknownNameError,
            r"'momentun'.*Did you mean 'momentum'",
        ),
        (
            {"learning_rate": LEARNING_RATE, "momentum": Float(0.0, 1.0)},
            {"optimizer": "adamw"},
            UnknownNameError,
            r"'adamw' 'momentum'.*learning_rate, weight_decay",
        ),
        ({"momentum": Float(0.0, 1.0)}, {}, SettingError, "'mine' needs a 'learning_rate'"),
        (
            {"learning_rate": LEARNING_RATE},
            {"optimizer": "sdg"},
            UnknownNameError,
            r"'sdg'.*Did you mean 'sgd'",
        ),
        (
            {"learning_rate": LEARNING_RATE},
            {"batch_size": 97},
            SettingError,
            "batch_size=97.*'mine'.*96 training and 96 validation",
        ),
    ],
)
def test_what_cannot_work_is_refused_by_name(space, options, error, message):
    with pytest.raises(error, match=message):
        make_task(make_net(), Space(space), name="mine", **options)


def test_a_discrete_hyperparameter_is_refused_by_name():
    space = Space({"learning_rate": Categorical((0.1, 0.01))})
    with pytest.raises(SettingError, match=r"learning_rate of task 'module' must be Float"):
        make_task(make_net(), space=space)


def test_a_module_without_parameters_is_refused():
    with pytest.raises(SettingError, match="'module' has no parameter to train"):
        make_task(nn.Flatten())


def test_frozen_parameters_stay_and_are_not_trained():
    net = make_net()
    net[0].requires_grad_(False)
    task = make_task(net)
    assert task.layout.size == 8 * 2 + 2
    theta = task.init(torch.Generator().manual_seed(0))
    x, y = make_data()
    assert_close(task.loss(theta, (x, y)), F.cross_entropy(net(x), y))


def test_a_module_that_a_factory_shares_is_not_changed():
    shared = make_net(nn.BatchNorm1d(8))
    task = make_task(lambda: shared)
    task.init(torch.Generator().manual_seed(0))
    assert shared[1].track_running_stats and shared.training
