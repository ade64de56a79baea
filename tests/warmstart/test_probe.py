"""Probes: what is asked together is answered as if asked alone, from the probe's own streams."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from ohgw.core.errors import SettingError
from ohgw.core.protocols import Metric
from ohgw.core.records import Arm, Report
from ohgw.core.space import Float, Int, Space
from ohgw.core.streams import Streams
from ohgw.engines.build import make_engine
from ohgw.engines.engine import drive
from ohgw.hypergrad import get_estimator
from ohgw.study.plan import make_plan, make_searches
from ohgw.tasks import load
from ohgw.tasks.module import ModuleTask
from ohgw.testing.estimators import small_task
from ohgw.training.cost import count_flops
from ohgw.training.dynamics import State, decode, initial_state, step_
from ohgw.training.feed import Feed, initial_parameters
from ohgw.warmstart import METHODS, differentiable_probe, make_method
from ohgw.warmstart.black_box_probe import BlackBoxProbe
from ohgw.warmstart.differentiable_probe import DifferentiableProbe
from ohgw.warmstart.method import GradientRequest, RolloutRequest, Sweep
from ohgw.warmstart.probe import converse


@pytest.fixture(scope="module", params=["sgd", "adamw"])
def differentiable(request):
    task = small_task(request.param)
    return DifferentiableProbe(task, Feed(task))


def drawn(task, count, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(task.space.sample(rng) for _ in range(count))


def alone(differentiable, streams, request):
    (result,) = differentiable.answer([(streams, request)])
    return result


# conversations


class Echo:
    """Answers a request with itself, and notes what was asked together."""

    at_once = 8

    def __init__(self):
        self.batches = []

    def answer(self, asked):
        self.batches.append([request for _, request in asked])
        return [("answer", streams.seed, request) for streams, request in asked]


def talk(*requests):
    answers = []
    for request in requests:
        answers.append((yield request))
    return answers


def test_converse_answers_together_those_that_wait_together():
    echo = Echo()
    conversations = [talk("a", "b", "c"), talk(), talk("d"), talk("e", "f")]
    streams = [Streams(seed) for seed in range(4)]
    returned = converse(echo, list(zip(streams, conversations, strict=True)))
    assert [batch for batch in echo.batches if batch] == [["a", "d", "e"], ["b", "f"], ["c"]]
    assert returned == [
        [("answer", 0, "a"), ("answer", 0, "b"), ("answer", 0, "c")],
        [],
        [("answer", 2, "d")],
        [("answer", 3, "e"), ("answer", 3, "f")],
    ]


def test_converse_with_nobody():
    assert converse(Echo(), []) == []


# gradients


def test_a_gradient_is_the_estimator_s(differentiable):
    """At the trial's own initialisation, on mini-batches and noise of the probe's stream."""
    task, feed, streams = differentiable.task, differentiable.feed, Streams(5)
    (configuration,) = drawn(task, 1)
    result = alone(differentiable, streams, GradientRequest(3, configuration, 2, "reverse"))
    order, offsets, validation = map(torch.as_tensor, feed.probe(streams, 2, 3))
    theta = initial_parameters(task, streams.integer("initialisation", 3))
    loss, gradient = get_estimator("reverse").gradient(
        task,
        initial_state(task, theta),
        torch.as_tensor(task.space.to_natural(configuration)),
        feed.batch(order),
        feed.noise(offsets),
        feed.batch(validation, "val"),
    )
    assert result.estimator == "reverse"
    assert result.loss == pytest.approx(loss.item(), rel=1e-12)
    assert result.gradient == pytest.approx(gradient.numpy(), rel=1e-9, abs=1e-12)


def mixed(task):
    """Requests of every kind, of two seeds, in no order."""
    one, two, three = drawn(task, 3)
    return [
        (Streams(0), GradientRequest(0, one, 1, "reverse")),
        (Streams(0), RolloutRequest((one, two, three), 4, 0)),
        (Streams(1), GradientRequest(0, two, 1, "reverse")),
        (Streams(0), GradientRequest(1, one, 2, "reverse")),
        (Streams(1), RolloutRequest((two,), 2, 1)),
        (Streams(0), GradientRequest(2, three, 1, "analytic")),
        (Streams(1), RolloutRequest((three, one), 4, 0)),
        (Streams(0), GradientRequest(5, three, 1, "reverse")),
    ]


def assert_same(one, two):
    assert type(one) is type(two) and one.work == two.work
    for name in ("gradient", "after"):
        if hasattr(one, name):
            assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-9, abs=1e-12)
    for left, right in zip(getattr(one, "states", ()), getattr(two, "states", ()), strict=True):
        assert_close(left, right, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("most", [1, 2, 256])
def test_answers_do_not_depend_on_what_is_asked_beside_them(differentiable, monkeypatch, most):
    monkeypatch.setattr(differentiable, "lanes", most)
    asked = mixed(differentiable.task)
    together = differentiable.answer(asked)
    for (streams, request), result in zip(asked, together, strict=True):
        assert_same(result, alone(differentiable, streams, request))


@given(
    needs=st.lists(st.integers(1, 9), max_size=20),
    most=st.integers(1, 12),
)
def test_chunks_are_as_large_as_allowed_and_no_larger(needs, most):
    lanes = {10 * index: need for index, need in enumerate(needs)}
    chunks = differentiable_probe._chunks(lanes, most)
    assert [index for chunk in chunks for index in chunk] == list(lanes)
    sizes = [sum(lanes[index] for index in chunk) for chunk in chunks]
    assert all(size <= most or len(chunk) == 1 for size, chunk in zip(sizes, chunks, strict=True))
    for size, (_, following) in zip(sizes, pairwise(chunks), strict=False):
        assert size + lanes[following[0]] > most


def test_trials_and_seeds_are_probed_differently(differentiable):
    (configuration,) = drawn(differentiable.task, 1)
    gradients = [
        alone(differentiable, Streams(seed), GradientRequest(trial, configuration, 1, "reverse"))
        for seed, trial in ((0, 0), (0, 1), (1, 0))
    ]
    assert len({result.loss for result in gradients}) == 3


# rollouts


def test_a_rollout_is_training(differentiable):
    """Equal to steps taken by hand, and its state is where they end."""
    task, feed, streams = differentiable.task, differentiable.feed, Streams(2)
    configurations = drawn(task, 3)
    result = alone(differentiable, streams, RolloutRequest(configurations, 4, 1))
    order, offsets, validation = map(torch.as_tensor, feed.probe(streams, 4, 3, 1))
    look = feed.batch(validation, "val")
    theta = initial_parameters(task, streams.integer("probe", 2, 1))
    assert result.before == pytest.approx(task.loss(theta, look).item(), rel=1e-12)
    for lane, configuration in enumerate(configurations):
        state = initial_state(task, theta.clone())
        hp = decode(task.space, torch.as_tensor(task.space.to_natural(configuration)))
        for k in range(4):
            step_(task, state, feed.batch(order[k]), hp, feed.noise(offsets[k : k + 1])[0])
        assert result.after[lane] == pytest.approx(task.loss(state.theta, look).item(), rel=1e-9)
        assert isinstance(result.states[lane], State) and result.states[lane].t == 4
        assert_close(result.states[lane], state, rtol=1e-9, atol=1e-12)


def test_candidates_share_everything_but_the_configuration(differentiable):
    (configuration,) = drawn(differentiable.task, 1)
    result = alone(differentiable, Streams(0), RolloutRequest((configuration,) * 3, 4, 0))
    assert len(set(result.after.tolist())) == 1
    other = alone(differentiable, Streams(0), RolloutRequest((configuration,), 4, 1))
    assert other.before != result.before and other.after[0] != result.after[0]


def test_a_diverging_candidate_leaves_the_others_alone():
    space = Space({"learning_rate": Float(1e-3, 1e30, log=True)})
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    task = ModuleTask(
        nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)),
        nn.functional.mse_loss,
        (x, x[:, :1]),
        (x, x[:, :1]),
        space,
    )
    probe = DifferentiableProbe(task, Feed(task))
    good, bad = {"learning_rate": 0.01}, {"learning_rate": 1e30}
    together = alone(probe, Streams(0), RolloutRequest((good, bad, good), 4, 0))
    assert not math.isfinite(together.after[1])
    expected = alone(probe, Streams(0), RolloutRequest((good,), 4, 0))
    assert together.after[[0, 2]] == pytest.approx(expected.after.repeat(2), rel=1e-5)


# prices


def make_sweep(differentiable, seed=0, warmup_steps=0.0):
    return Sweep(
        space=differentiable.task.space,
        streams=Streams(seed),
        draw=differentiable.task.space.sample,
        expected_steps=1e4,
        gradients=differentiable.gradients,
        rollouts=differentiable.rollouts,
        warmup_steps=warmup_steps,
        visible=differentiable.visible,
        gradient_work=differentiable.gradient_work,
        rollout_work=differentiable.rollout_work,
    )


@pytest.mark.parametrize("name", METHODS)
def test_the_price_is_the_work_charged(differentiable, name):
    method, sweep = make_method(name), make_sweep(differentiable)
    converse(differentiable, [(sweep.streams, method.prepare(sweep))])
    for trial, configuration in enumerate(drawn(differentiable.task, 2)):
        price = method.price(sweep)
        conversation = method.propose(sweep, trial, configuration)
        (proposal,) = converse(differentiable, [(sweep.streams, conversation)])
        assert proposal.work == pytest.approx(price, rel=1e-12)
        assert (price == 0) == (name == "vanilla")


@pytest.mark.parametrize("name", ["digits", "breast-cancer", "charlm"])
def test_the_price_is_counted(name):
    """FLOPs of the very computation, over those of a training step."""
    task = load(name)
    probe = DifferentiableProbe(task, Feed(task))
    assert probe.gradient_work("analytic", 1) <= 2.1
    assert 3.0 <= probe.gradient_work("reverse", 1) <= 3.6
    look = probe.rollout_work(1, 0) / 2
    assert 0.3 <= look <= 0.45  # forward only; a step has no gradient of its inputs to compute
    assert probe.rollout_work(3, 4) == pytest.approx(3 * 4 + 4 * look)
    theta = initial_parameters(task, 0)
    batch = tuple(part[: task.batch_size] for part in task.data["val"])
    assert count_flops(lambda: task.loss(theta, batch)) == pytest.approx(look * probe.step_flops)


# streams


def test_a_probe_draws_from_no_stream_of_training(differentiable, monkeypatch):
    """It reads the trial's initialisation, and otherwise keeps to its own."""
    purposes = []
    generator = Streams.generator

    def noting(self, purpose, *key):
        purposes.append(purpose)
        return generator(self, purpose, *key)

    monkeypatch.setattr(Streams, "generator", noting)
    state = torch.random.get_rng_state()
    differentiable.answer(mixed(differentiable.task))
    assert set(purposes) == {"probe", "initialisation"}
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_probe_changes_nothing_that_training_sees(monkeypatch):
    """A free probe that moves nothing leaves a whole search as it was."""
    monkeypatch.setattr(DifferentiableProbe, "gradient_work", lambda self, estimator, steps: 0.0)
    task = load("breast-cancer", dtype=torch.float64)
    found = {}
    for method in ("vanilla", "null"):
        plan = make_plan(
            task,
            arms=[Arm(method=method, recipe="averaged")],
            seeds=[4],
            scheduler="asha",
            budget=40.0,
            workers=3,
            engine="population",
            device="cpu",
            threads=1,
        )
        engine = make_engine("population", task)
        rows = []
        drive(make_searches(plan, task, engine), engine, rows.append, lambda: None)
        found[method] = [row for row in rows if isinstance(row, Report)]
    for left, right in zip(found["vanilla"], found["null"], strict=True):
        assert (left.trial, left.resource, left.work) == (right.trial, right.resource, right.work)
        assert left.configuration == right.configuration
        assert left.score == pytest.approx(right.score, rel=1e-12)
    assert any(row.start > 0 for row in found["null"])
    assert all(row.diagnostics for row in found["null"] if row.start == 0)  # it did probe


