"""`ft-transformer`: a table with the FT-Transformer, AdamW, exp-2's space.

Data: `_tables`, as `tabular`.
Model: `_network`; 914,882 parameters on Adult with the authors' defaults.
Training: mini-batches of 256; linear warm-up over 1 % of a whole training at scale 1, and then a
constant learning rate, as the authors'; Gaussian dropout.
"""

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from ohgw.core.space import get_space
from ohgw.tasks._attention import MAX_NOISE
from ohgw.tasks._common import check_count
from ohgw.tasks.tabular._network import FTTransformer
from ohgw.tasks.tabular._table_task import TableTask
from ohgw.training.optimizers import AdamW

WARMUP_SHARE = 0.01  # of a whole training, at warmup_scale 1
CHUNK = 512  # rows evaluated at a time; bounds memory


class FTTransformerTask(TableTask):
    """Tables as tabular's, by attention among features."""

    name = "ft-transformer"
    small = "ft-transformer:data=magic:layers=2:width=16:heads=2:examples=2000:batch_size=16"
    space = get_space("exp-2")
    min_resource = 1
    max_resource = 27
    batch_size = 256

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        label_noise: float = 0.0,
        data: str | int = "adult",
        examples: int | None = None,
        layers: int = 3,
        width: int = 192,
        heads: int = 8,
    ):
        """`examples` is the number of training rows, by default all."""
        sizes = {"layers": layers, "width": width, "heads": heads}
        for option, value in sizes.items():
            check_count(self.name, option, value)
        super().__init__(
            device,
            dtype,
            batch_size=batch_size,
            label_noise=label_noise,
            data=data,
            examples=examples,
            **sizes,
        )
        self.net = FTTransformer(
            self.table.numbers, self.table.categories, self.outputs, **sizes, hidden=width * 4 // 3
        )
        self.layout = self.net.layout
        self.noise_per_example = sum(self.net.noise)
        self.noise_size = min(self.batch_size * self.noise_per_example, MAX_NOISE)

    @cached_property
    def optimizer(self) -> AdamW:
        return AdamW(
            decay_mask=self._place(self.layout.mask(self.net.decayed))[0],
            warmup_steps=WARMUP_SHARE * self.max_resource * self.steps_per_epoch,
        )

    def init(self, generator: torch.Generator) -> Tensor:
        return self._place(self.net.init(generator))[0]

    def logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        parts = torch.split(x, CHUNK)
        return torch.cat([self.net.logits(weights, part, {}, None) for part in parts])

    def _noisy_logits(
        self, weights: dict[str, Tensor], x: Tensor, hp: Mapping[str, Tensor], noise: Tensor
    ) -> Tensor:
        return self.net.logits(weights, x, hp, noise)
