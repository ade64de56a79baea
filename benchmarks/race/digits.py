"""scikit-learn's handwritten digits with a small CNN, as a user would write it.

The same data, splits, model, augmentation, optimiser and space as the task `digits`.
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
MIN_EPOCHS, MAX_EPOCHS = 1, 27
BATCH_SIZE = 8
NOISE = 4  # numbers per example and step
MAX_SHIFT, MAX_ZOOM, MAX_CONTRAST = 1.5, 0.15, 0.3  # pixels, relative, relative


def load() -> Data:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 1, 8, 8) / 16.0
    x_train, x_rest, y_train, y_rest = train_test_split(
        x, y, test_size=0.4, random_state=0, stratify=y
    )
    x_val, x_test, y_val, y_test = train_test_split(
        x_rest, y_rest, test_size=0.5, random_state=0, stratify=y_rest
    )
    mean, std = x_train.mean(), x_train.std()
    splits = {"train": (x_train, y_train), "val": (x_val, y_val), "test": (x_test, y_test)}
    return {
        name: (torch.tensor((x - mean) / std, dtype=torch.float32), torch.tensor(y))
        for name, (x, y) in splits.items()
    }


class DigitsNet(nn.Module):
    """The CNN; in training its images are shifted, zoomed and changed in contrast."""

    def __init__(self, magnitude: float, background: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.linear3 = nn.Linear(256, 32)
        self.linear4 = nn.Linear(32, 10)
        self.magnitude, self.background = magnitude, background

    def augment(self, x: Tensor, noise: Tensor) -> Tensor:
        """Affine resampling by torch's own `grid_sample`; what lies outside is background."""
        down, right, zoom, contrast = torch.tanh(noise.reshape(4, -1)).unbind()
        scale = 1 + self.magnitude * MAX_ZOOM * zoom
        shift = self.magnitude * MAX_SHIFT * 2 / (x.shape[-1] - 1)  # the grid is [-1, 1]
        zero = torch.zeros_like(scale)
        affine = torch.stack([scale, zero, shift * right, zero, scale, shift * down], dim=1)
        grid = F.affine_grid(affine.reshape(-1, 2, 3), list(x.shape), align_corners=True)
        moved = F.grid_sample(x - self.background, grid, align_corners=True)
        gain = 1 + self.magnitude * MAX_CONTRAST * contrast
        return moved * gain[:, None, None, None] + self.background

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        if noise is not None:
            x = self.augment(x, noise)
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x)).flatten(1)
        logits: Tensor = self.linear4(F.relu(self.linear3(x)))
        return logits


def make_net(hp: Mapping[str, float], data: Data) -> DigitsNet:
    return DigitsNet(hp["augmentation"], float(data["train"][0].min()))


def make_optimizer(net: nn.Module, hp: Mapping[str, float]) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        net.parameters(), hp["learning_rate"], hp["momentum"], weight_decay=hp["weight_decay"]
    )


def make_schedule(
    optimizer: torch.optim.Optimizer, hp: Mapping[str, float]
) -> torch.optim.lr_scheduler.LRScheduler | None:
    return None