# layers without second derivatives


class Cosine(torch.autograd.Function):
    """Has no backward pass: what ends in it cannot be differentiated."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.cos()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass


class Sine(torch.autograd.Function):
    """Differentiable once, like many hand-written kernels, and not in forward mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        return grad * Cosine.apply(ctx.saved_tensors[0])


class SineNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x):
        return Sine.apply(self.linear(x))


@pytest.mark.parametrize("estimator", ["reverse", "forward"])
def test_finite_differences_answer_where_the_estimator_cannot(estimator):
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    data = (x, (x[:, 0] > 0).long())
    space = Space({"learning_rate": Float(1e-3, 1.0, log=True)})
    torch.manual_seed(0)
    task = ModuleTask(SineNet(), nn.functional.cross_entropy, data, data, space)
    probe = DifferentiableProbe(task, Feed(task))
    asked = GradientRequest(0, {"learning_rate": 0.1}, 2, estimator)
    plain = GradientRequest(0, {"learning_rate": 0.1}, 2, "finite-difference")
    result, expected = probe.answer([(Streams(0), asked), (Streams(0), plain)])
    assert result.estimator == "finite-difference"
    assert_same(result, expected)
    assert result.gradient[0] < -1e-3  # a larger step would lower the loss
    assert probe.gradient_work(estimator, 2) == result.work  # the price is the fall-back's too


