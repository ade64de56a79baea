"""A torch optimiser and its schedules: what they are set to (x), and x' in its place.

One rule applies x': whatever equals x becomes x', and what a schedule derived from x keeps its
ratio to it. Parameters without weight decay stay without. Nothing is applied to an optimiser that
is not set to x, so that applying twice, or to a restored optimiser that has x' already, changes
nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ohgw.core.errors import SettingError, SpaceError, UnknownNameError
from ohgw.core.protocols import Optimizer
from ohgw.core.space import Space
from ohgw.core.trial import Configuration
from ohgw.training.optimizers import SGD, AdamW

# What torch calls a hyperparameter, and what schedules keep beside it in a parameter group.
KEYS = {
    "learning_rate": ("lr", "initial_lr", "max_lr", "min_lr"),
    "weight_decay": ("weight_decay",),
    "momentum": ("momentum",),
}
# Learning rates that a scheduler holds, one for each parameter group.
LISTS = ("base_lrs", "max_lrs", "_last_lr")


def proposed_by(optimizer: torch.optim.Optimizer, space: Space) -> Configuration:
    """What the optimiser is set to, as a point of the space; `SpaceError` where it is none."""
    x = configured(optimizer, space.names)
    try:
        space.validate(x)
    except SpaceError as error:
        raise SpaceError(
            f"The optimiser is set to {x}. {error} Set it to a point of the space, or widen that."
        ) from None
    return x


def configured(optimizer: torch.optim.Optimizer, names: Sequence[str]) -> Configuration:
    """What the optimiser is set to, by the names of a space.

    The learning rate is the one a schedule peaks at (OneCycleLR) or starts from, not that of the
    first step; the weight decay is that of the parameters that have one.
    """
    return {name: max(_value(group, name) for group in optimizer.param_groups) for name in names}


def twin(
    optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], space: Space
) -> Optimizer:
    """The same optimiser as a differentiable function of `parameters`, in their order, flat (N,).

    What `space` has are its hyperparameters, the rest is fixed to what the optimiser is set to.
    Raises `SettingError` for an optimiser without such a twin, `UnknownNameError` for a
    hyperparameter that it does not have.
    """
    kind = type(optimizer)
    groups = optimizer.param_groups
    if kind not in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        raise SettingError(
            f"Optimiser {kind.__name__!r} cannot be probed; use torch's SGD, Adam or AdamW."
        )
    for option in ("nesterov", "dampening", "amsgrad", "maximize"):
        if any(group.get(option) for group in groups):
            raise SettingError(
                f"{option}={groups[0].get(option)!r} of {kind.__name__} cannot be probed; "
                "leave it at its default."
            )
    for key in ("lr", "initial_lr", "momentum", "betas", "eps"):
        values = {_plain(group[key]) for group in groups if key in group}
        if len(values) > 1:
            raise SettingError(
                f"Parameter groups differ in {key!r} ({', '.join(map(repr, sorted(values)))}); "
                "a probe moves one value for all. Give the groups one value."
            )
    largest = max(_value(group, "weight_decay") for group in groups)
    if kind is torch.optim.Adam and (largest > 0 or "weight_decay" in space):
        raise SettingError(
            "The weight decay of Adam cannot be probed; use AdamW, or Adam without weight decay."
        )
    decay = None if "weight_decay" in space else largest
    mask = _decay_mask(groups, parameters, largest)
    known = {"learning_rate", "weight_decay"} | ({"momentum"} if kind is torch.optim.SGD else set())
    for name in space:
        if name not in known:
            raise UnknownNameError(f"hyperparameter of {kind.__name__}", name, known)
    if kind is torch.optim.SGD:
        momentum = None if "momentum" in space else _value(groups[0], "momentum")
        return SGD(weight_decay=decay, momentum=momentum, decay_mask=mask)
    beta1, beta2 = groups[0]["betas"]
    return AdamW(float(beta1), float(beta2), groups[0]["eps"], decay_mask=mask, weight_decay=decay)


def check_schedules(schedulers: Sequence[Any], space: Space) -> None:
    """Raise `SettingError` where a schedule sets a hyperparameter of the space as it likes."""
    for scheduler in each(schedulers):
        if "momentum" in space and getattr(scheduler, "cycle_momentum", False):
            raise SettingError(
                f"{type(scheduler).__name__} sets 'momentum' at every step; give it "
                "cycle_momentum=False, or take 'momentum' out of the space."
            )


def warms_up(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a schedule begins below the learning rate that it starts from or peaks at."""
    return any(
        float(group["lr"]) < (1 - 1e-9) * _value(group, "learning_rate")
        for group in optimizer.param_groups
    )


def apply(
    optimizer: torch.optim.Optimizer,
    schedulers: Sequence[Any],
    proposed: Mapping[str, Any],
    configuration: Mapping[str, Any],
) -> bool:
    """Put x' in the place of x, in every parameter group and schedule; False where x is not there.

    `schedulers` are those of the optimiser, at any step; those that they combine are found.
    """
    if configured(optimizer, list(proposed)) != dict(proposed):
        return False
    places: list[tuple[Any, Any, str]] = []  # (holder, key, hyperparameter)
    for group in (*optimizer.param_groups, optimizer.defaults):
        places += [
            (group, key, name) for name in configuration for key in KEYS[name] if key in group
        ]
    if "learning_rate" in configuration:
        for scheduler in each(schedulers):
            for attribute in LISTS:
                rates = getattr(scheduler, attribute, None) or []
                places += [(rates, index, "learning_rate") for index in range(len(rates))]
    # All are read before one is written: schedulers share lists, and groups tensors.
    moved = [
        _moved(holder[key], proposed[name], configuration[name]) for holder, key, name in places
    ]
    for (holder, key, _), value in zip(places, moved, strict=True):
        _put(holder, key, value)
    return True


def each(schedulers: Sequence[Any]) -> Iterator[Any]:
    """The schedulers and those that they combine (SequentialLR, ChainedScheduler)."""
    for scheduler in schedulers:
        yield scheduler
        yield from each(getattr(scheduler, "_schedulers", ()))


def _moved(value: Any, old: float, new: float) -> float:
    number = float(value)
    if number == old:
        return new  # and not old * (new / old), which rounds
    return number * (new / old) if old else number


def _put(holder: Any, key: Any, value: float) -> None:
    if isinstance(holder[key], Tensor):
        holder[key].fill_(value)  # a captured graph reads this very tensor
    else:
        holder[key] = value


def _value(group: Mapping[str, Any], name: str) -> float:
    if name == "learning_rate":
        return float(group.get("max_lr", group.get("initial_lr", group["lr"])))
    return float(group.get(KEYS[name][0], 0.0))


def _plain(value: Any) -> Any:
    return tuple(map(float, value)) if isinstance(value, tuple) else float(value)


def _decay_mask(
    groups: Sequence[Mapping[str, Any]], parameters: Sequence[nn.Parameter], largest: float
) -> Tensor | None:
    """Each parameter's weight decay as a share of the largest, (N,); None where all have it."""
    shares = {
        id(parameter): _value(group, "weight_decay") / largest if largest else 1.0
        for group in groups
        for parameter in group["params"]
    }
    missing = sum(id(parameter) not in shares for parameter in parameters)
    if missing:
        raise SettingError(
            f"{missing} parameters that require a gradient are not in the optimiser; freeze them "
            "with requires_grad_(False), or train them."
        )
    if set(shares.values()) == {1.0}:
        return None
    return torch.cat([torch.full_like(p.detach().flatten(), shares[id(p)]) for p in parameters])
