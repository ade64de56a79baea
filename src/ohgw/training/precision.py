"""Mixed precision: training losses, and with them their gradients, computed in bfloat16.

Parameters, optimiser and whatever scores a model keep the task's dtype, so that scores compare
with those of other precisions. bfloat16 has float32's range: no loss has to be scaled.
"""

from collections.abc import Mapping
from copy import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ohgw.core.protocols import DifferentiableTask, MixedTask

PRECISIONS = ("float32", "bf16")


def in_precision(task: DifferentiableTask, precision: str) -> DifferentiableTask:
    """The task with its training loss under autocast; the task itself at 'float32'.

    Shares the task's data. Probes take hypergradients of the loss that training descends.
    """
    if precision == "float32":
        return task
    plain = task.train_loss

    def train_loss(
        theta: Tensor, batch: tuple[Tensor, ...], hp: Mapping[str, Tensor], noise: Tensor
    ) -> Tensor:
        with torch.autocast(task.device.type, torch.bfloat16):
            return plain(theta, batch, hp, noise).to(task.dtype)

    _ = task.data  # read before, or each copy would read it for itself
    cast: Any = copy(task)
    cast.train_loss = train_loss
    if isinstance(task, MixedTask):
        variant = cache(lambda *items: in_precision(task.variant(dict(items)), precision))
        cast.variant = lambda values: variant(*sorted(values.items()))
    found: DifferentiableTask = cast
    return found
