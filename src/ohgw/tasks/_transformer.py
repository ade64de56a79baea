"""Language models: a GPT-2-shaped transformer (Radford et al. 2019) and the tasks that train one.

Learned positions, layer normalisation before each sub-layer, one matrix for the embedding and the
logits. Attention and residual dropout are Gaussian (Srivastava et al. 2014, section 10): noise of
the same mean and variance as Bernoulli dropout, multiplied in, which has a pathwise derivative
with respect to the rate.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.core.errors import SettingError
from ohgw.tasks._common import ClassificationTask, Layout, cross_entropy

# One training step's noise is at most this long (a prime, so that what repeats does not fall on
# the same positions); a longer need reads it again and again. 12 layers on windows of 1,024
# tokens would otherwise draw 170 million numbers for each window.
MAX_NOISE = 4_194_301

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": partial(F.gelu, approximate="tanh"),  # GPT-2's
}


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
        if self.width % self.heads:
            raise SettingError(
                f"heads={self.heads} do not divide width={self.width}: each has an equal part."
            )

    @property
    def layout(self) -> Layout:
        """Matrices are (inputs, outputs)."""
        width = self.width
        shapes: dict[str, tuple[int, ...]] = {
            "embedding": (self.vocabulary, width),
            "position": (self.context, width),
        }
        for layer in range(self.layers):
            shapes |= {
                f"norm_scale{2 * layer}": (width,),
                f"norm_bias{2 * layer}": (width,),
                f"qkv{layer}": (width, 3 * width),
                f"qkv_bias{layer}": (3 * width,),
                f"attention_out{layer}": (width, width),
                f"attention_bias{layer}": (width,),
                f"norm_scale{2 * layer + 1}": (width,),
                f"norm_bias{2 * layer + 1}": (width,),
                f"mlp_in{layer}": (width, 4 * width),
                f"mlp_bias{layer}": (4 * width,),
                f"mlp_out{layer}": (4 * width, width),
                f"mlp_out_bias{layer}": (width,),
            }
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
        # Tokens stay flat, (B T, C): a population then multiplies one matrix per lane, where
        # (B, T, C) would become B small products per lane, several times slower on a CPU.
        batch, context, width, heads = x.shape[0], self.context, self.width, self.heads
        activate = ACTIVATIONS[self.activation]
        h = (w["embedding"][x] + w["position"]).reshape(-1, width)
        if noise is not None:
            attention_std = dropout_std(hp["attention_dropout"])
            residual_std = dropout_std(hp["residual_dropout"])
            numbers = pieces(noise, [batch * n for n in self.noise])
        for layer in range(self.layers):
            z = layer_norm(h, w[f"norm_scale{2 * layer}"], w[f"norm_bias{2 * layer}"])
            qkv = torch.addmm(w[f"qkv_bias{layer}"], z, w[f"qkv{layer}"])
            q, k, v = qkv.reshape(batch, context, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
            scores = (q / math.sqrt(width // heads)) @ k.transpose(-1, -2)  # (B, H, T, T)
            weights = (scores + future).softmax(-1)
            if noise is not None:
                weights = gaussian_dropout(weights, attention_std, next(numbers))
            z = (weights @ v).transpose(1, 2).reshape(h.shape)
            z = torch.addmm(w[f"attention_bias{layer}"], z, w[f"attention_out{layer}"])
            if noise is not None:
                z = gaussian_dropout(z, residual_std, next(numbers))
            h = h + z
            z = layer_norm(h, w[f"norm_scale{2 * layer + 1}"], w[f"norm_bias{2 * layer + 1}"])
            z = torch.addmm(w[f"mlp_bias{layer}"], z, w[f"mlp_in{layer}"])
            z = torch.addmm(w[f"mlp_out_bias{layer}"], activate(z), w[f"mlp_out{layer}"])
            if noise is not None:
                z = gaussian_dropout(z, residual_std, next(numbers))
            h = h + z
        h = layer_norm(h, w["final_scale"], w["final_bias"])
        logits = h @ w["embedding"].transpose(-1, -2)  # the embedding is tied
        return logits.reshape(batch, context, -1)


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


def dropout_std(rate: Tensor) -> Tensor:
    """Deviation of the multiplicative noise that matches Bernoulli dropout at this rate."""
    return (rate / (1 - rate)).sqrt()


def gaussian_dropout(x: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    """x (1 + std * noise), with noise of as many numbers as x."""
    # in this order no pass over the noise is needed in the backward pass
    return x * (1 + std * noise.reshape(x.shape))


def layer_norm(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Layer normalisation over the last dimension (Ba et al. 2016)."""
    return F.layer_norm(x, x.shape[-1:]) * scale + bias


def pieces(noise: Tensor, sizes: list[int]) -> Iterator[Tensor]:
    """Consecutive parts of the noise (n,), from its start again where it ends."""
    if sum(sizes) == len(noise):
        yield from torch.split_with_sizes(noise, sizes)
        return
    ends = np.cumsum([0, *sizes])
    for first, last in pairwise(int(end) for end in ends):
        start = first % len(noise)
        rounds = -(-(start + last - first) // len(noise))
        yield noise.repeat(rounds)[start : start + last - first]
