"""Counted cost: work in train-step equivalents, a number that does not depend on the machine."""

from collections.abc import Callable
from typing import Any

from torch.utils.flop_counter import FlopCounterMode


def count_flops(function: Callable[[], Any]) -> float:
    """FLOPs of one call: matrix products and convolutions, as torch's `FlopCounterMode` counts."""
    with FlopCounterMode(display=False) as counter:
        function()
    return float(counter.get_total_flops())
