"""Tasks: data, model and training step of one problem; one file per task, one line in the table."""

from collections.abc import Callable
from typing import Any

import torch

from ohgw.core.errors import UnknownNameError
from ohgw.core.protocols import DifferentiableTask
from ohgw.tasks.breast_cancer import BreastCancer
from ohgw.tasks.charlm import CharLM
from ohgw.tasks.digits import Digits

TASKS: dict[str, Callable[..., DifferentiableTask]] = {
    Digits.name: Digits,
    BreastCancer.name: BreastCancer,
    CharLM.name: CharLM,
}


def load(
    name: str, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> DifferentiableTask:
    """The named task with its data on `device`. Raises `UnknownNameError`."""
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    options: dict[str, Any] = {"device": device, "dtype": dtype}
    return TASKS[name](**options)