# black boxes


class Bowl:
    """A black box whose probe sees a paraboloid in natural coordinates."""

    name = "bowl"
    metric = Metric("loss", "min")
    min_resource, max_resource = 1, 9
    space = Space(
        {
            "x": Float(1e-4, 1.0, log=True),
            "depth": Int(1, 5),
            "y": Float(-1.0, 3.0),
        }
    )

    probe_resource = 0.25

    def __init__(self):
        self.seeds = []

    def probe(self, configuration, seed):
        self.seeds.append(seed)
        x, y = math.log10(configuration["x"]), configuration["y"]
        return (x + 2.0) ** 2 + 3.0 * y**2 + configuration["depth"]


def test_black_box_gradients_are_central_differences():
    task = Bowl()
    box = BlackBoxProbe(task)
    assert box.gradients and box.rollouts
    start = {"x": 0.1, "depth": 2, "y": 0.5}
    result = alone(box, Streams(0), GradientRequest(0, start, 1, "reverse"))
    assert result.gradient == pytest.approx([2 * (-1.0 + 2.0), 6 * 0.5])  # exact for parabolas
    assert result.loss == pytest.approx(1.0 + 0.75 + 2)
    assert (result.work, result.estimator) == (5 * 0.25, "finite-difference")
    assert len(set(task.seeds)) == 1  # common random numbers
    assert box.gradient_work("reverse", 1) == result.work
    assert box.visible("reverse", 1) == {"x", "y"}


