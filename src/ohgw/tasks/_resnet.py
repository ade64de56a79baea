"""The residual network of He et al. (2016, section 4.2) for 32 x 32 images, as a pure function.

Depth 6n + 2: one 3x3 convolution, three stages of n blocks with w, 2w and 4w channels on 32 x 32,
16 x 16 and 8 x 8 positions, mean over positions, one linear layer. Shortcuts are identities that
subsample and pad with zero channels (their option A), so they have no parameters: depth 20 and
width 16 have 269,722, the published 0.27 M.

Batch normalisation keeps no running statistics, which would be a state beside the parameters: a
forward pass uses its batch's own, or those that another pass found (Wu & Johnson 2021,
arXiv:2105.07576, section 3), which are right for whatever parameters that pass was given.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.tasks._common import Layout

EPSILON = 1e-5  # torch's
Moments = tuple[Tensor, Tensor]  # mean and variance, (channels,) each


@dataclass(frozen=True, slots=True)
class ResNet:
    """`depth` 6n + 2 layers, `width` channels in the first stage, `channels` of the image."""

    depth: int = 20
    width: int = 16
    channels: int = 3
    classes: int = 10

    @property
    def convolutions(self) -> list[tuple[int, int, int]]:
        """Channels in, channels out and stride, in the order in which they act."""
        found, inside = [(self.channels, self.width, 1)], self.width
        for stage in range(3):
            outside = self.width * 2**stage
            for block in range((self.depth - 2) // 6):
                found.append((inside, outside, 2 if stage and not block else 1))
                found.append((outside, outside, 1))
                inside = outside
        return found

    @property
    def layout(self) -> Layout:
        """Kernels (out, in, 3, 3), a scale and a shift (out,) for each, and the linear layer."""
        shapes: dict[str, tuple[int, ...]] = {}
        for k, (inside, outside, _) in enumerate(self.convolutions):
            shapes |= {
                f"conv{k}": (outside, inside, 3, 3),
                f"scale{k}": (outside,),
                f"shift{k}": (outside,),
            }
        return Layout(shapes | {"head": (4 * self.width, self.classes), "bias": (self.classes,)})

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
        found: list[Moments] = []

        def normalise(h: Tensor, k: int) -> Tensor:
            variance, mean = torch.var_mean(h, (0, 2, 3), correction=0)
            found.append((mean, variance))
            return _normalised(h, w, k, found[-1])

        self._forward(w, x, normalise)
        return found

    def _forward(
        self, w: dict[str, Tensor], x: Tensor, normalise: Callable[[Tensor, int], Tensor]
    ) -> Tensor:
        convolutions = self.convolutions

        def layer(h: Tensor, k: int) -> Tensor:
            stride = convolutions[k][2]
            return normalise(F.conv2d(h, w[f"conv{k}"], stride=stride, padding=1), k)

        h = F.relu(layer(x, 0))
        for k in range(1, len(convolutions), 2):
            z = layer(F.relu(layer(h, k)), k + 1)
            inside, outside, stride = convolutions[k]
            if stride > 1:
                more = outside - inside
                h = F.pad(h[:, :, ::stride, ::stride], (0, 0, 0, 0, more // 2, more - more // 2))
            h = F.relu(z + h)
        return h.mean((-2, -1)) @ w["head"] + w["bias"]


def _normalised(h: Tensor, w: dict[str, Tensor], k: int, moments: Moments) -> Tensor:
    mean, variance = moments
    gain = w[f"scale{k}"] * (variance + EPSILON).rsqrt()
    offset = w[f"shift{k}"] - mean * gain
    return h * gain[:, None, None] + offset[:, None, None]
