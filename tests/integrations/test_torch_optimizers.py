"""What a torch optimiser and its schedules are set to, and x' in its place."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as schedules
from torch.testing import assert_close

from ohgw.core.errors import SettingError, SpaceError, UnknownNameError
from ohgw.core.space import Float, Space
from ohgw.integrations._optimizers import (
    apply,
    check_schedules,
    configured,
    each,
    proposed_by,
    twin,
    warms_up,
)

X, NEW = 0.03, 0.2  # neither is a sum of few powers of two: scaling rounds
SCHEDULES = {
    "lambda": partial(schedules.LambdaLR, lr_lambda=lambda t: min(1, t / 4) / (1 + t)),
    "multiplicative": partial(schedules.MultiplicativeLR, lr_lambda=lambda t: 0.9),
    "step": partial(schedules.StepLR, step_size=3),
    "multi-step": partial(schedules.MultiStepLR, milestones=[2, 5]),
    "constant": partial(schedules.ConstantLR, total_iters=3),
    "linear": partial(schedules.LinearLR, total_iters=4),
    "exponential": partial(schedules.ExponentialLR, gamma=0.8),
    "polynomial": partial(schedules.PolynomialLR, total_iters=8, power=2.0),
    "cosine": partial(schedules.CosineAnnealingLR, T_max=10, eta_min=1e-3),
    "restarts": partial(schedules.CosineAnnealingWarmRestarts, T_0=4),
    "warm-up": lambda optimizer: schedules.SequentialLR(
        optimizer,
        [schedules.LinearLR(optimizer, 0.1, total_iters=3), schedules.StepLR(optimizer, 2)],
        milestones=[3],
    ),
    "chained": lambda optimizer: schedules.ChainedScheduler(
        [schedules.ConstantLR(optimizer), schedules.ExponentialLR(optimizer, 0.9)]
    ),
}


def make_sgd(learning_rate, **options):
    return torch.optim.SGD([nn.Parameter(torch.ones(3))], learning_rate, **options)


def walk(optimizer, scheduler, steps=12):
    rates = []
    for _ in range(steps):
        rates.append((optimizer.param_groups[0]["lr"], scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
    return torch.tensor(rates, dtype=torch.float64)


def move(optimizer, scheduler, new=NEW):
    x = configured(optimizer, ["learning_rate"])
    assert apply(optimizer, [scheduler], x, {"learning_rate": new})
    return x


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_schedule_goes_on_as_if_made_at_the_new_learning_rate(kind):
    optimizer, reference = make_sgd(X), make_sgd(NEW)
    scheduler = SCHEDULES[kind](optimizer)
    assert move(optimizer, scheduler) == {"learning_rate": X}
    assert_close(walk(optimizer, scheduler), walk(reference, SCHEDULES[kind](reference)))


def test_one_cycle_peaks_at_the_new_learning_rate():
    def make(peak):
        optimizer = make_sgd(1.0, momentum=0.9)
        return optimizer, schedules.OneCycleLR(optimizer, peak, total_steps=20)

    optimizer, scheduler = make(X)
    assert move(optimizer, scheduler) == {"learning_rate": X}
    assert_close(walk(optimizer, scheduler), walk(*make(NEW)))


def test_a_cycle_keeps_the_ratio_of_its_peak():
    def make(base):
        optimizer = make_sgd(1.0, momentum=0.9)
        return optimizer, schedules.CyclicLR(optimizer, base, 4 * base, step_size_up=3)

    optimizer, scheduler = make(X)
    assert move(optimizer, scheduler) == {"learning_rate": X}
    assert_close(walk(optimizer, scheduler), walk(*make(NEW)))


def test_a_plateau_lowers_the_new_learning_rate():
    optimizer = make_sgd(X)
    scheduler = schedules.ReduceLROnPlateau(optimizer, patience=0)
    move(optimizer, scheduler)
    for score in (1.0, 2.0):
        scheduler.step(score)
    assert scheduler.get_last_lr() == [pytest.approx(NEW / 10)]


@pytest.mark.parametrize("kind", ["lambda", "warm-up", "cosine"])
def test_a_checkpoint_does_not_undo_it_and_applying_again_does_nothing(kind):
    optimizer = make_sgd(X)
    scheduler = SCHEDULES[kind](optimizer)
    x = move(optimizer, scheduler)
    walk(optimizer, scheduler, 3)
    saved = optimizer.state_dict(), scheduler.state_dict()

    resumed = make_sgd(X)
    its = SCHEDULES[kind](resumed)
    resumed.load_state_dict(saved[0])
    its.load_state_dict(saved[1])
    assert not apply(resumed, [its], x, {"learning_rate": NEW})
    assert torch.equal(walk(resumed, its), walk(optimizer, scheduler))


def test_groups_without_weight_decay_stay_without():
    parameters = [nn.Parameter(torch.ones(2)) for _ in range(3)]
    optimizer = torch.optim.AdamW(
        [
            {"params": parameters[:1], "weight_decay": 0.0},
            {"params": parameters[1:2], "weight_decay": 0.05},
            {"params": parameters[2:], "weight_decay": 0.1},
        ],
        lr=X,
    )
    x = configured(optimizer, ["learning_rate", "weight_decay"])
    assert x == {"learning_rate": X, "weight_decay": 0.1}
    assert apply(optimizer, [], x, {"learning_rate": NEW, "weight_decay": 0.3})
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0, 0.15, 0.3]
    assert all(group["lr"] == NEW for group in optimizer.param_groups)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    assert optimizer.param_groups[-1]["lr"] == NEW


def test_momentum_and_a_learning_rate_that_is_a_tensor():
    optimizer = make_sgd(torch.tensor(0.5), momentum=0.9)
    tensor = optimizer.param_groups[0]["lr"]
    x = configured(optimizer, ["learning_rate", "momentum"])
    assert apply(optimizer, [], x, {"learning_rate": 0.25, "momentum": 0.5})
    assert optimizer.param_groups[0]["momentum"] == 0.5
    assert tensor == 0.25 and optimizer.param_groups[0]["lr"] is tensor


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_the_twin_steps_as_the_optimiser_does(kind):
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(n, dtype=torch.float64)) for n in (3, 4)]
    groups = [{"params": parameters[:1]}, {"params": parameters[1:]}]
    options = {"lr": X}
    if kind == "SGD":
        options["momentum"] = 0.8
    else:
        options["betas"] = (0.7, 0.95)
    if kind != "Adam":
        groups[0]["weight_decay"], groups[1]["weight_decay"] = 0.2, 0.0
    optimizer = getattr(torch.optim, kind)(groups, **options)
    space = Space({"learning_rate": Float(1e-3, 1, log=True)})
    function = twin(optimizer, parameters, space)
    assert function.hyperparameters == {"learning_rate"}
    theta = torch.cat([p.detach().clone() for p in parameters])
    slots, hp = function.init(theta), {"learning_rate": torch.tensor(X, dtype=torch.float64)}
    pure = theta.clone()
    pure_slots = function.init(pure)
    for t in range(4):
        gradient = torch.randn(7, dtype=torch.float64)
        parameters[0].grad, parameters[1].grad = gradient[:3].clone(), gradient[3:].clone()
        optimizer.step()
        function.update_(theta, slots, gradient, torch.tensor(t), hp)
        pure, pure_slots = function.update(pure, pure_slots, gradient, torch.tensor(t), hp)
    trained = torch.cat([p.detach() for p in parameters])
    assert_close(theta, trained, rtol=1e-7, atol=0)  # epsilon of AdamW stands elsewhere
    assert_close(pure, trained, rtol=1e-7, atol=0)


def test_warm_ups_are_seen():
    for kind, expected in {"warm-up": True, "lambda": True, "cosine": False}.items():
        optimizer = make_sgd(X)
        scheduler = SCHEDULES[kind](optimizer)
        assert warms_up(optimizer) is expected, kind
        assert all(part.base_lrs == [X] for part in each([scheduler]) if part is not scheduler)


A, B = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
RATE = Float(1e-4, 1, log=True)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (torch.optim.RMSprop([A, B]), "'RMSprop' cannot be probed; use torch's SGD, Adam or"),
        (torch.optim.SGD([A, B], 0.1, 0.9, nesterov=True), "nesterov=True of SGD"),
        (torch.optim.Adam([A, B], weight_decay=0.1), "weight decay of Adam .* use AdamW"),
        (torch.optim.SGD([A], 0.1), "1 parameters .* not in the optimiser; freeze them"),
        (
            torch.optim.SGD([{"params": [A], "lr": 0.1}, {"params": [B], "lr": 0.2}]),
            r"differ in 'lr' \(0.1, 0.2\)",
        ),
    ],
)
def test_what_has_no_twin_is_refused_by_name(optimizer, message):
    with pytest.raises(SettingError, match=message):
        twin(optimizer, [A, B], Space({"learning_rate": RATE}))


def test_a_hyperparameter_of_another_optimiser_is_refused_by_name():
    space = Space({"learning_rate": RATE, "momentum": Float(0, 0.99)})
    with pytest.raises(UnknownNameError, match="hyperparameter of AdamW 'momentum'"):
        twin(torch.optim.AdamW([A, B]), [A, B], space)


def test_an_optimiser_must_be_set_to_a_point_of_the_space():
    space = Space({"learning_rate": RATE, "weight_decay": RATE})
    with pytest.raises(SpaceError, match=r"set to .*'weight_decay': 0.0}.* outside .* widen that"):
        proposed_by(make_sgd(X), space)


def test_a_schedule_that_cycles_a_momentum_of_the_space_is_refused():
    optimizer = make_sgd(X, momentum=0.9)
    scheduler = schedules.OneCycleLR(optimizer, X, total_steps=9)
    with pytest.raises(SettingError, match="OneCycleLR sets 'momentum'.*cycle_momentum=False"):
        check_schedules([scheduler], Space({"learning_rate": RATE, "momentum": Float(0, 0.99)}))
    check_schedules([scheduler], Space({"learning_rate": RATE}))
