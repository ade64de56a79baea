"""Tasks on tables: what the models on them share. Targets are classes or numbers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ohgw.tasks._common import ClassificationTask, accuracy, check_count, corrupted, cross_entropy
from ohgw.tasks.tabular._tables import check_table, read_table


class TableTask(ClassificationTask):
    """Base of differentiable tasks on a table; `data` and `examples` are options.

    Where the target is a number, the loss is the mean squared error of the standardised target,
    and label smoothing moves a target towards 0, its mean over the training rows, as it moves a
    class towards all classes alike.
    """

    bundled = False

    def __init__(
        self,
        device: str | torch.device,
        dtype: torch.dtype,
        *,
        batch_size: int | None,
        label_noise: float,
        data: str | int,
        examples: int | None,
        **own: Any,
    ):
        """`own` are a subclass's options, which it has checked."""
        super().__init__(device, dtype, batch_size=batch_size, label_noise=label_noise)
        check_table(self.name, data)
        if examples is not None:
            check_count(self.name, "examples", examples)
        self._options |= {"data": data, "examples": examples, **own}
        self.table = read_table(data, examples)

    @property
    def source(self) -> str:
        """What the data were read from."""
        return self.table.origin

    @property
    def outputs(self) -> int:
        """Logits for each row: one for each class, or the number itself."""
        return len(self.table.classes) or 1

    def _read(self) -> dict[str, tuple[Tensor, ...]]:
        parts = dict(self.table.splits)
        x, y = parts["train"]
        parts["train"] = x, corrupted(y, self._options["label_noise"])
        return {split: self._place(*part) for split, part in parts.items()}

    def train_loss(
        self, theta: Tensor, batch: tuple[Tensor, ...], hp: Mapping[str, Tensor], noise: Tensor
    ) -> Tensor:
        x, y = batch
        found = self._noisy_logits(self.layout.split(theta), x, hp, noise)
        if self.table.classes:
            return cross_entropy(found, y, hp["label_smoothing"])
        return _squared_error(found, (1 - hp["label_smoothing"]) * y)

    def _noisy_logits(
        self, weights: dict[str, Tensor], x: Tensor, hp: Mapping[str, Tensor], noise: Tensor
    ) -> Tensor:
        """What training sees of rows x (B, F): logits (B, outputs)."""
        raise NotImplementedError

    def loss(self, theta: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
        x, y = batch
        found = self.logits(self.layout.split(theta), x)
        return cross_entropy(found, y) if self.table.classes else _squared_error(found, y)

    def metrics(self, theta: Tensor, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Loss with accuracy, or with the root mean squared error in the target's own unit."""
        x, y = batch
        found = self.logits(self.layout.split(theta), x)
        if self.table.classes:
            return {"loss": cross_entropy(found, y), "accuracy": accuracy(found, y, self.dtype)}
        loss = _squared_error(found, y)
        return {"loss": loss, "rmse": loss.sqrt() * self.table.unit}


def _squared_error(found: Tensor, target: Tensor) -> Tensor:
    """Mean over rows; `found` (B, 1), `target` (B,)."""
    return (found.squeeze(-1) - target).square().mean()
