"""What every shipped task must keep: splits, purity, lanes, derivatives; then each one's own."""

import math
import subprocess
import sys
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_digits
from torch.func import vmap
from torch.nn import functional as F
from torch.testing import assert_close

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.records import Arm, Final
from ohgw.engines.build import make_engine
from ohgw.engines.engine import drive
from ohgw.hypergrad.estimator import lookahead
from ohgw.study.plan import make_plan, make_searches
from ohgw.tasks import DIFFERENTIABLE, TASKS, _attention, load
from ohgw.tasks._common import Layout, bundled, cross_entropy
from ohgw.tasks.language import charlm
from ohgw.tasks.tabular import breast_cancer
from ohgw.tasks.vision import digits
from ohgw.testing.estimators import central_differences, draw_probe, stack
from ohgw.training.dynamics import decode, population_step_
from ohgw.training.feed import initial_parameters

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module", params=[*DIFFERENTIABLE, "vit"])
def task(request, load_small):
    return load_small(request.param)


def kind(task):
    """The name without options."""
    return task.name.partition(":")[0]


@pytest.fixture(scope="module", params=["digits", "breast-cancer"])
def table(request):
    """A task whose examples are independent rows."""
    return load(request.param, dtype=torch.float64)


def one_step(task, seed=0):
    """theta, hp, batch and noise of one training step."""
    probe = draw_probe(task, 1, seed)
    hp = decode(task.space, probe.psi)
    return probe.state.theta, hp, tuple(part[0] for part in probe.batches), probe.noise[0]


# the table


def test_each_is_loaded_by_its_name(task):
    assert isinstance(task, DifferentiableTask)
    assert TASKS[kind(task)] is type(task)
    assert task.metric.name in task.metrics(task.init(torch.Generator()), task.data["val"])


def test_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"'digit'.*Did you mean 'digits'.*charlm"):
        load("digit")


def test_precision_is_as_asked_and_parameters_are_the_same(task):
    single = task.to("cpu", torch.float32)
    assert (single.dtype, task.dtype) == (torch.float32, torch.float64)
    for split in SPLITS:
        for one, two in zip(single.data[split], task.data[split], strict=True):
            assert one.dtype == (torch.float32 if two.is_floating_point() else two.dtype)
            assert_close(one.double(), two.double(), rtol=1e-6, atol=1e-6)
    assert_close(initial_parameters(single, 5).double(), initial_parameters(task, 5))


# data


def test_splits_are_fixed(task):
    again = load(task.name, dtype=torch.float64)
    for split in SPLITS:
        for one, two in zip(task.data[split], again.data[split], strict=True):
            assert torch.equal(one, two)


def test_bundled_tables_are_those_of_scikit_learn(tmp_path):
    script = Path(__file__).parents[2] / "scripts/bundle-tables"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    for name in ("digits", "breast-cancer"):
        fresh = np.load(tmp_path / f"{name}.npz")
        for split, (x, y) in bundled(name).items():
            assert np.array_equal(x, fresh[f"x_{split}"])
            assert np.array_equal(y, fresh[f"y_{split}"])


def row_counts(x, y):
    """How often each row occurs, standardised or not."""
    table = np.column_stack([np.asarray(x).reshape(len(x), -1), y])
    return Counter(map(tuple, np.round(table, 6).tolist()))


def test_splits_are_disjoint_and_complete(table):
    """Every row of the source is in as many places as the source has it."""
    x, y = (load_digits if table.name == "digits" else load_breast_cancer)(return_X_y=True)
    found = sum((row_counts(*table.data[split]) for split in SPLITS), Counter())
    assert sorted(found.values()) == sorted(row_counts(x, y).values())
    sizes = [len(table.data[split][0]) for split in SPLITS]
    assert sum(sizes) == len(x)
    assert sizes == pytest.approx([0.6 * len(x), 0.2 * len(x), 0.2 * len(x)], abs=1)


