"""What every hypergradient estimator offers, and the entry that refuses blind questions.

The loss that is differentiated is a lookahead: train K steps from a state under the
hyperparameters psi, then look at a validation batch. An estimator is free to approximate.

    estimator = get_estimator("reverse")
    loss, gradient = hypergradient(
        estimator, task, state, psi, batches, noise, validation, names=["learning_rate"]
    )
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ohgw.core.errors import HypergradError, InvisibleHyperparameterError, UnknownNameError
from ohgw.core.protocols import DifferentiableTask
from ohgw.training.dynamics import State, decode, over_lanes, train_step


class Estimator(ABC):
    """A way to compute or approximate dL/dpsi.

    Stateless and safe to share between threads. psi (d,) are natural coordinates over
    `task.space.continuous`: log10 of the value for logarithmic dimensions, else the value.
    """

    name: str

    @abstractmethod
    def blind_spot(
        self, task: DifferentiableTask, name: str, steps: int, started: bool = False
    ) -> str | None:
        """Why the estimator cannot see a continuous hyperparameter and what can; None if it can.

        `started` says that the state has taken a step before, so its slots are not zero.
        """

    @abstractmethod
    def gradient(
        self,
        task: DifferentiableTask,
        state: State,
        psi: Tensor,
        batches: tuple[Tensor, ...],
        noise: Tensor,
        validation: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor]:
        """Loss, 0-d, and its gradient with respect to all continuous coordinates, (d,).

        For one configuration: `batches` tensors are (K, B, ...), `noise` (K, noise_size),
        `validation` tensors (Bv, ...). Coordinates out of sight are 0. Pure.
        """

    def gradients(
        self,
        task: DifferentiableTask,
        state: State,
        psi: Tensor,
        batches: tuple[Tensor, ...],
        noise: Tensor,
        validation: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor]:
        """`gradient` of P configurations at once, a leading P everywhere: (P,) and (P, d)."""
        loss, gradient = over_lanes(task, lambda *lane: self.gradient(task, *lane))(
            state, psi, batches, noise, validation
        )
        return loss, gradient

    def visible(
        self, task: DifferentiableTask, steps: int, started: bool = False
    ) -> frozenset[str]:
        """The hyperparameters that the estimator can see with `steps` training steps."""
        return frozenset(
            name
            for name in task.space.continuous
            if self.blind_spot(task, name, steps, started) is None
        )


def hypergradient(
    estimator: Estimator,
    task: DifferentiableTask,
    state: State,
    psi: Tensor,
    batches: tuple[Tensor, ...],
    noise: Tensor,
    validation: tuple[Tensor, ...],
    names: Sequence[str],
) -> tuple[Tensor, Tensor]:
    """Loss, 0-d, and its gradient with respect to `names` in their order, (len(names),).

    For one configuration, shapes as in `Estimator.gradient`. Reads whether training has started
    from the state: for many configurations, call `check_visible` once and `Estimator.gradients`.

    Raises:
        InvisibleHyperparameterError: before anything is computed, where the answer would be a
            zero that means "cannot see" rather than "does not matter".
        HypergradError: arguments whose shapes do not fit together.
    """
    coordinates = task.space.continuous
    if psi.shape != (len(coordinates),):
        raise HypergradError(
            f"psi has shape {tuple(psi.shape)}; give ({len(coordinates)},), one natural "
            f"coordinate for each of {', '.join(coordinates)}."
        )
    steps = noise.shape[0]
    for part in batches:
        if part.shape[0] != steps:
            raise HypergradError(
                f"batches hold {part.shape[0]} steps and noise holds {steps}; "
                "both need one entry per training step in their first dimension."
            )
    check_visible(estimator, task, steps, names, started=bool((state.t > 0).all()))
    loss, gradient = estimator.gradient(task, state, psi, batches, noise, validation)
    return loss, gradient[[coordinates.index(name) for name in names]]


def check_visible(
    estimator: Estimator,
    task: DifferentiableTask,
    steps: int,
    names: Iterable[str],
    started: bool = False,
) -> None:
    """Raise `InvisibleHyperparameterError` for the first of `names` that is out of sight.

    Raises `UnknownNameError` for a name that the task's space does not have.
    """
    for name in names:
        if name not in task.space.names:
            raise UnknownNameError("hyperparameter", name, task.space.names)
        if name not in task.space.continuous:
            raise InvisibleHyperparameterError(
                f"Hyperparameter {name!r} of task {task.name!r} is discrete and has no "
                "derivative. Leave it where it is, or search over it."
            )
        reason = estimator.blind_spot(task, name, steps, started)
        if reason is not None:
            raise InvisibleHyperparameterError(
                f"Estimator {estimator.name!r} with {steps} training step{'s' * (steps != 1)} "
                f"cannot see hyperparameter {name!r} of task {task.name!r}: {reason}"
            )


def lookahead(
    task: DifferentiableTask,
    state: State,
    psi: Tensor,
    batches: tuple[Tensor, ...],
    noise: Tensor,
    validation: tuple[Tensor, ...],
) -> Tensor:
    """Validation loss, 0-d, after the K training steps that `batches` and `noise` hold."""
    hp = decode(task.space, psi)
    for k in range(noise.shape[0]):
        state = train_step(task, state, tuple(part[k] for part in batches), hp, noise[k])
    return task.loss(state.theta, validation)


def lookahead_blind_spot(
    task: DifferentiableTask, name: str, steps: int, started: bool
) -> str | None:
    """What even an exact derivative of the lookahead cannot see."""
    if steps == 0:
        what = "first mini-batch" if name in task.optimizer.hyperparameters else "initial state"
        return f"the loss at the {what} does not depend on it. Take at least one training step."
    if steps == 1 and not started and name in getattr(task.optimizer, "delayed", ()):
        return (
            "it acts through a buffer that starts at zero, so after one step its derivative is "
            "exactly zero. Use 'reverse' with at least 2 training steps."
        )
    return None


def natural_width(task: DifferentiableTask, like: Tensor) -> Tensor:
    """Width of each natural coordinate's range, (d,), in the dtype and on the device of `like`."""
    low, high = task.space.natural_bounds
    return torch.as_tensor(high - low, dtype=like.dtype, device=like.device)
