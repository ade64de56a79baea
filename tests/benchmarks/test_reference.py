"""The tasks against `nn.Module` and `torch.optim`, and the benchmarks that build on both."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ohgw.core.protocols import DifferentiableTask
from ohgw.tasks import BUNDLED, load
from ohgw.training.dynamics import State, initial_state, step_
from ohgw.training.optimizers import AdamW

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
EXACT = {"rtol": 0.0, "atol": 1e-10}


@pytest.fixture(scope="module")
def module():
    """Imports a module of the benchmarks, which are scripts beside each other, no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module


@pytest.fixture(params=BUNDLED)
def task(request):
    return load(request.param, dtype=torch.float64)


def drawn(task, seed=0):
    """A configuration, parameters away from the initialisation, a mini-batch and noise."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    theta = task.init(generator)
    theta += 0.1 * torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    rows = torch.from_numpy(rng.choice(len(task.data["train"][0]), task.batch_size, replace=False))
    batch = tuple(part[rows] for part in task.data["train"])
    noise = torch.randn(task.noise_size, generator=generator, dtype=theta.dtype)
    return task.space.sample(rng), theta, batch, noise


def tensors(configuration):
    return {k: torch.tensor(v, dtype=torch.float64) for k, v in configuration.items()}


def logits(task, theta, x):
    return task.logits(task.layout.split(theta), x)


def test_parameter_counts(module, task):
    configuration, theta, _, _ = drawn(task)
    net = module("_reference").Reference(task, configuration, theta).net
    assert sum(p.numel() for p in net.parameters()) == len(theta) == task.layout.size


@pytest.mark.parametrize("seed", range(3))
def test_logits_and_loss_equal_the_module(module, task, seed):
    configuration, theta, batch, noise = drawn(task, seed)
    reference = module("_reference").Reference(task, configuration, theta)
    with torch.no_grad():
        torch.testing.assert_close(logits(task, theta, batch[0]), reference.net(batch[0]), **EXACT)
        torch.testing.assert_close(task.loss(theta, batch), reference.loss(*batch), **EXACT)
        loss = task.train_loss(theta, batch, tensors(configuration), noise)
        torch.testing.assert_close(loss, reference.loss(*batch, noise), **EXACT)
        assert (loss - task.loss(theta, batch)).abs() > 1e-6  # the hyperparameters act


def test_without_noise_and_smoothing_the_training_loss_is_the_loss(module, task):
    configuration, theta, batch, noise = drawn(task)
    configuration["label_smoothing"] = 0.0
    if "augmentation" in configuration:
        configuration["augmentation"] = 0.0
    else:
        noise = torch.zeros_like(noise)
    reference = module("_reference").Reference(task, configuration, theta)
    with torch.no_grad():
        loss = task.train_loss(theta, batch, tensors(configuration), noise)
        torch.testing.assert_close(loss, reference.loss(*batch), **EXACT)
        torch.testing.assert_close(loss, reference.loss(*batch, noise), **EXACT)


def test_gradients_equal_the_module(module, task):
    configuration, theta, batch, noise = drawn(task)
    reference = module("_reference").Reference(task, configuration, theta)
    reference.loss(*batch, noise).backward()
    theta.requires_grad_()
    loss = task.train_loss(theta, batch, tensors(configuration), noise)
    (gradient,) = torch.autograd.grad(loss, theta)
    torch.testing.assert_close(gradient, reference.flat(gradients=True), **EXACT)


def test_training_steps_equal_torch_optim(module, task):
    """Steps of the whole loop: augmentation, loss, gradient, optimiser and warm-up."""
    configuration, theta, batch, noise = drawn(task)
    configuration["learning_rate"] = 0.03
    if "warmup_scale" in configuration:
        configuration["warmup_scale"] = 0.1  # ends within these steps
    reference = module("_reference").Reference(task, configuration, theta)
    state = initial_state(task, theta.clone())
    if isinstance(task.optimizer, AdamW):
        # The two place epsilon differently, which shows while second moments are as small as it.
        state = State(state.theta, (state.slots[0], torch.full_like(theta, 1e-4)), state.t)
        task.optimizer._eps2 = 0.0
        for group in reference.optimizer.param_groups:
            group["eps"] = 0.0
            for parameter in group["params"]:
                reference.optimizer.state[parameter] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.full_like(parameter, 1e-4),
                }
    for _ in range(7):
        reference.step(*batch, noise)
        step_(task, state, batch, tensors(configuration), noise)
    assert (state.theta - theta).abs().max() > 1e-3
    torch.testing.assert_close(state.theta, reference.flat(), **EXACT)


def test_reference_trains_epoch_after_epoch(module):
    task = load("breast-cancer")
    configuration = task.space.from_unit([0.5] * task.space.d) | {"learning_rate": 0.1}
    theta = task.init(torch.Generator().manual_seed(0))
    reference = module("_reference").Reference(task, configuration, theta)
    training = reference.epochs()
    for _ in range(2 * task.steps_per_epoch + 1):
        next(training)
    assert reference.loss(*task.data["val"]) < 0.5 * task.loss(theta, task.data["val"])


@pytest.fixture
def quick(module, monkeypatch):
    """The benchmarks' modules, set to look once and briefly."""
    for name in ("population", "probe_cost"):
        for setting, value in {"ROUNDS": 2, "SLICE": 0.001}.items():
            monkeypatch.setattr(module(name), setting, value)
    return module