def test_splits_are_stratified(table):
    whole = torch.cat([table.data[split][1] for split in SPLITS])
    shares = torch.bincount(whole) / len(whole)
    for split in SPLITS:
        labels = table.data[split][1]
        assert_close(torch.bincount(labels) / len(labels), shares, rtol=0, atol=0.01)


def test_standardisation_knows_the_training_split_only(table):
    x = table.data["train"][0]
    over = (0,) if table.name == "breast-cancer" else (0, 1, 2, 3)
    assert_close(x.mean(over), torch.zeros_like(x.mean(over)), rtol=0, atol=1e-10)
    assert_close(x.std(over, correction=0), torch.ones_like(x.mean(over)))
    assert table.data["val"][0].mean().abs() > 1e-6


def test_language_model_reads_the_text_in_order():
    task = load("charlm")
    text = resources.files("ohgw.tasks").joinpath("data/sonnets.txt").read_text("ascii")
    position = 0
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        x, y = task.data[split]
        assert torch.equal(x.flatten()[1:], y.flatten()[:-1])  # each next character is a target
        read = "".join(task.characters[c] for c in x.flatten().tolist())
        found = text.index(read)
        assert found >= position  # after all that the previous split read
        position = found + len(read)
        assert len(read) == pytest.approx(share * len(text), rel=0.02)


@pytest.mark.parametrize("name", [*DIFFERENTIABLE, "vit"])
def test_training_does_not_look_at_the_test_split(name, load_small):
    reports, tests = [], []
    for poisoned in (False, True):
        task = load_small(name, torch.float32)
        keep = 8 * task.batch_size
        task.data["train"] = tuple(part[:keep] for part in task.data["train"])
        if poisoned:
            x, *rest = task.data["test"]
            bad = torch.full_like(x, math.nan) if x.is_floating_point() else torch.zeros_like(x)
            task.data["test"] = (bad, *rest)
        found, final = short_search(task)
        reports.append(found)
        tests.append(final.metrics)
    assert reports[0] == reports[1]
    assert any(row["start"] > 0 for row in reports[0])
    assert tests[0] != tests[1]


def short_search(task):
    plan = make_plan(
        task,
        arms=[Arm(method="ohgw", recipe="averaged")],
        seeds=[0],
        scheduler="asha",
        budget=14.0 * task.min_resource,
        workers=2,
        engine="population",
        device="cpu",
        threads=1,
    )
    engine = make_engine("population", task)
    found = []
    drive(make_searches(plan, task, engine), engine, found.append, lambda: None)
    assert isinstance(found[-1], Final)
    return [row.model_dump(exclude={"wall"}) for row in found[:-1]], found[-1]


# functions


def test_functions_are_pure(task):
    theta, hp, batch, noise = one_step(task)
    copies = [part.clone() for part in (theta, *hp.values(), *batch, noise)]
    state = torch.random.get_rng_state()
    first = task.train_loss(theta, batch, hp, noise), task.loss(theta, batch)
    again = task.train_loss(theta, batch, hp, noise), task.loss(theta, batch)
    assert_close(first, again, rtol=0, atol=0)
    assert torch.equal(state, torch.random.get_rng_state())
    for part, copy in zip((theta, *hp.values(), *batch, noise), copies, strict=True):
        assert torch.equal(part, copy)


def test_lanes_equal_a_loop(task):
    steps = [one_step(task, seed) for seed in range(3)]
    theta, batch, noise = (stack([step[k] for step in steps]) for k in (0, 2, 3))
    hp = {name: torch.stack([step[1][name] for step in steps]) for name in steps[0][1]}
    fused = vmap(task.train_loss)(theta, batch, hp, noise)
    looks = vmap(task.loss)(theta, batch)
    metrics = vmap(task.metrics, in_dims=(0, None))(theta, task.data["val"])
    for lane, (one_theta, one_hp, one_batch, one_noise) in enumerate(steps):
        alone = task.train_loss(one_theta, one_batch, one_hp, one_noise)
        assert_close(fused[lane], alone, rtol=1e-12, atol=1e-12)
        assert_close(looks[lane], task.loss(one_theta, one_batch), rtol=1e-12, atol=1e-12)
        for name, value in task.metrics(one_theta, task.data["val"]).items():
            assert_close(metrics[name][lane], value, rtol=1e-12, atol=1e-12)


