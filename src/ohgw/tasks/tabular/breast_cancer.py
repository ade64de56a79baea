"""`breast-cancer`: scikit-learn's Wisconsin diagnostic table (569 x 30) with an MLP, exp-1's space.

Data: UCI 'Breast Cancer Wisconsin (Diagnostic)', as bundled with scikit-learn; standardised with
the training split's mean and deviation.
Model: linear 30 -> 32 -> 16 -> 2 with ReLU; 1,554 parameters. Width and activation are options.
Training: SGD with momentum, mini-batches of 8; augmentation adds Gaussian noise to the features.
`space=mixed` also searches over width, activation and batch size.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.space import Categorical, get_space
from ohgw.tasks._common import Layout, bundled, corrupted, uniform_fan_in
from ohgw.tasks.tabular._mixed import CONTINUOUS, MixableTask
from ohgw.training.optimizers import SGD

MAX_JITTER = 0.5  # standard deviations of a feature at full magnitude
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
}


class BreastCancer(MixableTask):
    """Benign or malignant, from 30 measurements of cell nuclei."""

    name = small = "breast-cancer"
    space = get_space("exp-1")
    choices: ClassVar = {
        "width": Categorical((16, 32, 64)),
        "activation": Categorical(tuple(ACTIVATIONS)),
        "batch_size": Categorical((8, 16, 32)),
    }
    optimizer = SGD()
    # An epoch has 42 steps only; from two epochs on, a rung says something and a probe of one
    # mini-batch stays cheap beside it.
    min_resource = 2
    max_resource = 54
    batch_size = 8
    noise_per_example = 30

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        label_noise: float = 0.0,
        width: int = 32,
        activation: str = "relu",
        space: str = CONTINUOUS,
    ):
        """`width` is that of the first hidden layer; the second has half of it."""
        super().__init__(device, dtype, batch_size=batch_size, label_noise=label_noise)
        if not isinstance(width, int) or width < 2 or width % 2:
            raise SettingError(f"width={width!r} of task {self.name!r} must be even, from 2.")
        if activation not in ACTIVATIONS:
            raise UnknownNameError(f"activation of task {self.name!r}", activation, ACTIVATIONS)
        self.width, self.activation = width, activation
        self._options |= {"width": width, "activation": activation}
        self._activate = ACTIVATIONS[activation]
        self.layout = Layout(
            {
                "linear1": (30, width),
                "bias1": (width,),
                "linear2": (width, width // 2),
                "bias2": (width // 2,),
                "linear3": (width // 2, 2),
                "bias3": (2,),
            }
        )
        self._mix(space)

    def _read(self) -> dict[str, tuple[Tensor, ...]]:
        splits = bundled(self.name)
        rows, labels = splits["train"]
        splits["train"] = rows, corrupted(labels, self._options["label_noise"])
        mean, std = rows.mean(0), rows.std(0)
        return {
            split: self._place((rows - mean) / std, labels)
            for split, (rows, labels) in splits.items()
        }

    def init(self, generator: torch.Generator) -> Tensor:
        fan_in = {"1": 30, "2": self.width, "3": self.width // 2}
        theta = uniform_fan_in(
            self.layout, {name: fan_in[name[-1]] for name in self.layout.shapes}, generator
        )
        return self._place(theta)[0]

    def logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        h = self._activate(x @ weights["linear1"] + weights["bias1"])
        h = self._activate(h @ weights["linear2"] + weights["bias2"])
        return h @ weights["linear3"] + weights["bias3"]

    def augment(self, x: Tensor, hp: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        return x + hp["augmentation"] * MAX_JITTER * noise.reshape(x.shape)
