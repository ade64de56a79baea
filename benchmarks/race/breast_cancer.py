"""scikit-learn's Wisconsin table with an MLP, as a user would write it.

The same data, splits, model, augmentation, optimiser and space as the task `breast-cancer`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Data = dict[str, tuple[Tensor, Tensor]]

SPACE = {  # low, high, logarithmic
    "learning_rate": (1e-4, 1.0, True),
    "weight_decay": (1e-6, 1e-2, True),
    "momentum": (0.0, 0.99, False),
    "augmentation": (0.0, 1.0, False),
    "label_smoothing": (0.0, 0.3, False),
}
MIN_EPOCHS, MAX_EPOCHS = 2, 54
BATCH_SIZE = 8
NOISE = 30  # numbers per example and step
MAX_JITTER = 0.5  # standard deviations of a feature


def load() -> Data:
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_rest, y_train, y_rest = train_test_split(
        x, y, test_size=0.4, random_state=0, stratify=y
    )
    x_val, x_test, y_val, y_test = train_test_split(
        x_rest, y_rest, test_size=0.5, random_state=0, stratify=y_rest
    )
    mean, std = x_train.mean(0), x_train.std(0)
    splits = {"train": (x_train, y_train), "val": (x_val, y_val), "test": (x_test, y_test)}
    return {
        name: (torch.tensor((x - mean) / std, dtype=torch.float32), torch.tensor(y))
        for name, (x, y) in splits.items()
    }


class BreastCancerNet(nn.Module):
    """The MLP; in training its features carry noise."""

    def __init__(self, magnitude: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(30, 32)
        self.linear2 = nn.Linear(32, 16)
        self.linear3 = nn.Linear(16, 2)
        self.jitter = magnitude * MAX_JITTER

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        if noise is not None:
            x = x + self.jitter * noise.reshape(x.shape)
        logits: Tensor = self.linear3(F.relu(self.linear2(F.relu(self.linear1(x)))))
        return logits


def make_net(hp: Mapping[str, float], data: Data) -> BreastCancerNet:
    return BreastCancerNet(hp["augmentation"])


def make_optimizer(net: nn.Module, hp: Mapping[str, float]) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        net.parameters(), hp["learning_rate"], hp["momentum"], weight_decay=hp["weight_decay"]
    )


def make_schedule(
    optimizer: torch.optim.Optimizer, hp: Mapping[str, float]
) -> torch.optim.lr_scheduler.LRScheduler | None:
    return None