def test_training_loss_is_differentiable_in_what_acts_through_it(task):
    """Equal to central differences, and zero for nothing but the optimiser's own."""
    theta, _, batch, noise = one_step(task)
    psi = draw_probe(task, 1).psi

    def loss(psi):
        return task.train_loss(theta, batch, decode(task.space, psi), noise)

    gradient = torch.autograd.functional.jacobian(loss, psi)
    low, high = task.space.natural_bounds
    # narrower than usual: thousands of rectifiers switch somewhere within a wider step
    expected = central_differences(loss, psi, torch.as_tensor(high - low) / 10)
    assert_close(gradient, expected.gradient, rtol=1e-4, atol=1e-8)
    for name, slope in zip(task.space.continuous, gradient, strict=True):
        assert (slope == 0) == (name in task.optimizer.hyperparameters), name


def test_every_hyperparameter_acts_on_the_lookahead(task):
    state, psi, *rest = draw_probe(task, 3)
    gradient = torch.func.grad(lambda psi: lookahead(task, state, psi, *rest))(psi)
    assert gradient.isfinite().all()
    assert (gradient.abs() > 0).all()


def test_hyperparameters_act_at_both_ends_of_the_space(task):
    """Values and derivatives are finite on the bounds, where moves are clipped to."""
    theta, _, batch, noise = one_step(task)
    for u in (0.0, 1.0):
        psi = torch.as_tensor(task.space.to_natural(task.space.from_unit([u] * task.space.d)))
        loss = torch.func.grad_and_value(
            lambda psi: task.train_loss(theta, batch, decode(task.space, psi), noise)
        )
        gradient, value = loss(psi)
        assert value.isfinite() and gradient.isfinite().all()


def test_initial_parameters_depend_on_the_generator_alone(task):
    state = torch.random.get_rng_state()
    one, again, other = (initial_parameters(task, seed) for seed in (7, 7, 8))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert one.shape == (task.layout.size,) and one.dtype == task.dtype
    assert torch.equal(state, torch.random.get_rng_state())


def test_untrained_loss_is_that_of_guessing(task):
    theta, (x, *_) = initial_parameters(task, 0), task.data["val"]
    count = task.logits(task.layout.split(theta), x[:1]).shape[-1]
    loss = task.loss(theta, task.data["val"])
    assert loss == pytest.approx(math.log(count), rel=0.1)


def test_training_lowers_the_loss(task):
    """Of a whole population, at the middle of the space but for the learning rate."""
    steps, lanes = 120, 2
    configuration = task.space.from_unit([0.5] * task.space.d)
    configuration["learning_rate"] = 0.02
    if "momentum" in configuration:
        configuration["momentum"] = 0.9
    psi = torch.as_tensor(task.space.to_natural(configuration)).repeat(lanes, 1)
    probes = [draw_probe(task, steps, seed) for seed in range(lanes)]
    state, batches, noise = (stack([probe[k] for probe in probes]) for k in (0, 2, 3))
    before = vmap(task.loss, in_dims=(0, None))(state.theta, task.data["val"])
    for k in range(steps):
        batch = tuple(part[:, k] for part in batches)
        population_step_(task, state, batch, decode(task.space, psi), noise[:, k])
    after = vmap(task.loss, in_dims=(0, None))(state.theta, task.data["val"])
    assert (after < 0.85 * before).all()


