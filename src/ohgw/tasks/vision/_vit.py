"""The vision transformer (Dosovitskiy et al. 2021) as a pure function.

Square patches, each a token by one matrix, with one more token in front and learned positions;
blocks with normalisation first; the answer is read from the first token. "Ti" has width 192 with 3
heads, "S" width 384 with 6 (Touvron et al. 2021, table 1), both depth 12: with patches of 16 on
224 x 224 and a thousand classes 5,717,416 and 22,050,664 parameters.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ohgw.tasks._attention import block, block_shapes, check_heads, layer_norm
from ohgw.tasks._common import Layout

EPSILON = 1e-6  # the authors'
WIDTHS = {"vit-ti": 192, "vit-s": 384}
DEPTH = 12
HEAD = 64  # channels of a head


@dataclass(frozen=True, slots=True)
class ViT:
    """A function of images `size` x `size`, of which `patch` must be a divisor."""

    size: int = 224
    patch: int = 16
    width: int = 192
    depth: int = 12
    heads: int = 3
    channels: int = 3
    classes: int = 1000

    def __post_init__(self) -> None:
        check_heads(self.width, self.heads)

    @property
    def tokens(self) -> int:
        """One for each patch, and the one that is read."""
        return 1 + (self.size // self.patch) ** 2

    @property
    def layout(self) -> Layout:
        """Matrices are (inputs, outputs)."""
        width = self.width
        shapes: dict[str, tuple[int, ...]] = {
            "read": (1, width),
            "patch": (self.channels * self.patch**2, width),
            "patch_bias": (width,),
            "position": (self.tokens, width),
        }
        for layer in range(self.depth):
            shapes |= block_shapes(layer, width)
        shapes |= {"final_scale": (width,), "final_bias": (width,)}
        return Layout(shapes | {"head": (width, self.classes), "bias": (self.classes,)})

    def init(self, generator: torch.Generator) -> Tensor:
        """Matrices N(0, 2 / (inputs + outputs)) (Glorot & Bengio 2010), positions N(0, 0.02^2).

        Scales 1, biases and the token that is read 0, the head N(0, 0.01^2).
        """
        tensors = {}
        for name, shape in self.layout.shapes.items():
            kind = name.rstrip("0123456789")
            if len(shape) == 1 or kind == "read":
                tensors[name] = torch.full(shape, float(kind.endswith("_scale")))
            else:
                # queries, keys and values are three matrices in one
                total = 2 * self.width if kind == "qkv" else sum(shape)
                std = {"position": 0.02, "head": 0.01}.get(kind, math.sqrt(2 / total))
                tensors[name] = torch.randn(shape, generator=generator) * std
        return self.layout.flatten(tensors)

    def logits(self, w: dict[str, Tensor], x: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, channels, size, size)."""
        batch, width = x.shape[0], self.width
        patches = torch.addmm(w["patch_bias"], self._patches(x), w["patch"])
        read = w["read"].expand(batch, 1, width)
        h = torch.cat([read, patches.reshape(batch, -1, width)], dim=1) + w["position"]
        h = h.reshape(-1, width)
        for layer in range(self.depth):
            h = block(
                w,
                layer,
                h,
                batch=batch,
                heads=self.heads,
                activation="exact-gelu",
                epsilon=EPSILON,
            )
        h = h.reshape(batch, -1, width)[:, 0]
        h = layer_norm(h, w["final_scale"], w["final_bias"], EPSILON)
        return torch.addmm(w["bias"], h, w["head"])

    def _patches(self, x: Tensor) -> Tensor:
        """(B, channels, size, size) -> (B patches, channels patch patch), row by row."""
        batch, side, patch = x.shape[0], self.size // self.patch, self.patch
        parts = x.reshape(batch, self.channels, side, patch, side, patch)
        return parts.permute(0, 2, 4, 1, 3, 5).reshape(batch * side**2, -1)
