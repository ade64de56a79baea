"""Residual networks as pure functions: for 32 x 32 images, and for photographs.

`ResNet` (He et al. 2016, section 4.2) has depth 6n + 2: one 3x3 convolution, three stages of n
blocks with w, 2w and 4w channels on 32 x 32, 16 x 16 and 8 x 8 positions, mean over positions, one
linear layer. Shortcuts are identities that subsample and pad with zero channels (their option A),
so they have no parameters: depth 20 and width 16 have 269,722, the published 0.27 M.

`BottleneckResNet` (section 4.1, table 1) has four stages of blocks 1x1, 3x3, 1x1 behind a 7x7
convolution and a maximum, and projections where shapes change. A block subsamples in its 3x3
convolution ("v1.5", as torchvision has it): depth 50 and width 64 have 25,557,032 parameters.

Batch normalisation keeps no running statistics, which would be a state beside the parameters: a
forward pass uses its batch's own, or those that another pass found (Wu & Johnson 2021,
arXiv:2105.07576, section 3), which are right for whatever parameters that pass was given.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.tasks._common import Layout

EPSILON = 1e-5  # torch's
EXPANSION = 4  # channels out of a bottleneck block, over those within
BOTTLENECKS = {14: (1, 1, 1, 1), 26: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks in each stage, by depth; 50 and 101 are the published ones."""

Moments = tuple[Tensor, Tensor]  # mean and variance, (channels,) each
Layer = Callable[[Tensor, int], Tensor]  # of (input, number): convolved and normalised


class Convolution(NamedTuple):
    """Without bias, padded by half the kernel; a normalisation follows."""

    inside: int
    outside: int
    kernel: int = 3
    stride: int = 1


