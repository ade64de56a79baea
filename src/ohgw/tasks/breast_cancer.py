"""`breast-cancer`: scikit-learn's Wisconsin diagnostic table (569 x 30) with an MLP, exp-1's space.

Data: UCI 'Breast Cancer Wisconsin (Diagnostic)', as bundled with scikit-learn; standardised with
the training split's mean and deviation.
Model: linear 30 -> 32 -> 16 -> 2 with ReLU; 1,554 parameters.
Training: SGD with momentum, mini-batches of 8; augmentation adds Gaussian noise to the features.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.core.space import get_space
from ohgw.tasks._common import (
    ClassificationTask,
    Layout,
    corrupted,
    split_60_20_20,
    uniform_fan_in,
)
from ohgw.training.optimizers import SGD

MAX_JITTER = 0.5  # standard deviations of a feature at full magnitude


class BreastCancer(ClassificationTask):
    """Benign or malignant, from 30 measurements of cell nuclei."""

    name = small = "breast-cancer"
    space = get_space("exp-1")
    optimizer = SGD()
    # An epoch has 42 steps only; from two epochs on, a rung says something and a probe of one
    # mini-batch stays cheap beside it.
    min_resource = 2
    max_resource = 54
    batch_size = 8
    noise_per_example = 30
    layout = Layout(
        {
            "linear1": (30, 32),
            "bias1": (32,),
            "linear2": (32, 16),
            "bias2": (16,),
            "linear3": (16, 2),
            "bias3": (2,),
        }
    )

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        label_noise: float = 0.0,
    ):
        from sklearn.datasets import load_breast_cancer  # takes a second to import

        super().__init__(device, dtype, batch_size=batch_size, label_noise=label_noise)
        splits = split_60_20_20(*load_breast_cancer(return_X_y=True))
        rows, labels = splits["train"]
        splits["train"] = rows, corrupted(labels, label_noise)
        mean, std = rows.mean(0), rows.std(0)
        self.data = {
            split: self._place((rows - mean) / std, labels)
            for split, (rows, labels) in splits.items()
        }

    def init(self, generator: torch.Generator) -> Tensor:
        fan_in = {"1": 30, "2": 32, "3": 16}
        theta = uniform_fan_in(
            self.layout, {name: fan_in[name[-1]] for name in self.layout.shapes}, generator
        )
        return self._place(theta)[0]

    def logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        h = F.relu(x @ weights["linear1"] + weights["bias1"])
        h = F.relu(h @ weights["linear2"] + weights["bias2"])
        return h @ weights["linear3"] + weights["bias3"]

    def augment(self, x: Tensor, hp: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        return x + hp["augmentation"] * MAX_JITTER * noise.reshape(x.shape)
