"""`tabular`: a table with a multilayer perceptron, SGD with momentum, exp-1's space.

Data: `_tables`, by default Adult (Kohavi 1996); `data` names another or is an OpenML id. None is
in this package.
Model: linear layers with ReLU on numbers and indicators, of which the first is an embedding of
every category; 30,338 parameters on Adult at two hidden layers of width 128.
Training: mini-batches of 128; augmentation adds Gaussian noise to each column in proportion to its
deviation.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.core.space import get_space
from ohgw.tasks._common import Layout, check_count, uniform_fan_in
from ohgw.tasks.tabular._table_task import TableTask
from ohgw.training.optimizers import SGD

MAX_JITTER = 0.5  # deviations of a column at full magnitude


class Tabular(TableTask):
    """Tables of numbers and categories; classes or a number to predict."""

    name = "tabular"
    small = "tabular:data=letter:width=32:examples=2000:batch_size=16"
    space = get_space("exp-1")
    optimizer = SGD()
    min_resource = 1
    max_resource = 27
    batch_size = 128

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        label_noise: float = 0.0,
        data: str | int = "adult",
        examples: int | None = None,
        width: int = 128,
        layers: int = 2,
    ):
        """`layers` are hidden ones; `examples` is the number of training rows, by default all."""
        check_count(self.name, "width", width)
        check_count(self.name, "layers", layers)
        super().__init__(
            device,
            dtype,
            batch_size=batch_size,
            label_noise=label_noise,
            data=data,
            examples=examples,
            width=width,
            layers=layers,
        )
        columns = len(self.table.deviation)
        self.noise_per_example = columns
        self.noise_size = self.batch_size * columns
        self._deviation = self._place(self.table.deviation)[0]
        self._sizes = [columns, *[width] * layers, self.outputs]
        shapes: dict[str, tuple[int, ...]] = {}
        for k, (inside, outside) in enumerate(pairwise(self._sizes)):
            shapes |= {f"linear{k}": (inside, outside), f"bias{k}": (outside,)}
        self.layout = Layout(shapes)

    def init(self, generator: torch.Generator) -> Tensor:
        fan_in = {
            f"{part}{k}": size for k, size in enumerate(self._sizes) for part in ("linear", "bias")
        }
        return self._place(uniform_fan_in(self.layout, fan_in, generator))[0]

    def logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        last = len(self._sizes) - 2
        for k in range(last):
            x = F.relu(x @ weights[f"linear{k}"] + weights[f"bias{k}"])
        return x @ weights[f"linear{last}"] + weights[f"bias{last}"]

    def _noisy_logits(
        self, weights: dict[str, Tensor], x: Tensor, hp: Mapping[str, Tensor], noise: Tensor
    ) -> Tensor:
        return self.logits(weights, self.augment(x, hp, noise))

    def augment(self, x: Tensor, hp: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        return x + hp["augmentation"] * MAX_JITTER * self._deviation * noise.reshape(x.shape)
