"""The public entry: what it returns and, first, what it refuses."""

import re

import pytest
import torch

from ohgw.core.errors import HypergradError, InvisibleHyperparameterError, UnknownNameError
from ohgw.core.space import Float, Int, Space
from ohgw.hypergrad import ESTIMATORS, check_visible, get_estimator, hypergradient
from ohgw.testing.estimators import SMALL_TASKS, SmallTask, draw_probe, small_task
from ohgw.training.dynamics import State, decode, train_step
from ohgw.training.optimizers import SGD

LOSS = {"dropout", "smoothing"}


@pytest.fixture(params=SMALL_TASKS)
def task(request):
    return small_task(request.param)


def test_table_is_keyed_by_name():
    assert list(ESTIMATORS) == ["analytic", "reverse", "forward", "finite-difference", "implicit"]
    for name, estimator in ESTIMATORS.items():
        assert estimator.name == name and get_estimator(name) is estimator


def test_unknown_estimator_is_refused_with_a_suggestion():
    with pytest.raises(UnknownNameError, match="Did you mean 'reverse'"):
        get_estimator("revers")


@pytest.mark.parametrize(
    ("estimator", "steps", "started", "visible"),
    [
        ("analytic", 1, False, {"learning_rate", "weight_decay"}),
        ("analytic", 1, True, {"learning_rate", "weight_decay", "momentum"}),
        ("analytic", 2, False, set()),
        ("reverse", 1, False, {"learning_rate", "weight_decay", *LOSS}),
        ("reverse", 1, True, {"learning_rate", "weight_decay", "momentum", *LOSS}),
        ("reverse", 2, False, {"learning_rate", "weight_decay", "momentum", *LOSS}),
        ("forward", 1, False, {"learning_rate", "weight_decay", *LOSS}),
        ("finite-difference", 1, False, {"learning_rate", "weight_decay", *LOSS}),
        ("implicit", 1, False, {"weight_decay", *LOSS}),
    ],
)
def test_what_each_estimator_sees(estimator, steps, started, visible):
    assert get_estimator(estimator).visible(small_task("sgd"), steps, started) == visible


def test_adamw_has_no_delayed_hyperparameter():
    task = small_task("adamw")
    assert get_estimator("reverse").visible(task, 1) == set(task.space.names)
    assert get_estimator("implicit").visible(task, 1) == {"weight_decay", *LOSS}


@pytest.mark.parametrize(
    ("estimator", "steps", "name", "reason"),
    [
        ("reverse", 1, "momentum", "buffer that starts at zero.*'reverse' with at least 2"),
        ("analytic", 1, "momentum", "buffer that starts at zero"),
        ("reverse", 0, "learning_rate", "loss at the first mini-batch does not depend on it"),
        ("forward", 0, "learning_rate", "loss at the first mini-batch does not depend on it"),
        ("analytic", 0, "learning_rate", "loss at the first mini-batch does not depend on it"),
        ("reverse", 0, "smoothing", "loss at the initial state does not depend on it"),
        ("analytic", 1, "smoothing", "acts through the training loss.*Use 'reverse'"),
        ("analytic", 3, "learning_rate", "one step only.*Use 'reverse'"),
        ("implicit", 1, "learning_rate", "fixed point.*no first-order effect.*Use 'reverse'"),
        ("implicit", 1, "momentum", "fixed point.*no first-order effect.*Use 'reverse'"),
        ("implicit", 0, "smoothing", "needs a mini-batch"),
    ],
)
def test_refusals_say_what_why_and_what_to_use(estimator, steps, name, reason):
    task = small_task("sgd")
    probe = draw_probe(task, steps)
    with pytest.raises(InvisibleHyperparameterError) as refusal:
        hypergradient(get_estimator(estimator), task, *probe, names=["weight_decay", name][::-1])
    message = str(refusal.value)
    assert re.search(reason, message)
    assert repr(name) in message and repr(estimator) in message and "'small-sgd'" in message


def test_refuses_before_computing(task):
    state, psi, _, noise, validation = draw_probe(task, 0)
    nothing = (torch.empty(0),)
    with pytest.raises(InvisibleHyperparameterError):
        hypergradient(
            get_estimator("reverse"), task, state, psi, nothing, noise, validation, ["smoothing"]
        )


def test_momentum_is_seen_once_training_has_started():
    task = small_task("sgd")
    state, psi, batches, noise, validation = draw_probe(task, 2)
    first = tuple(part[0] for part in batches)
    later = train_step(task, state, first, decode(task.space, psi), noise[0])
    rest = tuple(part[1:] for part in batches)
    _, slope = hypergradient(
        get_estimator("analytic"), task, later, psi, rest, noise[1:], validation, ["momentum"]
    )
    assert slope.abs() > 1e-6


def test_unknown_hyperparameter_is_refused_with_a_suggestion(task):
    with pytest.raises(UnknownNameError, match="Did you mean 'learning_rate'"):
        check_visible(get_estimator("reverse"), task, 1, ["learning_rates"])


def test_discrete_hyperparameter_is_refused():
    task = SmallTask("mixed", SGD(), {"momentum": Float(0.0, 0.9)})
    task.space = Space({**task.space, "layers": Int(1, 3)})
    with pytest.raises(InvisibleHyperparameterError, match=r"'layers'.*discrete"):
        check_visible(get_estimator("reverse"), task, 1, ["layers"])


def test_returns_the_requested_names_in_their_order(task):
    probe = draw_probe(task, 1)
    loss, several = hypergradient(
        get_estimator("reverse"), task, *probe, names=["smoothing", "learning_rate", "dropout"]
    )
    expected_loss, gradient = get_estimator("reverse").gradient(task, *probe)
    assert loss == expected_loss
    assert torch.equal(several, gradient[[2, 1, 0]])


def test_shapes_that_do_not_fit_are_named(task):
    state, psi, batches, noise, validation = draw_probe(task, 2)
    estimator, names = get_estimator("reverse"), ["learning_rate"]
    with pytest.raises(HypergradError, match=r"psi has shape \(2,\); give \(5,\)"):
        hypergradient(estimator, task, state, psi[:2], batches, noise, validation, names)
    with pytest.raises(HypergradError, match="batches hold 2 steps and noise holds 1"):
        hypergradient(estimator, task, state, psi, batches, noise[:1], validation, names)


def test_an_optimizer_of_another_make_is_enough_for_the_lookahead():
    """The core protocol asks for less than `DifferentiableOptimizer`."""

    class Plain:
        hyperparameters = frozenset({"learning_rate"})

        def init(self, theta):
            return ()

        def update(self, theta, slots, grad, t, hp):
            return theta - hp["learning_rate"].unsqueeze(-1) * grad, ()

    task = small_task("sgd")
    task.optimizer = Plain()
    probe = draw_probe(task, 1)
    assert isinstance(probe.state, State)
    _, slope = hypergradient(get_estimator("reverse"), task, *probe, names=["learning_rate"])
    _, same = hypergradient(get_estimator("analytic"), task, *probe, names=["learning_rate"])
    torch.testing.assert_close(slope, same)
    with pytest.raises(HypergradError, match=r"'Plain'.*DifferentiableOptimizer"):
        get_estimator("implicit").gradient(task, *probe)
