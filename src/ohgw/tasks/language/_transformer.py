"""Language models: a GPT-2-shaped transformer (Radford et al. 2019) and the tasks that train one.

Learned positions, layer normalisation before each sub-layer, one matrix for the embedding and the
logits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ohgw.tasks._attention import MAX_NOISE, Dropout, block, block_shapes, check_heads, layer_norm
from ohgw.tasks._common import ClassificationTask, Layout, cross_entropy


@dataclass(frozen=True, slots=True)
class Transformer:
    """A causal language model as a pure function of its weights."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    context: int  # tokens
    activation: str

    def __post_init__(self) -> None:
        check_heads(self.width, self.heads)

    @property
    def layout(self) -> Layout:
        """Matrices are (inputs, outputs)."""
        width = self.width
        shapes: dict[str, tuple[int, ...]] = {
            "embedding": (self.vocabulary, width),
            "position": (self.context, width),
        }
        for layer in range(self.layers):
            shapes |= block_shapes(layer, width)
        return Layout(shapes | {"final_scale": (width,), "final_bias": (width,)})

    @property
    def decayed(self) -> set[str]:
        """Names of what weight decay acts on: matrices but embeddings."""
        matrices = {name for name, shape in self.layout.shapes.items() if len(shape) == 2}
        return matrices - {"embedding", "position"}

    @property
    def noise(self) -> tuple[int, ...]:
        """Numbers that dropout takes for one window, in order."""
        residual = self.context * self.width
        return self.layers * (self.heads * self.context**2, residual, residual)

    def init(self, generator: torch.Generator) -> Tensor:
        """GPT-2's: N(0, 0.02), projections into the residual stream over sqrt(2 layers)."""
        tensors = {}
        for name, shape in self.layout.shapes.items():
            kind = name.rstrip("0123456789")
            if kind.endswith("_scale"):
                tensors[name] = torch.ones(shape)
            elif kind.endswith("_bias"):
                tensors[name] = torch.zeros(shape)
            else:
                std = 0.02 / math.sqrt(2 * self.layers) if kind.endswith("_out") else 0.02
                tensors[name] = torch.randn(shape, generator=generator) * std
        return self.layout.flatten(tensors)

    def logits(
        self,
        w: dict[str, Tensor],
        x: Tensor,
        future: Tensor,
        hp: Mapping[str, Tensor],
        noise: Tensor | None,
    ) -> Tensor:
        """Logits (B, T, vocabulary) of tokens x (B, T); `future` (T, T) is added to the scores.

        With `noise` (n,) comes dropout at the rates of `hp`; None is evaluation.
        """
        batch, width = x.shape[0], self.width
        h = (w["embedding"][x] + w["position"]).reshape(-1, width)
        dropout = None
        if noise is not None:
            dropout = Dropout(hp, noise, [batch * n for n in self.noise])
        for layer in range(self.layers):
            h = block(
                w,
                layer,
                h,
                batch=batch,
                heads=self.heads,
                activation=self.activation,
                mask=future,
                dropout=dropout,
            )
        h = layer_norm(h, w["final_scale"], w["final_bias"])
        logits = h @ w["embedding"].transpose(-1, -2)  # the embedding is tied
        return logits.reshape(batch, self.context, -1)


class LanguageTask(ClassificationTask):
    """Base of tasks that predict the next token of windows; a subclass adds data and metrics."""

    net: Transformer

    def _build(self, net: Transformer) -> None:
        """To be called once the batch size is known."""
        self.net, self.layout = net, net.layout
        self.noise_per_example = sum(net.noise)
        self.noise_size = min(self.batch_size * self.noise_per_example, MAX_NOISE)
        future = torch.full((net.context, net.context), -torch.inf).triu(1)
        self._future = self._place(future)[0]

    def _decay_mask(self) -> Tensor:
        """(N,), ones where weight decay acts."""
        return self._place(self.layout.mask(self.net.decayed))[0]

    def init(self, generator: torch.Generator) -> Tensor:
        return self._place(self.net.init(generator))[0]

    def logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return self.net.logits(weights, x, self._future, {}, None)

    def train_loss(
        self, theta: Tensor, batch: tuple[Tensor, ...], hp: Mapping[str, Tensor], noise: Tensor
    ) -> Tensor:
        x, y, *_ = batch
        logits = self.net.logits(self.layout.split(theta), x, self._future, hp, noise)
        return cross_entropy(logits, y, hp["label_smoothing"])

    def loss(self, theta: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
        x, y, *_ = batch
        return cross_entropy(self.logits(self.layout.split(theta), x), y)


def windows(code: np.ndarray, context: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and next-token targets, each (windows, context)."""
    count = (len(code) - 1) // context
    used = count * context
    return code[:used].reshape(count, context), code[1 : used + 1].reshape(count, context)
