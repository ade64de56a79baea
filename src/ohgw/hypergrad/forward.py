"""Forward mode through K training steps: one tangent per hyperparameter, no stored iterates.

Franceschi, Donini, Frasconi and Pontil 2017, 'Forward and Reverse Gradient-Based Hyperparameter
Optimization' (arXiv:1703.01785), section 3.2: the tangent z_k = dtheta_k/dpsi is carried along
with the iterate. Each tangent needs a Hessian-vector product at each step.

Cost: grows with d and K, memory does not grow with K; measured 12 training steps for K = 1 and
5 or 6 hyperparameters, more than reverse mode, which is why the default is another.
"""

import warnings
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import jvp, vmap

from ohgw.core.protocols import DifferentiableTask
from ohgw.hypergrad.estimator import Estimator, lookahead, lookahead_blind_spot
from ohgw.training.dynamics import State


class Forward(Estimator):
    """Exact for any K; sees everything that K steps depend on."""

    name = "forward"

    def blind_spot(
        self, task: DifferentiableTask, name: str, steps: int, started: bool = False
    ) -> str | None:
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
        _load_forward_mode()

        def loss(psi: Tensor) -> Tensor:
            return lookahead(task, state, psi, batches, noise, validation)

        def along(tangent: Tensor) -> tuple[Tensor, Tensor]:
            value, slope = cast(Any, jvp(loss, (psi,), (tangent,)))
            return value, slope

        values, gradient = vmap(along)(torch.eye(len(psi), dtype=psi.dtype, device=psi.device))
        return values[0], gradient


@cache
def _load_forward_mode() -> None:
    """Have torch load its forward-mode rules, which it does at first use.

    It compiles them with its own deprecated `torch.jit.script`; that warning is not the user's.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        one = torch.ones(())
        jvp(torch.sin, (one,), (one,))