def test_population_benchmark(quick, capsys):
    population = quick("population")
    population.main(["--task", "breast-cancer", "--lanes", "3", "--json"])
    row = json.loads(capsys.readouterr().out)
    assert (row["task"], row["lanes"], row["parameters"]) == ("breast-cancer", 3, 1554)
    assert 0 < row["speedup_low"] <= row["speedup"] <= row["speedup_high"]
    quotient = row["reference_seconds_per_step"] / row["seconds_per_step"]
    assert row["speedup_low"] / 2 < quotient < 2 * row["speedup_high"]
    population.main(["--task", "breast-cancer", "--lanes", "1", "2", "--json"])
    assert [row["lanes"] for row in json.loads(capsys.readouterr().out)] == [1, 2]
    population.main(["--task", "breast-cancer", "--lanes", "2"])
    assert "speed-up" in capsys.readouterr().out


def test_population_benchmark_fills_every_lane(module):
    task = load("breast-cancer")
    assert isinstance(task, DifferentiableTask)
    engine = module("population").filled(task, 5)
    (lanes,) = engine.variants.values()
    before = lanes._rows.state.theta.clone()
    for _ in range(task.steps_per_epoch + 1):  # over the end of every lane's epoch
        engine.step()
    assert len(lanes.table) == 5 and None not in lanes.table
    assert (lanes._rows.state.theta != before).any(dim=1).all()


def test_probe_cost_benchmark(quick, capsys, monkeypatch):
    probe_cost = quick("probe_cost")
    monkeypatch.setattr(probe_cost, "STEPS", (1, 2))
    monkeypatch.setattr(probe_cost, "LANES", 3)
    monkeypatch.setattr(probe_cost, "default_budget", lambda task: 12.0)
    probe_cost.main(["--task", "breast-cancer", "--seeds", "2", "--json"])
    result = json.loads(capsys.readouterr().out)
    flops = {(cost["probe"], cost["steps"]): cost["flops"] for cost in result["costs"]}
    assert flops["analytic", 1] <= 2.1 and ("analytic", 2) not in flops
    assert flops["reverse", 1] < flops["forward", 1] < flops["finite-difference", 1]
    assert flops["reverse", 1] < flops["reverse", 2]
    assert flops["screen", 4] == pytest.approx(13.6, abs=0.2)
    assert all(
        0 < cost["time_low"] <= cost["time"] <= cost["time_high"] for cost in result["costs"]
    )
    shares = {share["method"]: share for share in result["shares"]}
    assert 0 < shares["ohgw"]["median"] <= shares["ohgw"]["largest"] < 0.1
    assert (
        shares["ohgw"]["largest"] < shares["screen"]["largest"] or shares["screen"]["stood_aside"]
    )
    probe_cost.main(["--task", "breast-cancer", "--seeds", "1"])
    assert "Share of a whole search" in capsys.readouterr().out
