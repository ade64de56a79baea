"""The closed form of one step: what the optimiser's own hyperparameters do to it.

Baydin, Cornish, Rubio, Schmidt and Wood 2018, 'Online Learning Rate Adaptation with Hypergradient
Descent' (arXiv:1703.04782), equations 2-5: for theta_1 = theta_0 - lr * u with the training
gradient held constant, dL(theta_1)/dlr = -<grad L(theta_1), u>. The same holds for every
hyperparameter that enters the step after the gradient, so no second-order graph is built.

Cost: one training gradient and one validation gradient, 2.0 times the FLOPs of a training step.
"""

from typing import Any, cast

from torch import Tensor
from torch.func import grad, grad_and_value, vjp

from ohgw.core.errors import HypergradError
from ohgw.core.protocols import DifferentiableTask
from ohgw.hypergrad.estimator import Estimator, lookahead_blind_spot
from ohgw.training.dynamics import State, decode


class Analytic(Estimator):
    """Exact for one step; sees the optimiser's hyperparameters only."""

    name = "analytic"

    def blind_spot(
        self, task: DifferentiableTask, name: str, steps: int, started: bool = False
    ) -> str | None:
        if name not in task.optimizer.hyperparameters:
            return (
                "it acts through the training loss, and this estimator holds the training "
                "gradient constant. Use 'reverse'."
            )
        if steps > 1:
            return "it differentiates one step only. Use 'reverse'."
        return lookahead_blind_spot(task, name, steps, started)

    def gradient(
        self,
        task: DifferentiableTask,
        state: State,
        psi: Tensor,
        batches: tuple[Tensor, ...],
        noise: Tensor,
        validation: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor]:
        if noise.shape[0] != 1:
            raise HypergradError(
                f"Estimator 'analytic' was given {noise.shape[0]} training steps and "
                "differentiates exactly one. Use 'reverse', or give one mini-batch."
            )
        batch = tuple(part[0] for part in batches)
        hp = decode(task.space, psi)
        g = grad(task.train_loss)(state.theta, batch, hp, noise[0])

        def step(psi: Tensor) -> Tensor:
            hp = decode(task.space, psi)
            return task.optimizer.update(state.theta, state.slots, g, state.t, hp)[0]

        theta, pull = cast(Any, vjp(step, psi))
        cotangent, loss = grad_and_value(task.loss)(theta, validation)
        return loss, pull(cotangent)[0]
