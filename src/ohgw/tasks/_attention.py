"""Attention, its blocks and its dropout: what all transformers of this package are made of.

Tokens stay flat, (B T, width), between products: a population then multiplies one matrix per lane,
where (B, T, width) would become B small products per lane, several times slower on a CPU.

Dropout is Gaussian (Srivastava et al. 2014, section 10): noise of the same mean and variance as
Bernoulli dropout, multiplied in, which has a pathwise derivative with respect to the rate.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.core.errors import SettingError

Weights = Mapping[str, Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": partial(F.gelu, approximate="tanh"),  # GPT-2's
    "exact-gelu": F.gelu,  # the vision transformer's
}

# One training step's noise is at most this long (a prime, so that what repeats does not fall on
# the same positions); a longer need reads it again and again. 12 layers on windows of 1,024
# tokens would otherwise draw 170 million numbers for each window.
MAX_NOISE = 4_194_301


def check_heads(width: int, heads: int) -> None:
    """Raises `SettingError` where heads cannot share the width equally."""
    if width % heads:
        raise SettingError(f"heads={heads} do not divide width={width}: each has an equal part.")


class Dropout:
    """The dropout of one forward pass: its noise (n,) is used up in the order of the calls.

    Rates are `hp`'s `attention_dropout` and `residual_dropout`; `sizes` are the numbers that each
    call takes.
    """

    def __init__(self, hp: Mapping[str, Tensor], noise: Tensor, sizes: list[int]) -> None:
        self._attention = dropout_std(hp["attention_dropout"])
        self._residual = dropout_std(hp["residual_dropout"])
        self._numbers = pieces(noise, sizes)

    def attention(self, weights: Tensor) -> Tensor:
        return gaussian_dropout(weights, self._attention, next(self._numbers))

    def residual(self, added: Tensor) -> Tensor:
        return gaussian_dropout(added, self._residual, next(self._numbers))


def split_heads(flat: Tensor, batch: int, parts: int, heads: int) -> tuple[Tensor, ...]:
    """(B T, parts width) -> `parts` tensors (B, heads, T, width / heads)."""
    tokens = flat.shape[0] // batch
    return flat.reshape(batch, tokens, parts, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout: Dropout | None = None
) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1), flat: (B T, width).

    q is (B, heads, T, C), k and v may have another T; `mask` is added to the scores.
    """
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    weights = (scores if mask is None else scores + mask).softmax(-1)
    if dropout is not None:
        weights = dropout.attention(weights)
    found = (weights @ v).transpose(1, 2)
    return found.reshape(found.shape[0] * found.shape[1], -1)


def block_shapes(layer: int, width: int) -> dict[str, tuple[int, ...]]:
    """What `block` reads of a layer; matrices are (inputs, outputs)."""
    return {
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


def block(
    w: Weights,
    layer: int,
    h: Tensor,
    *,
    batch: int,
    heads: int,
    activation: str,
    epsilon: float = 1e-5,
    mask: Tensor | None = None,
    dropout: Dropout | None = None,
) -> Tensor:
    """One layer, (B T, width) to the same: attention, then two matrices, normalised first each."""
    before, between = (
        (w[f"norm_scale{k}"], w[f"norm_bias{k}"], epsilon) for k in (2 * layer, 2 * layer + 1)
    )
    qkv = torch.addmm(w[f"qkv_bias{layer}"], layer_norm(h, *before), w[f"qkv{layer}"])
    q, k, v = split_heads(qkv, batch, 3, heads)
    z = attend(q, k, v, mask, dropout)
    z = torch.addmm(w[f"attention_bias{layer}"], z, w[f"attention_out{layer}"])
    h = h + (z if dropout is None else dropout.residual(z))
    z = torch.addmm(w[f"mlp_bias{layer}"], layer_norm(h, *between), w[f"mlp_in{layer}"])
    z = torch.addmm(w[f"mlp_out_bias{layer}"], ACTIVATIONS[activation](z), w[f"mlp_out{layer}"])
    return h + (z if dropout is None else dropout.residual(z))


def layer_norm(x: Tensor, scale: Tensor, bias: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Layer normalisation over the last dimension (Ba et al. 2016)."""
    return F.layer_norm(x, x.shape[-1:], eps=epsilon) * scale + bias


def dropout_std(rate: Tensor) -> Tensor:
    """Deviation of the multiplicative noise that matches Bernoulli dropout at this rate."""
    return (rate / (1 - rate)).sqrt()


def gaussian_dropout(x: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    """x (1 + std * noise), with noise of as many numbers as x."""
    # in this order no pass over the noise is needed in the backward pass
    return x * (1 + std * noise.reshape(x.shape))


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
