"""Data sets as three splits of tensors."""

from dataclasses import dataclass
from typing import Any

import torch
from sklearn.datasets import load_digits


@dataclass
class Data:
    """Inputs and labels of each split."""

    train: tuple[torch.Tensor, torch.Tensor]
    val: tuple[torch.Tensor, torch.Tensor]
    test: tuple[torch.Tensor, torch.Tensor]
    classes: int


def make_synthetic(points: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy copies of ten random images, to try things out with."""
    centres = torch.randn(10, 1, 8, 8, generator=generator)
    y = torch.randint(10, (points,), generator=generator)
    return centres[y] + 0.5 * torch.randn(points, 1, 8, 8, generator=generator), y


def load_dataset(config: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """All images, (n, 1, 8, 8), and their labels."""
    if config["name"] == "synthetic":
        return make_synthetic(config["points"], torch.Generator().manual_seed(0))
    if config["name"] == "digits":
        images, labels = load_digits().images, load_digits().target
        return torch.from_numpy(images).float()[:, None], torch.from_numpy(labels).long()
    raise ValueError(f"unknown data set {config['name']!r}")


def get_data(config: dict[str, Any], seed: int) -> Data:
    """60 / 20 / 20, drawn with the seed, standardised by the training split."""
    x, y = load_dataset(config)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    x, y = x[order], y[order]
    a, b = int(0.6 * len(x)), int(0.8 * len(x))
    mean, std = x[:a].mean(), x[:a].std()
    x = (x - mean) / std
    return Data((x[:a], y[:a]), (x[a:b], y[a:b]), (x[b:], y[b:]), int(y.max()) + 1)
