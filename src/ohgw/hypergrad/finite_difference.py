"""Central differences of the lookahead: no derivative of the training step is needed.

The fall-back for layers that cannot be differentiated twice, and the yardstick of the others. All
points share mini-batches and noise (common random numbers), so their difference is not drowned.
A point may lie outside the space by the step's length.

Step: a share of each coordinate's natural range, by default the cube root of the machine
precision (5e-3 in float32, 6e-6 in float64), which balances truncation against rounding (Press et
al. 2007, 'Numerical Recipes', section 5.7).

Cost: 2 d + 1 lookaheads of K training steps and one validation loss each.
"""

import torch
from torch import Tensor

from ohgw.core.errors import SettingError
from ohgw.core.protocols import DifferentiableTask
from ohgw.hypergrad.estimator import Estimator, lookahead, lookahead_blind_spot, natural_width
from ohgw.training.dynamics import State


class FiniteDifference(Estimator):
    """Approximate for any K; sees everything that K steps depend on.

    Args:
        step: share of a coordinate's natural range; None takes the cube root of the precision.
    """

    name = "finite-difference"

    def __init__(self, step: float | None = None) -> None:
        if step is not None and not 0 < step <= 1:
            raise SettingError(f"finite-difference: step is {step!r}; give a share in (0, 1].")
        self._step = step

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
        def loss(psi: Tensor) -> Tensor:
            return lookahead(task, state, psi, batches, noise, validation)

        share = torch.finfo(psi.dtype).eps ** (1 / 3) if self._step is None else self._step
        offsets = torch.diag(share * natural_width(task, psi))  # (d, d)
        above, below = psi + offsets, psi - offsets
        # One after the other: configurations are the lanes, and under `vmap` over weights
        # FlopCounterMode counts a convolution's backward pass once per lane too often.
        losses = torch.stack([loss(point) for point in (psi, *above, *below)])  # (2 d + 1,)
        up, down = losses[1:].reshape(2, -1)
        # by the distance as rounded, not as asked for
        return losses[0], (up - down) / (above - below).diagonal()
