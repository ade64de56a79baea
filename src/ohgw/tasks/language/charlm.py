"""`charlm`: a character language model on Shakespeare's sonnets, AdamW, exp-2's space.

Data: the 154 sonnets (1609, public domain), which ship with the package; the first 80 % of the
characters train, the next 10 % validate, the last 10 % test, each cut into windows.
Model: `_transformer` with ReLU, which costs a small model less than GELU: two layers of width 16
with two heads on windows of 32 characters.
Training: AdamW with linear warm-up, mini-batches of 2 windows, Gaussian dropout.
"""

import math
from functools import cached_property
from importlib import resources

import numpy as np
import torch
from torch import Tensor

from ohgw.core.space import get_space
from ohgw.tasks._common import accuracy, check_share, corrupted, cross_entropy
from ohgw.tasks.language._transformer import LanguageTask, Transformer, windows
from ohgw.training.optimizers import AdamW

WIDTH, LAYERS, HEADS, WINDOW = 16, 2, 2, 32
WARMUP_STEPS = 50.0  # at warmup_scale 1


class CharLM(LanguageTask):
    """Next-character prediction; the loss is in nats per character."""

    name = small = "charlm"
    space = get_space("exp-2")
    min_resource = 1
    max_resource = 27
    batch_size = 2

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
        text = resources.files("ohgw.tasks").joinpath("data/sonnets.txt").read_text("ascii")
        self.characters = "".join(sorted(set(text)))
        code = np.array([self.characters.index(c) for c in text])
        first, second = int(0.8 * len(code)), int(0.9 * len(code))
        parts = {"train": code[:first], "val": code[first:second], "test": code[second:]}
        cut = {split: windows(part, WINDOW) for split, part in parts.items()}
        x, y = cut["train"]
        cut["train"] = corrupted(x, token_noise), corrupted(y, label_noise)
        self.data = {split: self._place(*pair) for split, pair in cut.items()}
        self._build(Transformer(len(self.characters), WIDTH, LAYERS, HEADS, WINDOW, "relu"))

    @cached_property
    def optimizer(self) -> AdamW:
        return AdamW(decay_mask=self._decay_mask(), warmup_steps=WARMUP_STEPS)

    def metrics(self, theta: Tensor, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        x, y = batch
        logits = self.logits(self.layout.split(theta), x)
        loss = cross_entropy(logits, y)
        return {
            "loss": loss,
            "accuracy": accuracy(logits, y, self.dtype),
            "bits_per_character": loss / math.log(2),
        }
