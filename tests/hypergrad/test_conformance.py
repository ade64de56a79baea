"""Every estimator against the public conformance suite, and the suite against broken ones."""

import pytest

from ohgw.hypergrad import ESTIMATORS
from ohgw.hypergrad.reverse import Reverse
from ohgw.tasks import DIFFERENTIABLE
from ohgw.testing.estimators import (
    CHECKS,
    SMALL_TASKS,
    check_blind_spots,
    check_lanes,
    check_lookahead,
    check_result,
    small_task,
)

EXACT = sorted(ESTIMATORS.keys() - {"implicit"})


# Gradients jump where a rectifier switches, and a lookahead contains gradients: differences of it
# mean nothing unless there are few rectifiers.
NARROW = {
    "tabular": "tabular:width=2:examples=200:batch_size=4",
    "fashion-mnist": "fashion-mnist:width=1:examples=160:batch_size=2",
    "cifar10": "cifar10:depth=8:width=1:examples=160:batch_size=2",
    "cifar100": "cifar100:depth=8:width=1:examples=120:batch_size=2",
    "imagenet": "imagenet:model=resnet14:width=1:size=40:examples=160:batch_size=3",
}


@pytest.fixture(scope="module", params=[*DIFFERENTIABLE, "vit"])
def shipped(request, load_small):
    return load_small(NARROW.get(request.param, request.param))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", SMALL_TASKS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_small_task(name, kind, check):
    check(ESTIMATORS[name], small_task(kind))


@pytest.mark.parametrize("kind", SMALL_TASKS)
@pytest.mark.parametrize("name", EXACT)
def test_lookahead_on_a_small_task(name, kind):
    check_lookahead(ESTIMATORS[name], small_task(kind))


@pytest.mark.parametrize("name", EXACT)
def test_lookahead_on_shipped_tasks(name, shipped):
    check_lookahead(ESTIMATORS[name], shipped)


@pytest.mark.parametrize("check", [check_result, check_lanes], ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_shipped_tasks(name, check, shipped):
    check(ESTIMATORS[name], shipped)


class Broken(Reverse):
    """Reverse mode with one fault."""

    def __init__(self, fault):
        self.fault, self.calls = fault, 0

    def blind_spot(self, task, name, steps, started=False):
        if self.fault == "claims sight of nothing":
            return "out of sight. Use 'reverse'."
        if self.fault == "claims sight at no step" and steps == 0:
            return None
        return super().blind_spot(task, name, steps, started)

    def gradient(self, task, state, *rest):
        loss, gradient = super().gradient(task, state, *rest)
        if self.fault == "one per mille off":
            gradient = gradient * 1.001
        if self.fault == "loss not reduced":
            loss = loss.unsqueeze(0)
        if self.fault == "not finite":
            gradient = gradient / 0
        if self.fault == "writes to its argument":
            state.theta.add_(1)
        if self.fault == "remembers":
            self.calls += 1
            gradient = gradient * self.calls
        return loss, gradient

    def gradients(self, task, state, psi, batches, noise, validation):
        loss, gradient = super().gradients(task, state, psi, batches, noise, validation)
        if self.fault == "lanes share":
            gradient = gradient + gradient.mean(0)
        return loss, gradient


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("loss not reduced", check_result),
        ("not finite", check_result),
        ("writes to its argument", check_result),
        ("claims sight of nothing", check_blind_spots),
        ("claims sight at no step", check_blind_spots),
        ("remembers", check_result),
        ("remembers", check_lanes),
        ("lanes share", check_lanes),
        ("one per mille off", check_lookahead),
    ],
)
def test_a_broken_estimator_fails(fault, check):
    check(Broken("nothing"), small_task("sgd"))
    with pytest.raises(AssertionError):
        check(Broken(fault), small_task("sgd"))
