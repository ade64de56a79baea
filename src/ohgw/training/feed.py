"""Mini-batches and noise, keyed instead of drawn in sequence.

What a trial is fed at an epoch depends on (seed, trial, epoch) only: not on the engine, on which
trials run beside it, or on whether it was paused in between.

Noise comes from one table of standard normal numbers that all trials share; a training step reads
a window at a keyed offset (the noise table of Salimans et al. 2017, 'Evolution Strategies'). It
costs one copy per step where a generator for every lane would cost more than small models do.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ohgw.core.errors import SettingError
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.streams import Streams

NOISE_TABLE = 2**22
Integers = npt.NDArray[np.int64]


class Feed:
    """Batches of one task's training split. S is `task.steps_per_epoch`.

    `table` is what noise is read from, (n,); a table of the task's own without it. Variants of one
    task share one.
    """

    def __init__(self, task: DifferentiableTask, table: Tensor | None = None) -> None:
        self.task = task
        if table is None:
            table = _noise_table(NOISE_TABLE + task.noise_size).to(task.device, task.dtype)
        if len(table) <= task.noise_size:
            raise SettingError(
                f"A step of task {task.name!r} reads {task.noise_size} numbers of noise, the table "
                f"that its variants share has {len(table)}. Make the mini-batch smaller."
            )
        self.table = table
        # A window may begin wherever it fits: for a table of the task's own, NOISE_TABLE places.
        self._places = len(table) - task.noise_size
        self._windows = table.unfold(0, max(task.noise_size, 1), 1)  # (places, noise_size), views
        self._examples = len(task.data["train"][0])

    def epoch(self, streams: Streams, trial: int, epoch: int) -> tuple[Integers, Integers]:
        """Example indices (S, B) and noise offsets (S,) of one epoch of one trial."""
        steps, batch = self.task.steps_per_epoch, self.task.batch_size
        order = streams.generator("batches", trial, epoch).permutation(self._examples)
        offsets = streams.generator("noise", trial, epoch).integers(self._places, size=steps)
        return order[: steps * batch].reshape(steps, batch), offsets

    def probe(self, streams: Streams, steps: int, *key: int) -> tuple[Integers, Integers, Integers]:
        """Indices (K, B), noise offsets (K,) and validation indices (B,) of one probe."""
        rng = streams.generator("probe", *key)
        batch = self.task.batch_size
        order = rng.choice(self._examples, (steps, batch), replace=steps * batch > self._examples)
        offsets = rng.integers(self._places, size=steps)
        validation = rng.choice(len(self.task.data["val"][0]), batch, replace=False)
        return order, offsets, validation

    def batch(self, indices: Tensor, split: str = "train") -> tuple[Tensor, ...]:
        """Examples at `indices` (..., B): tensors (..., B, ...) on the task's device.

        Data too large for the device lie in the host's memory; only mini-batches are copied.
        """
        return tuple(
            tensor[indices.to(tensor.device)].to(self.task.device)
            for tensor in self.task.data[split]
        )

    def noise(self, offsets: Tensor) -> Tensor:
        """Windows at `offsets` (n,): (n, noise_size)."""
        return self._windows.index_select(0, offsets)


def initial_parameters(task: DifferentiableTask, seed: int) -> Tensor:
    """A trial's initial parameters (N,), the same on every device."""
    return task.init(torch.Generator().manual_seed(seed))


@lru_cache(maxsize=1)
def _noise_table(size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(0))
