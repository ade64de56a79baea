"""Mixed precision and compiled steps: the same training, computed otherwise."""

import pytest
import torch

from ohgw.api import tune
from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.records import RECORDS_NAME, read_records
from ohgw.engines.build import make_engine
from ohgw.hypergrad import get_estimator
from ohgw.tasks import load
from ohgw.testing.estimators import SmallTask, draw_probe, small_task, stack
from ohgw.training.dynamics import State, decode, population_step_
from ohgw.training.precision import in_precision

LANES = 3


@pytest.fixture
def task() -> SmallTask:
    return small_task("sgd", torch.float32)


def step(task) -> tuple[torch.Tensor, State]:
    """A training step of some lanes: its losses, and the state after it."""
    probes = stack([draw_probe(task, 1, seed) for seed in range(LANES)])
    batch = tuple(part[:, 0] for part in probes.batches)
    hp = decode(task.space, probes.psi)
    found = population_step_(task, probes.state, batch, hp, probes.noise[:, 0])
    return found, probes.state


def test_bf16_rounds_the_training_loss_and_nothing_else(task):
    cast = in_precision(task, "bf16")
    plain, after_plain = step(task)
    rounded, after_rounded = step(cast)
    assert rounded.dtype == after_rounded.theta.dtype == torch.float32
    assert not torch.equal(rounded, plain)
    torch.testing.assert_close(rounded, plain, rtol=2**-6, atol=0)
    before = stack([draw_probe(task, 1, seed) for seed in range(LANES)]).state.theta
    moved = (after_plain.theta - before).norm()
    assert (after_rounded.theta - after_plain.theta).norm() < 2**-5 * moved
    assert cast.metrics(before[0], cast.data["val"]) == task.metrics(before[0], task.data["val"])


@pytest.mark.parametrize("name", ["analytic", "reverse", "forward"])
def test_hypergradients_of_a_bf16_step_point_the_same_way(task, name):
    found = [
        get_estimator(name).gradient(each, *draw_probe(each, 1))[1]
        for each in (task, in_precision(task, "bf16"))
    ]
    assert not torch.equal(*found)
    assert torch.cosine_similarity(*found, dim=0) > 0.99


def test_variants_of_a_mixed_task_are_cast_and_stay_themselves():
    task = load("breast-cancer:space=mixed")
    cast, values = in_precision(task, "bf16"), dict(task.defaults)
    assert cast.variant(values) is cast.variant(dict(reversed(values.items())))
    plain = task.variant(values)
    probe = draw_probe(plain, 1)
    batch = tuple(part[0] for part in probe.batches)
    rest = batch, decode(plain.space, probe.psi), probe.noise[0]
    ours, theirs = (t.train_loss(probe.state.theta, *rest) for t in (cast.variant(values), plain))
    assert ours != theirs
    torch.testing.assert_close(ours, theirs, rtol=2**-6, atol=0)


# What torch's compiler imports warns of other parts of torch.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_compiled_search_is_the_search(task, tmp_path):
    records = []
    for engine in ("population", "population:compile=true", "serial:compile=true"):
        tune(task, engine=engine, budget=30, workers=3, out=tmp_path / engine)
        _, reports, _ = read_records(tmp_path / engine / RECORDS_NAME)
        records.append(reports)
    for record in records[1:]:
        assert [(row.trial, row.resource) for row in record] == [
            (row.trial, row.resource) for row in records[0]
        ]
        assert [row.score for row in record] == pytest.approx(
            [row.score for row in records[0]], rel=1e-4
        )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("population:precision=fp8", "precision of engine 'population' 'fp8'"),
        ("serial:compile=1", "compile=1 of engine 'serial' must be true or false"),
        ("population:compile=true:processes=2", "one process, not processes=2"),
    ],
)
def test_what_cannot_be_is_refused(task, spec, message):
    with pytest.raises((SettingError, UnknownNameError), match=message):
        make_engine(spec, task)


def test_without_a_compiler_it_says_so(task, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SettingError, match=r"needs a C\+\+ compiler"):
        make_engine("population:compile=true", task)
