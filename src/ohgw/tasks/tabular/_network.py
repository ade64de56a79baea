"""The FT-Transformer of Gorishniy et al. (2021, section 3.3) for tables, as a pure function.

Every feature becomes a token: a number times a learned vector, or a category's learned vector,
plus a bias of the feature. Blocks of attention and ReGLU (Shazeer 2020) with normalisation first,
which the first attention does without, mix them with one more token; from that the answer is read.
In the last block nothing but this token is computed. The authors' defaults, three blocks of width
192 with 8 heads, have 893,179 parameters on California housing, as published.

Dropout is Gaussian, as in `_attention`; there is none within the feed-forward layer, where the
authors have 0.1.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.tasks._attention import Dropout, attend, check_heads, layer_norm, split_heads
from ohgw.tasks._common import Layout

TOKENS = {"read", "number", "category", "token_bias"}  # what makes tokens


@dataclass(frozen=True, slots=True)
class FTTransformer:
    """A function of rows x (B, F): `numbers` columns, then the indicators of each category."""

    numbers: int
    categories: tuple[int, ...]
    outputs: int
    width: int = 192
    layers: int = 3
    heads: int = 8
    hidden: int = 256  # of the feed-forward layer; 4/3 of the width

    def __post_init__(self) -> None:
        check_heads(self.width, self.heads)

    @property
    def tokens(self) -> int:
        """One for each feature, and the one that is read."""
        return 1 + self.numbers + len(self.categories)

    @property
    def layout(self) -> Layout:
        """Matrices are (inputs, outputs)."""
        width, hidden = self.width, self.hidden
        shapes: dict[str, tuple[int, ...]] = {
            "read": (1, width),
            "number": (self.numbers, width),
            "category": (sum(self.categories), width),
            "token_bias": (self.tokens - 1, width),
        }
        for layer in range(self.layers):
            if layer:
                shapes |= {f"attention_scale{layer}": (width,), f"attention_shift{layer}": (width,)}
            shapes |= {
                f"query{layer}": (width, width),
                f"query_bias{layer}": (width,),
                f"key_value{layer}": (width, 2 * width),
                f"key_value_bias{layer}": (2 * width,),
                f"attention_out{layer}": (width, width),
                f"attention_out_bias{layer}": (width,),
                f"forward_scale{layer}": (width,),
                f"forward_shift{layer}": (width,),
                f"forward_in{layer}": (width, 2 * hidden),
                f"forward_in_bias{layer}": (2 * hidden,),
                f"forward_out{layer}": (hidden, width),
                f"forward_out_bias{layer}": (width,),
            }
        return Layout(
            shapes
            | {
                "head_scale": (width,),
                "head_shift": (width,),
                "head": (width, self.outputs),
                "head_bias": (self.outputs,),
            }
        )

    @property
    def decayed(self) -> set[str]:
        """Names of what weight decay acts on: matrices but those that make tokens."""
        matrices = {name for name, shape in self.layout.shapes.items() if len(shape) == 2}
        return matrices - TOKENS

    @property
    def noise(self) -> tuple[int, ...]:
        """Numbers that dropout takes for one row, in order."""
        found = []
        for layer in range(self.layers):
            asking = self.tokens if layer < self.layers - 1 else 1
            found += [self.heads * asking * self.tokens, *[asking * self.width] * 2]
        return tuple(found)

    def init(self, generator: torch.Generator) -> Tensor:
        """The authors': uniform within 1/sqrt(fan_in), `width` for tokens; attention biases 0."""
        shapes, tensors = self.layout.shapes, {}
        for name, shape in shapes.items():
            kind = name.rstrip("0123456789")
            if kind.endswith("_scale"):
                tensors[name] = torch.ones(shape)
            elif kind.endswith("_shift") or kind in (
                "query_bias",
                "key_value_bias",
                "attention_out_bias",
            ):
                tensors[name] = torch.zeros(shape)
            else:
                fan_in = self.width if kind in TOKENS else shapes[name.replace("_bias", "")][0]
                drawn = torch.rand(shape, generator=generator) * 2 - 1
                tensors[name] = drawn / math.sqrt(fan_in)
        return self.layout.flatten(tensors)

    def logits(
        self, w: dict[str, Tensor], x: Tensor, hp: Mapping[str, Tensor], noise: Tensor | None
    ) -> Tensor:
        """Logits (B, outputs). With `noise` (n,) comes dropout at the rates of `hp`."""
        batch, tokens = x.shape[0], self.tokens
        dropout = None
        if noise is not None:
            dropout = Dropout(hp, noise, [batch * n for n in self.noise])
        h = self._tokens(w, x).reshape(-1, self.width)
        for layer in range(self.layers):
            z = h
            if layer:
                z = layer_norm(h, w[f"attention_scale{layer}"], w[f"attention_shift{layer}"])
            asking = z
            if layer == self.layers - 1:
                h, asking = (part.reshape(batch, tokens, -1)[:, 0] for part in (h, z))
            q = torch.addmm(w[f"query_bias{layer}"], asking, w[f"query{layer}"])
            kv = torch.addmm(w[f"key_value_bias{layer}"], z, w[f"key_value{layer}"])
            (q,) = split_heads(q, batch, 1, self.heads)
            k, v = split_heads(kv, batch, 2, self.heads)
            z = attend(q, k, v, dropout=dropout)
            z = torch.addmm(w[f"attention_out_bias{layer}"], z, w[f"attention_out{layer}"])
            h = h + (z if dropout is None else dropout.residual(z))
            z = layer_norm(h, w[f"forward_scale{layer}"], w[f"forward_shift{layer}"])
            z = torch.addmm(w[f"forward_in_bias{layer}"], z, w[f"forward_in{layer}"])
            value, gate = z.chunk(2, -1)
            z = value * F.relu(gate)
            z = torch.addmm(w[f"forward_out_bias{layer}"], z, w[f"forward_out{layer}"])
            h = h + (z if dropout is None else dropout.residual(z))
        h = F.relu(layer_norm(h, w["head_scale"], w["head_shift"]))
        return torch.addmm(w["head_bias"], h, w["head"])

    def _tokens(self, w: dict[str, Tensor], x: Tensor) -> Tensor:
        """(B, tokens, width), the one that is read first."""
        numbers, *indicators = torch.split(x, [self.numbers, *self.categories], dim=1)
        found = [numbers.unsqueeze(-1) * w["number"]]
        if indicators:
            vectors = torch.split(w["category"], list(self.categories))
            chosen = [one @ table for one, table in zip(indicators, vectors, strict=True)]
            found.append(torch.stack(chosen, dim=1))
        features = torch.cat(found, dim=1) + w["token_bias"]
        return torch.cat([w["read"].expand(x.shape[0], 1, self.width), features], dim=1)
