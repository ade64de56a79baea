"""Residual networks and vision transformers in tasks on images: their options, their evaluation.

Whatever evaluates a residual network normalises with statistics of training images under the very
parameters that it evaluates, which is right for averaged weights too, as no running average would
be: those of several mini-batches for metrics (Wu & Johnson 2021 find 10^3 to 10^4 images enough),
of one for a probe's look, whose cost is charged and whose models have taken a few steps of such
mini-batches. A vision transformer has no such statistics.
"""

import torch
from torch import Tensor

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.tasks._common import check_count, cross_entropy
from ohgw.tasks.vision._images import CHUNK, ImageTask
from ohgw.tasks.vision._resnet import Residual
from ohgw.tasks.vision._vit import DEPTH, HEAD, WIDTHS, ViT

LOOK_STATISTICS = 1  # mini-batches of training images whose statistics normalise a probe's look


class NetworkTask(ImageTask):
    """Base of tasks whose model is one of the two; a subclass sets `net` and its `layout`."""

    net: Residual | ViT
    metrics_statistics: int
    """Mini-batches of training images whose statistics normalise metrics."""

    def init(self, generator: torch.Generator) -> Tensor:
        return self._place(self.net.init(generator))[0]

    def inputs(self, x: Tensor) -> Tensor:
        """Images (B, channels, S, S) of the data as the model takes them."""
        return x

    def train_logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """Logits (B, classes) under the mini-batch's own statistics."""
        return self.net.logits(weights, x)

    def logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return self._evaluated(weights, x, self.metrics_statistics)

    def loss(self, theta: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
        x, y = batch
        return cross_entropy(self._evaluated(self.layout.split(theta), x, LOOK_STATISTICS), y)

    def _evaluated(self, weights: dict[str, Tensor], x: Tensor, statistics: int) -> Tensor:
        net, parts = self.net, (self.inputs(part) for part in torch.split(x, CHUNK))
        if isinstance(net, ViT):
            return torch.cat([net.logits(weights, part) for part in parts])
        seen = self.inputs(self.data["train"][0][: statistics * self.batch_size])
        moments = net.moments(weights, seen)
        return torch.cat([net.logits(weights, part, moments) for part in parts])


def check_model(task: str, model: object, residual: list[str]) -> None:
    """Raises `UnknownNameError` for a model that is neither residual nor a vision transformer."""
    if model not in (*residual, *WIDTHS):
        raise UnknownNameError(f"model of task {task!r}", str(model), [*residual, *WIDTHS])


def refuse(task: str, model: str, **options: object) -> None:
    """Raises `SettingError` for an option that this model does not have."""
    for option, value in options.items():
        if value is not None:
            raise SettingError(f"{option}={value!r} of {task!r} is not an option of model={model}.")


def vision_transformer(
    task: str,
    model: str,
    *,
    size: int,
    classes: int,
    patch: int,
    depth: int | None,
    width: int | None,
    heads: int | None,
) -> ViT:
    """`model` of `WIDTHS`, but for what is given. Raises `SettingError`."""
    width = WIDTHS[model] if width is None else width
    for option, value in {"patch": patch, "depth": depth, "width": width, "heads": heads}.items():
        if value is not None:
            check_count(task, option, value)
    if size % patch:
        raise SettingError(f"patch={patch} of {task!r} does not divide an image of {size} pixels.")
    depth = DEPTH if depth is None else depth
    heads = max(1, width // HEAD) if heads is None else heads
    return ViT(size, patch, width, depth, heads, classes=classes)
