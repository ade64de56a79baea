"""`charlm`: a character language model on Shakespeare's sonnets, AdamW, exp-2's space.

Data: the 154 sonnets (1609, public domain), which ship with the package; the first 80 % of the
characters train, the next 10 % validate, the last 10 % test, each cut into windows.
Model: GPT-2-shaped transformer (learned positions, pre-norm, tied embedding; ReLU, which costs a
small model less than GELU): two layers of width 16 with two heads on windows of 32 characters.
Training: AdamW with linear warm-up, mini-batches of 2 windows; attention and residual dropout are
Gaussian (Srivastava et al. 2014, section 10): noise of the same mean and variance as Bernoulli
dropout, multiplied in, which has a pathwise derivative with respect to the rate.
"""

import math
from collections.abc import Mapping
from importlib import resources

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.core.space import get_space
from ohgw.tasks._common import (
    ClassificationTask,
    Layout,
    accuracy,
    check_share,
    corrupted,
    cross_entropy,
)
from ohgw.training.optimizers import AdamW

WIDTH, LAYERS, HEADS, WINDOW = 16, 2, 2, 32
WARMUP_STEPS = 50.0  # at warmup_scale 1
NOISE = LAYERS * (HEADS * WINDOW * WINDOW, WINDOW * WIDTH, WINDOW * WIDTH)  # for one window