@pytest.mark.parametrize("corner", [{"x": 1e-4, "y": -1.0}, {"x": 1.0, "y": 3.0}])
def test_black_box_gradients_at_the_bounds_are_one_sided(corner):
    box = BlackBoxProbe(Bowl())
    result = alone(box, Streams(0), GradientRequest(0, {"depth": 1, **corner}, 1, "reverse"))
    x, y = math.log10(corner["x"]), corner["y"]
    inward = [-math.copysign(0.05 * 4, x + 2), -math.copysign(0.05 * 4, y)]
    expected = [2 * (x + 2) + inward[0], 6 * y + 3 * inward[1]]
    assert result.gradient == pytest.approx(expected)


def test_black_box_rollouts():
    task = Bowl()
    box = BlackBoxProbe(task)
    configurations = drawn(task, 3)
    result = alone(box, Streams(0), RolloutRequest(configurations, 4, 0))
    assert result.after.tolist() == [task.probe(c, 0) for c in configurations]
    assert (result.before, result.states, result.work) == (math.inf, (None,) * 3, 0.75)
    assert box.rollout_work(3, 4) == 0.75
    assert len(set(task.seeds[:3])) == 1


def test_a_black_box_probe_needs_a_price():
    class Unpriced(Bowl):
        probe_resource = 0.0

    with pytest.raises(SettingError, match=r"'bowl'.*probe_resource \(0\.0\)"):
        BlackBoxProbe(Unpriced())


def test_black_box_without_a_probe_answers_nothing():
    class Closed:
        space = Bowl.space

    box = BlackBoxProbe(Closed())
    assert not box.gradients and not box.rollouts