class Residual(ABC):
    """Convolutions in the order in which they act, then a linear layer over mean features."""

    classes: int

    @property
    @abstractmethod
    def convolutions(self) -> list[Convolution]: ...

    @abstractmethod
    def _features(self, x: Tensor, layer: Layer) -> Tensor:
        """(B, channels, H, W) of images, by way of every `layer`."""

    @property
    def layout(self) -> Layout:
        """Kernels (out, in, k, k), a scale and a shift (out,) for each, and the linear layer."""
        shapes: dict[str, tuple[int, ...]] = {}
        outside = 0
        for k, (inside, outside, kernel, _) in enumerate(self.convolutions):
            shapes |= {
                f"conv{k}": (outside, inside, kernel, kernel),
                f"scale{k}": (outside,),
                f"shift{k}": (outside,),
            }
        return Layout(shapes | {"head": (outside, self.classes), "bias": (self.classes,)})

    def init(self, generator: torch.Generator) -> Tensor:
        """Kernels N(0, 2 / fan_in) (He et al. 2015), scales 1, shifts 0, head N(0, 0.01^2)."""
        layout, tensors = self.layout, {}
        for name, shape in layout.shapes.items():
            if len(shape) == 1:
                tensors[name] = torch.full(shape, float(name.startswith("scale")))
            else:
                std = 0.01 if name == "head" else math.sqrt(2 / math.prod(shape[1:]))
                tensors[name] = torch.randn(shape, generator=generator) * std
        return layout.flatten(tensors)

    def logits(
        self, w: dict[str, Tensor], x: Tensor, moments: Sequence[Moments] | None = None
    ) -> Tensor:
        """Logits (B, classes) of images (B, channels, H, W).

        Normalised by the moments given for each layer, by default by the batch's own.
        """
        if moments is None:
            # torch's fused operation, twice as fast; it has no derivative in given moments
            return self._forward(
                w,
                x,
                lambda h, k: F.batch_norm(
                    h, None, None, w[f"scale{k}"], w[f"shift{k}"], training=True, eps=EPSILON
                ),
            )
        return self._forward(w, x, lambda h, k: _normalised(h, w, k, moments[k]))

    def moments(self, w: dict[str, Tensor], x: Tensor) -> list[Moments]:
        """Mean and variance of every layer on a batch, with derivatives in the parameters."""
        found: dict[int, Moments] = {}

        def normalise(h: Tensor, k: int) -> Tensor:
            variance, mean = torch.var_mean(h, (0, 2, 3), correction=0)
            found[k] = mean, variance
            return _normalised(h, w, k, found[k])

        self._forward(w, x, normalise)
        return [found[k] for k in range(len(found))]

    def _forward(self, w: dict[str, Tensor], x: Tensor, normalise: Layer) -> Tensor:
        convolutions = self.convolutions

        def layer(h: Tensor, k: int) -> Tensor:
            _, _, kernel, stride = convolutions[k]
            return normalise(F.conv2d(h, w[f"conv{k}"], stride=stride, padding=kernel // 2), k)

        return self._features(x, layer).mean((-2, -1)) @ w["head"] + w["bias"]


@dataclass(frozen=True, slots=True)
class ResNet(Residual):
    """`depth` 6n + 2 layers, `width` channels in the first stage, `channels` of the image."""

    depth: int = 20
    width: int = 16
    channels: int = 3
    classes: int = 10

    @property
    def convolutions(self) -> list[Convolution]:
        found, inside = [Convolution(self.channels, self.width)], self.width
        for stage in range(3):
            outside = self.width * 2**stage
            for block in range((self.depth - 2) // 6):
                found.append(Convolution(inside, outside, stride=2 if stage and not block else 1))
                found.append(Convolution(outside, outside))
                inside = outside
        return found

    def _features(self, x: Tensor, layer: Layer) -> Tensor:
        convolutions = self.convolutions
        h = F.relu(layer(x, 0))
        for k in range(1, len(convolutions), 2):
            z = layer(F.relu(layer(h, k)), k + 1)
            inside, outside, _, stride = convolutions[k]
            if stride > 1:
                more = outside - inside
                h = F.pad(h[:, :, ::stride, ::stride], (0, 0, 0, 0, more // 2, more - more // 2))
            h = F.relu(z + h)
        return h


@dataclass(frozen=True, slots=True)
class BottleneckResNet(Residual):
    """A `depth` of `BOTTLENECKS`, `width` channels within the blocks of the first stage."""

    depth: int = 50
    width: int = 64
    channels: int = 3
    classes: int = 1000

    @property
    def blocks(self) -> list[list[Convolution]]:
        """Three convolutions each; in the first of a stage, the projection comes fourth."""
        found, inside = [], self.width
        for stage, count in enumerate(BOTTLENECKS[self.depth]):
            within = self.width * 2**stage
            outside = EXPANSION * within
            for block in range(count):
                stride = 2 if stage and not block else 1
                found.append(
                    [
                        Convolution(inside, within, 1),
                        Convolution(within, within, 3, stride),
                        Convolution(within, outside, 1),
                    ]
                )
                if not block:
                    found[-1].append(Convolution(inside, outside, 1, stride))
                inside = outside
        return found

    @property
    def convolutions(self) -> list[Convolution]:
        first = Convolution(self.channels, self.width, 7, 2)
        return [first, *(convolution for block in self.blocks for convolution in block)]

    def _features(self, x: Tensor, layer: Layer) -> Tensor:
        h = F.max_pool2d(F.relu(layer(x, 0)), 3, stride=2, padding=1)
        k = 1
        for block in self.blocks:
            z = F.relu(layer(h, k))
            z = layer(F.relu(layer(z, k + 1)), k + 2)
            h = F.relu(z + (layer(h, k + 3) if len(block) == 4 else h))
            k += len(block)
        return h


def _normalised(h: Tensor, w: dict[str, Tensor], k: int, moments: Moments) -> Tensor:
    mean, variance = moments
    gain = w[f"scale{k}"] * (variance + EPSILON).rsqrt()
    offset = w[f"shift{k}"] - mean * gain
    return h * gain[:, None, None] + offset[:, None, None]