class CharLM(ClassificationTask):
    """Next-character prediction; the loss is in nats per character."""

    name = "charlm"
    min_resource = 1
    max_resource = 27
    batch_size = 2
    noise_per_example = sum(NOISE)

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        label_noise: float = 0.0,
        token_noise: float = 0.0,
    ):
        """`token_noise` corrupts training inputs, `label_noise` the characters to predict."""
        super().__init__(device, dtype, batch_size=batch_size, label_noise=label_noise)
        check_share(self.name, "token_noise", token_noise)
        self._options["token_noise"] = token_noise
        self.space = get_space("exp-2")
        text = resources.files("ohgw.tasks").joinpath("data/sonnets.txt").read_text("ascii")
        self.characters = "".join(sorted(set(text)))
        code = np.array([self.characters.index(c) for c in text])
        first, second = int(0.8 * len(code)), int(0.9 * len(code))
        parts = {"train": code[:first], "val": code[first:second], "test": code[second:]}
        windows = {split: _windows(part) for split, part in parts.items()}
        x, y = windows["train"]
        windows["train"] = corrupted(x, token_noise), corrupted(y, label_noise)
        self.data = {split: self._place(*pair) for split, pair in windows.items()}
        self.layout = Layout(_shapes(len(self.characters)))
        matrices = {name for name, shape in self.layout.shapes.items() if len(shape) == 2}
        decay = self.layout.mask(matrices - {"embedding", "position"})
        self.optimizer = AdamW(decay_mask=self._place(decay)[0], warmup_steps=WARMUP_STEPS)
        self._noise_sizes = [self.batch_size * n for n in NOISE]
        future = torch.full((WINDOW, WINDOW), -torch.inf).triu(1)
        self._future = self._place(future)[0]  # added to the scores

    def init(self, generator: torch.Generator) -> Tensor:
        # GPT-2: N(0, 0.02), projections into the residual stream divided by sqrt(2 layers)
        tensors = {}
        for name, shape in self.layout.shapes.items():
            kind = name.rstrip("0123456789")
            if kind.endswith("_scale"):
                tensors[name] = torch.ones(shape)
            elif kind.endswith("_bias"):
                tensors[name] = torch.zeros(shape)
            else:
                std = 0.02 / math.sqrt(2 * LAYERS) if kind.endswith("_out") else 0.02
                tensors[name] = torch.randn(shape, generator=generator) * std
        return self._place(self.layout.flatten(tensors))[0]

    def _forward(
        self,
        w: dict[str, Tensor],
        x: Tensor,
        hp: Mapping[str, Tensor],
        noise: Tensor | None,
    ) -> Tensor:
        # Tokens stay flat, (B T, C): a population then multiplies one matrix per lane, where
        # (B, T, C) would become B small products per lane, several times slower on a CPU.
        batch = x.shape[0]  # x (B, T) of character codes
        h = (w["embedding"][x] + w["position"]).reshape(-1, WIDTH)
        if noise is not None:
            attention_std = _dropout_std(hp["attention_dropout"])
            residual_std = _dropout_std(hp["residual_dropout"])
            pieces = list(torch.split_with_sizes(noise, self._noise_sizes))
        for layer in range(LAYERS):
            z = _norm(h, w[f"norm_scale{2 * layer}"], w[f"norm_bias{2 * layer}"])
            qkv = torch.addmm(w[f"qkv_bias{layer}"], z, w[f"qkv{layer}"])
            q, k, v = qkv.reshape(batch, WINDOW, 3, HEADS, -1).permute(2, 0, 3, 1, 4).unbind(0)
            scores = (q / math.sqrt(WIDTH // HEADS)) @ k.transpose(-1, -2)  # (B, H, T, T)
            weights = (scores + self._future).softmax(-1)
            if noise is not None:
                weights = _gaussian_dropout(weights, attention_std, pieces.pop(0))
            z = (weights @ v).transpose(1, 2).reshape(h.shape)
            z = torch.addmm(w[f"attention_bias{layer}"], z, w[f"attention_out{layer}"])
            if noise is not None:
                z = _gaussian_dropout(z, residual_std, pieces.pop(0))
            h = h + z
            z = _norm(h, w[f"norm_scale{2 * layer + 1}"], w[f"norm_bias{2 * layer + 1}"])
            z = torch.addmm(w[f"mlp_bias{layer}"], z, w[f"mlp_in{layer}"])
            z = torch.addmm(w[f"mlp_out_bias{layer}"], F.relu(z), w[f"mlp_out{layer}"])
            if noise is not None:
                z = _gaussian_dropout(z, residual_std, pieces.pop(0))
            h = h + z
        h = _norm(h, w["final_scale"], w["final_bias"])
        logits = h @ w["embedding"].transpose(-1, -2)  # the embedding is tied
        return logits.reshape(batch, WINDOW, -1)

    def logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return self._forward(weights, x, {}, None)

    def train_loss(
        self, theta: Tensor, batch: tuple[Tensor, ...], hp: Mapping[str, Tensor], noise: Tensor
    ) -> Tensor:
        x, y = batch
        logits = self._forward(self.layout.split(theta), x, hp, noise)
        return cross_entropy(logits, y, hp["label_smoothing"])

    def metrics(self, theta: Tensor, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        x, y = batch
        logits = self.logits(self.layout.split(theta), x)
        loss = cross_entropy(logits, y)
        return {
            "loss": loss,
            "accuracy": accuracy(logits, y, self.dtype),
            "bits_per_character": loss / math.log(2),
        }


def _windows(code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and next-character targets, each (windows, WINDOW)."""
    count = (len(code) - 1) // WINDOW
    used = count * WINDOW
    return code[:used].reshape(count, WINDOW), code[1 : used + 1].reshape(count, WINDOW)


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embedding": (vocabulary, WIDTH),
        "position": (WINDOW, WIDTH),
    }
    for layer in range(LAYERS):
        shapes |= {
            f"norm_scale{2 * layer}": (WIDTH,),
            f"norm_bias{2 * layer}": (WIDTH,),
            f"qkv{layer}": (WIDTH, 3 * WIDTH),
            f"qkv_bias{layer}": (3 * WIDTH,),
            f"attention_out{layer}": (WIDTH, WIDTH),
            f"attention_bias{layer}": (WIDTH,),
            f"norm_scale{2 * layer + 1}": (WIDTH,),
            f"norm_bias{2 * layer + 1}": (WIDTH,),
            f"mlp_in{layer}": (WIDTH, 4 * WIDTH),
            f"mlp_bias{layer}": (4 * WIDTH,),
            f"mlp_out{layer}": (4 * WIDTH, WIDTH),
            f"mlp_out_bias{layer}": (WIDTH,),
        }
    return shapes | {"final_scale": (WIDTH,), "final_bias": (WIDTH,)}


def _norm(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Layer normalisation over the last dimension (Ba et al. 2016)."""
    return F.layer_norm(x, x.shape[-1:]) * scale + bias


def _dropout_std(rate: Tensor) -> Tensor:
    """Deviation of the multiplicative noise that matches Bernoulli dropout at this rate."""
    return (rate / (1 - rate)).sqrt()


def _gaussian_dropout(x: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    # in this order no pass over the noise is needed in the backward pass
    return x * (1 + std * noise.reshape(x.shape))
