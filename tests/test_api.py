"""The Python interface, as a user's script uses it."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import ohgw
from ohgw.core.errors import SettingError, SpaceError, UnknownNameError

PUBLIC = {
    "Categorical",
    "Float",
    "Int",
    "ModuleTask",
    "OHGWError",
    "Space",
    "Tuned",
    "WarmStart",
    "WarmStarter",
    "compare",
    "tune",
    "warm_start",
}

SPACE = ohgw.Space(
    {"learning_rate": ohgw.Float(1e-4, 1.0, log=True), "momentum": ohgw.Float(0.0, 0.99)}
)
START = {"learning_rate": 3e-4, "momentum": 0.5}


@pytest.fixture
def problem():
    """Model, loss and data of a linear classification that SGD can learn."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 8, generator=generator)
    y = (x[:, 0] + x[:, 1] > 0).long()
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)), (x, y)


def test_public_names_are_these():
    assert set(dir(ohgw)) == {"__version__", *PUBLIC}
    for name in PUBLIC:
        assert getattr(ohgw, name).__module__.startswith("ohgw.")
    with pytest.raises(AttributeError, match="no attribute 'tun'"):
        ohgw.tun  # noqa: B018


def test_a_question_to_the_command_line_does_not_load_torch():
    code = "import sys, ohgw.cli; from ohgw import Space; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_example_runs(capsys):
    runpy.run_path(str(Path(__file__).parents[1] / "examples/warm_start.py"))
    assert "test accuracy" in capsys.readouterr().out


def test_warm_start_leaves_the_model_alone_and_lowers_the_loss(problem):
    model, data = problem
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = ohgw.warm_start(model, nn.CrossEntropyLoss(), data, START, SPACE)
    assert found.proposed == START
    losses = found.diagnostics["losses"]
    assert losses[found.diagnostics["kept"]] == min(losses)
    assert found.configuration["learning_rate"] > 10 * START["learning_rate"]
    SPACE.validate(found.configuration)
    assert 12 < found.work < 15  # 3 candidates, 4 mini-batches each, and a look at each
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_warm_start_takes_batches_and_the_literal_rule(problem):
    model, (x, y) = problem
    batches = list(zip(x.split(32), y.split(32), strict=True))
    found = ohgw.warm_start(
        model, nn.CrossEntropyLoss(), batches, START, SPACE, method="ohgw:eta=1.0:steps=2"
    )
    gradient = found.diagnostics["gradient"]
    assert gradient["learning_rate"] < 0  # 3e-4 is far too small
    moved = found.configuration["learning_rate"] / START["learning_rate"]
    assert moved == pytest.approx(10 ** -gradient["learning_rate"])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"configuration": {"learning_rate": 2.0, "momentum": 0.5}}, SpaceError, "2.0"),
        ({"configuration": {"learning_rate": 0.1}}, SpaceError, "momentum"),
        ({"method": "secreen"}, UnknownNameError, "Did you mean 'screen'"),
        ({"optimizer": "adam"}, UnknownNameError, "Did you mean 'adamw'"),
        ({"optimizer": "adamw"}, UnknownNameError, "hyperparameter of 'adamw' 'momentum'"),
        ({"data": []}, SettingError, "data must be"),
    ],
)
def test_warm_start_refuses_bad_input(problem, change, error, says):
    model, data = problem
    arguments = {"data": data, "configuration": START, "space": SPACE} | change
    with pytest.raises(error, match=says):
        ohgw.warm_start(model, nn.CrossEntropyLoss(), **arguments)


def test_tune_takes_a_users_module(problem, tmp_path):
    _, (x, y) = problem

    def make():
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))

    task = ohgw.ModuleTask(
        make,
        nn.CrossEntropyLoss(),
        train=(x[:160], y[:160]),
        validation=(x[160:208], y[160:208]),
        test=(x[208:], y[208:]),
        space=SPACE,
        batch_size=16,
        max_resource=9,
        name="mine",
    )
    found = ohgw.tune(task, budget=40, out=tmp_path)
    assert found.trials > 4
    assert found.score < 0.4 and found.test["loss"] < 0.5  # untrained: 0.69
    assert (tmp_path / "report.html").exists()