def test_metrics(task):
    theta, data = initial_parameters(task, 0), task.data["val"]
    metrics = task.metrics(theta, data)
    logits = task.logits(task.layout.split(theta), data[0])
    assert_close(metrics["loss"], cross_entropy(logits, data[1]))
    # batch normalisation takes fewer images for a probe's look than for metrics
    tolerance = 1e-2 if hasattr(task, "metrics_statistics") else 1e-12
    assert task.loss(theta, data) == pytest.approx(metrics["loss"].item(), rel=tolerance)
    hits = logits.argmax(-1) == data[1]
    assert metrics["accuracy"] == hits.double().mean()
    if task.name == "charlm":
        assert_close(metrics["bits_per_character"], metrics["loss"] / math.log(2))


# augmentation and dropout


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_augmentation_at_magnitude_zero_is_the_identity(table, seed):
    generator = torch.Generator().manual_seed(seed)
    x = table.data["train"][0][: table.batch_size]
    noise = 5 * torch.randn(table.noise_size, generator=generator, dtype=x.dtype)
    off, on = ({"augmentation": torch.tensor(m, dtype=x.dtype)} for m in (0.0, 0.5))
    assert_close(table.augment(x, off, noise), x, rtol=0, atol=1e-12)
    assert (table.augment(x, on, noise) - x).abs().amax(tuple(range(1, x.ndim))).min() > 1e-3


def test_augmentation_without_noise_is_the_identity(table):
    x = table.data["train"][0][: table.batch_size]
    hp = {"augmentation": torch.tensor(1.0, dtype=x.dtype)}
    assert_close(table.augment(x, hp, x.new_zeros(table.noise_size)), x, rtol=0, atol=1e-12)


def test_a_shift_by_a_pixel_moves_the_image_by_a_pixel():
    task = load("digits", dtype=torch.float64)
    x = task.data["train"][0][: task.batch_size]
    down, right, zoom, contrast = x.new_zeros(4, task.batch_size)
    right += 50.0  # tanh -> 1: the full shift
    hp = {"augmentation": torch.tensor(1 / digits.MAX_SHIFT, dtype=x.dtype)}
    moved = task.augment(x, hp, torch.cat([down, right, zoom, contrast]))
    assert_close(moved[..., :-1], x[..., 1:], rtol=0, atol=1e-12)
    background = x.min().expand_as(moved[..., -1])
    assert_close(moved[..., -1], background, rtol=0, atol=1e-12)


