"""Implicit differentiation at a fixed point of training, with a truncated Neumann series.

Lorraine, Vicol and Duvenaud 2020, 'Optimizing Millions of Hyperparameters by Implicit
Differentiation' (arXiv:1911.02590), algorithms 2 and 3; Pedregosa 2016, 'Hyperparameter
optimization with approximate gradient' (arXiv:1602.02355). Where theta* = F(theta*, psi) for one
plain training step F, the implicit function theorem gives

    dL/dpsi = v (I - dF/dtheta)^-1 dF/dpsi,    v = dL/dtheta,    (I - A)^-1 = sum_j A^j,

and the sum is cut after `terms` terms. F averages the training gradient over all K mini-batches
and takes a step without momentum (`DifferentiableOptimizer.plain_step`). The answer is about the
end of training: it is as good as the state is close to that end, and as the series has converged,
which takes about 1 / (lr * smallest curvature) terms; fewer terms damp flat directions. Where lr
is so large that plain steps diverge, so does the series.

Cost: K (2 terms + 3) + 1 gradients; 44 training steps for K = 1 and 20 terms.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.func import grad, grad_and_value, vjp, vmap

from ohgw.core.errors import HypergradError, SettingError
from ohgw.core.protocols import DifferentiableTask
from ohgw.hypergrad.estimator import Estimator
from ohgw.training.dynamics import State, decode
from ohgw.training.optimizers import DifferentiableOptimizer


class Implicit(Estimator):
    """Exact in the limit, at an optimum; sees what moves the optimum: the loss and weight decay.

    The loss it returns is the validation loss at the state itself, without further training.

    Args:
        terms: terms of the Neumann series beyond the identity; 20 as Lorraine et al. use.
    """

    name = "implicit"

    def __init__(self, terms: int = 20) -> None:
        if terms < 0:
            raise SettingError(f"implicit: terms is {terms!r}; give 0 or more.")
        self._terms = terms

    def blind_spot(
        self, task: DifferentiableTask, name: str, steps: int, started: bool = False
    ) -> str | None:
        if steps == 0:
            return "it needs a mini-batch to see the training loss. Give at least one."
        if name in task.optimizer.hyperparameters and name not in _optimizer(task).persistent:
            return (
                "at a fixed point of training it has no first-order effect, it only changes the "
                "way there. Use 'reverse'."
            )
        return None

    def gradient(
        self,
        task: DifferentiableTask,
        state: State,
        psi: Tensor,
        batches: tuple[Tensor, ...],
        noise: Tensor,
        validation: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor]:
        optimizer, steps = _optimizer(task), noise.shape[0]

        def step(theta: Tensor, psi: Tensor) -> Tensor:
            hp = decode(task.space, psi)

            def train_loss(theta: Tensor) -> Tensor:
                each = vmap(task.train_loss, in_dims=(None, 0, None, 0))
                losses: Tensor = each(theta, batches, hp, noise)  # (K,)
                return losses.mean()

            return optimizer.plain_step(theta, state.slots, grad(train_loss)(theta), state.t, hp)

        cotangent, loss = grad_and_value(task.loss)(state.theta, validation)
        _, pull = cast(Any, vjp(step, state.theta, psi))
        term = total = cotangent
        for _ in range(self._terms):
            term = pull(term)[0]
            total = total + term
        seen = self.visible(task, steps)
        mask = torch.tensor([name in seen for name in task.space.continuous], device=psi.device)
        # where, not a product: what is masked may be infinite
        return loss, torch.where(mask, pull(total)[1], torch.zeros_like(psi))


def _optimizer(task: DifferentiableTask) -> DifferentiableOptimizer:
    if not isinstance(task.optimizer, DifferentiableOptimizer):
        raise HypergradError(
            f"Estimator 'implicit' needs to know the fixed points of training, and the optimiser "
            f"{type(task.optimizer).__name__!r} of task {task.name!r} does not say. "
            "Derive it from ohgw.training.optimizers.DifferentiableOptimizer."
        )
    return task.optimizer
