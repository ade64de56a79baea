"""Networks for images of 8 x 8 pixels."""

from typing import Any

from torch import nn


class LinearModel(nn.Module):
    def __init__(self, classes: int):
        super().__init__()
        self.layer = nn.Linear(64, classes)

    def forward(self, x):
        return self.layer(x.flatten(1))


class SmallCnn(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Linear(8 * channels, classes)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def get_model(config: dict[str, Any], classes: int) -> nn.Module:
    """The configured network with weights from torch's global generator."""
    if config["name"] == "linear":
        return LinearModel(classes)
    if config["name"] == "cnn":
        return SmallCnn(config["channels"], classes)
    raise ValueError(f"unknown model {config['name']!r}")