def test_jitter_has_the_deviation_it_says():
    task = load("breast-cancer", dtype=torch.float64)
    x = torch.zeros(4000, 30, dtype=torch.float64)
    noise = torch.randn(x.numel(), generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    moved = task.augment(x, {"augmentation": torch.tensor(0.6, dtype=x.dtype)}, noise)
    assert moved.std() == pytest.approx(0.6 * breast_cancer.MAX_JITTER, rel=0.01)
    assert moved.mean().abs() < 0.005


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_gaussian_dropout_has_the_moments_of_bernoulli_dropout(rate):
    generator = torch.Generator().manual_seed(0)
    x = torch.full((400_000,), 3.0, dtype=torch.float64)
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    std = _attention.dropout_std(torch.tensor(rate, dtype=x.dtype))
    gaussian = _attention.gaussian_dropout(x, std, noise)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bernoulli = F.dropout(x, rate)
    assert gaussian.mean() == pytest.approx(3.0, rel=0.01)
    assert gaussian.var() == pytest.approx(9.0 * rate / (1 - rate), rel=0.02)
    assert bernoulli.var() == pytest.approx(gaussian.var().item(), rel=0.05)


def test_language_model_does_not_see_the_future():
    task = load("charlm", dtype=torch.float64)
    x = task.data["train"][0][:1]
    theta = 10 * initial_parameters(task, 0)
    position = charlm.WINDOW // 2
    changed = x.clone()
    changed[:, position:] = (changed[:, position:] + 1) % len(task.characters)
    one, two = (task.logits(task.layout.split(theta), each) for each in (x, changed))
    assert_close(one[:, :position], two[:, :position], rtol=0, atol=1e-12)
    assert (one[:, position:] - two[:, position:]).abs().amax(-1).min() > 1e-6


def test_language_model_decays_matrices_alone():
    task = load("charlm", dtype=torch.float64)
    hp = {name: torch.tensor(0.1, dtype=torch.float64) for name in task.optimizer.hyperparameters}
    theta = torch.ones(task.layout.size, dtype=torch.float64)
    t = torch.tensor(100)
    after, _ = task.optimizer.update(
        theta, task.optimizer.init(theta), torch.zeros_like(theta), t, hp
    )
    for name, value in task.layout.split(after).items():
        decays = value.ndim == 2 and name not in ("embedding", "position")
        assert_close(value, torch.full_like(value, 1 - 0.1 * 0.1 if decays else 1.0))


# what they share


@given(
    logits=st.lists(st.floats(-8, 8), min_size=6, max_size=6),
    smoothing=st.floats(0, 0.5),
    targets=st.lists(st.integers(0, 2), min_size=2, max_size=2),
)
def test_cross_entropy_equals_torch(logits, smoothing, targets):
    x = torch.tensor(logits, dtype=torch.float64).reshape(2, 3)
    y = torch.tensor(targets)
    expected = F.cross_entropy(x, y, label_smoothing=smoothing)
    given_tensor = cross_entropy(x, y, torch.tensor(smoothing, dtype=torch.float64))
    assert_close(given_tensor, expected, rtol=0, atol=1e-12)
    assert_close(cross_entropy(x, y), F.cross_entropy(x, y), rtol=0, atol=1e-12)


def test_cross_entropy_stays_finite_for_large_logits():
    x = torch.tensor([[1e4, 0.0], [0.0, 1e4]], dtype=torch.float64)
    assert cross_entropy(x, torch.tensor([1, 1])) == pytest.approx(5e3)


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.lists(st.integers(1, 3), max_size=3).map(tuple), min_size=1
    )
)
def test_layout_splits_and_flattens(shapes):
    layout = Layout(shapes)
    theta = torch.arange(layout.size, dtype=torch.float64)
    parts = layout.split(theta)
    assert {name: tuple(part.shape) for name, part in parts.items()} == shapes
    assert torch.equal(layout.flatten(parts), theta)
    first = next(iter(shapes))
    mask = layout.split(layout.mask({first}))
    assert all((part == float(name == first)).all() for name, part in mask.items())


# options


def test_label_noise_draws_the_stated_share_anew_and_leaves_the_rest():
    clean, noisy = load("digits"), load("digits:label_noise=0.5")
    changed = (clean.data["train"][1] != noisy.data["train"][1]).double().mean().item()
    assert 0.35 < changed < 0.55  # a tenth of the drawn labels is the old one
    assert noisy.name == "digits:label_noise=0.5"
    for split in ("val", "test"):
        assert_close(clean.data[split], noisy.data[split], rtol=0, atol=0)
    assert_close(clean.data["train"][0], noisy.data["train"][0], rtol=0, atol=0)


def test_token_noise_corrupts_inputs_and_never_what_is_to_be_predicted():
    clean, noisy = load("charlm"), load("charlm:token_noise=0.15")
    (x, y), (noisy_x, noisy_y) = clean.data["train"], noisy.data["train"]
    assert 0.1 < (x != noisy_x).double().mean().item() < 0.15
    assert_close(y, noisy_y, rtol=0, atol=0)


def test_a_batch_size_reaches_steps_noise_and_copies():
    task = load("digits:batch_size=32").to("cpu", torch.float64)
    assert (
        task.batch_size == 32 and task.noise_size == 4 * load("digits:batch_size=1").noise_size * 8
    )
    assert task.steps_per_epoch == len(task.data["train"][0]) // 32


@pytest.mark.parametrize(
    "spec", ["digits:label_noise=2", "digits:batch_size=0", "digits:batch_size=100000"]
)
def test_an_option_that_cannot_work_is_refused(spec):
    with pytest.raises(SettingError):
        load(spec)
