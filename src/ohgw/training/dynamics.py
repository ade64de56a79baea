"""One training step, as a pure function for estimators and in place for populations."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.utils._pytree import tree_leaves, tree_map

from ohgw.core.protocols import DifferentiableTask, MixedTask
from ohgw.core.space import Float, Space
from ohgw.core.trial import Configuration

Losses = Callable[..., Tensor]  # of (theta, batch, hp, noise), as `train_loss` or of P lanes


class State(NamedTuple):
    """Where training stands: of one configuration, or of P with a leading P everywhere."""

    theta: Tensor  # (N,) or (P, N)
    slots: tuple[Tensor, ...]  # the optimiser's buffers, each of theta's shape
    t: Tensor  # int64, () or (P,): steps taken


def initial_state(task: DifferentiableTask, theta: Tensor) -> State:
    """Before the first step from `theta`, (N,) or (P, N), which the state shares memory with."""
    t = torch.zeros(theta.shape[:-1], dtype=torch.int64, device=theta.device)
    return State(theta, task.optimizer.init(theta), t)


def decode(space: Space, psi: Tensor) -> dict[str, Tensor]:
    """Hyperparameter values, each (...), of natural coordinates `psi` (..., d).

    The d coordinates follow `space.continuous`; a coordinate is log10 of the value for log
    dimensions and the value itself otherwise. Differentiable.
    """
    values = {}
    for i, name in enumerate(space.continuous):
        domain = space[name]
        logarithmic = isinstance(domain, Float) and domain.log
        values[name] = 10 ** psi[..., i] if logarithmic else psi[..., i]
    return values


def variant_of(task: DifferentiableTask, configuration: Mapping[str, Any]) -> DifferentiableTask:
    """The task's program at the configuration's discrete values; the task itself without any."""
    discrete = task.space.discrete
    if not discrete:
        return task
    assert isinstance(task, MixedTask)  # a probe, which every engine has, refuses others
    return task.variant({name: configuration[name] for name in discrete})


def natural(task: DifferentiableTask, configurations: Sequence[Configuration]) -> Tensor:
    """Natural coordinates (P, d) of what the task's space has of each configuration.

    A configuration of a mixed task also has discrete values; those made the variant that `task` is.
    """
    space = task.space
    psi = [space.to_natural({name: values[name] for name in space}) for values in configurations]
    return torch.as_tensor(np.stack(psi)).to(task.device, task.dtype)


def over_lanes(task: DifferentiableTask, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one configuration as one of P: tensors with a leading P in and out.

    Fused by `torch.func.vmap`. One lane after another for a task that says `vectorized = False`,
    and for a single lane, which vmap would only slow down.
    """
    fused = vmap(function) if getattr(task, "vectorized", True) else None

    def over(*lanes: Any) -> Any:
        count = len(tree_leaves(lanes)[0])
        if fused is not None and count > 1:
            return fused(*lanes)
        rows = [function(*tree_map(lambda part, i=i: part[i], lanes)) for i in range(count)]
        return tree_map(lambda *parts: torch.stack(parts), *rows)

    return over


def lane_losses(task: DifferentiableTask, *, compiled: bool = False) -> Losses:
    """Training losses (P,) of P lanes: what `population_step_` descends.

    `compiled` by `torch.compile`, anew for each number of lanes; CUDA graphs on a GPU.
    """
    losses = over_lanes(task, task.train_loss)
    return compile_loss(task, losses) if compiled else losses


def compile_loss(task: DifferentiableTask, loss: Losses) -> Losses:
    """The loss as one program of torch's compiler, which takes half a minute at its first call."""
    mode = "reduce-overhead" if task.device.type == "cuda" else "default"
    program: Losses = torch.compile(loss, mode=mode, dynamic=False)
    return program


def train_step(
    task: DifferentiableTask,
    state: State,
    batch: tuple[Tensor, ...],
    hp: Mapping[str, Tensor],
    noise: Tensor,
) -> State:
    """The next state of one configuration; pure, differentiable with respect to state and hp.

    `batch` holds B examples first in each tensor, `hp` 0-d values, `noise` (noise_size,).
    """
    g = grad(task.train_loss)(state.theta, batch, hp, noise)
    theta, slots = task.optimizer.update(state.theta, state.slots, g, state.t, hp)
    return State(theta, slots, state.t + 1)


def population_step_(
    task: DifferentiableTask,
    state: State,
    batch: tuple[Tensor, ...],
    hp: Mapping[str, Tensor],
    noise: Tensor,
    losses: Losses | None = None,
) -> Tensor:
    """Advance P lanes in place; returns their training losses before the step, (P,).

    `batch` tensors are (P, B, ...), `hp` values (P,), `noise` (P, noise_size). Lanes share no
    parameter, so the gradient of the summed losses is each lane's own, and a lane that is not
    finite leaves the others untouched. `losses` are those of `lane_losses`, for who keeps them.
    """
    return _descend_(losses or lane_losses(task), task, state, batch, hp, noise)


def step_(
    task: DifferentiableTask,
    state: State,
    batch: tuple[Tensor, ...],
    hp: Mapping[str, Tensor],
    noise: Tensor,
    loss: Losses | None = None,
    reduce_: Callable[[Tensor], object] | None = None,
    parts: int = 1,
) -> Tensor:
    """Advance one configuration in place; returns its training loss before the step, 0-d.

    `reduce_` changes the gradient (N,) in place before the optimiser sees it. In `parts`, the
    gradient is accumulated over equal parts of the mini-batch, with the memory of one.
    """
    return _descend_(loss or task.train_loss, task, state, batch, hp, noise, reduce_, parts)


def share(
    batch: tuple[Tensor, ...], noise: Tensor, part: int, parts: int
) -> tuple[tuple[Tensor, ...], Tensor]:
    """One of equal parts of a mini-batch, and as much of its noise.

    Together they are the mini-batch where noise lies example by example, as most tasks have it;
    elsewhere the same draws serve other examples.
    """
    length = len(noise) // parts
    own = tuple(tensor.chunk(parts)[part] for tensor in batch)
    return own, noise[part * length : (part + 1) * length]


def _descend_(
    loss: Losses,
    task: DifferentiableTask,
    state: State,
    batch: tuple[Tensor, ...],
    hp: Mapping[str, Tensor],
    noise: Tensor,
    reduce_: Callable[[Tensor], object] | None = None,
    parts: int = 1,
) -> Tensor:
    theta = state.theta.detach().requires_grad_()
    if parts == 1:
        losses = loss(theta, batch, hp, noise)
        (g,) = torch.autograd.grad(losses.sum(), theta)
    else:
        losses, g = torch.zeros_like(theta[0]), torch.zeros_like(theta)
        for part in range(parts):
            examples, numbers = share(batch, noise, part, parts)
            own = loss(theta, examples, hp, numbers)
            g += torch.autograd.grad(own / parts, theta)[0]
            losses += own.detach() / parts
    if reduce_ is not None:
        reduce_(g)
    with torch.no_grad():
        task.optimizer.update_(state.theta, state.slots, g, state.t, hp)
        state.t.add_(1)
    return losses.detach()
