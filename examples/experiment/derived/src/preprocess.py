"""Data of the experiment: three splits of tensors."""

import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import train_test_split
from torch import Tensor

Split = tuple[Tensor, Tensor]


def load_data(cfg: dict) -> dict[str, Split]:
    """Splits `train`, `val` and `test` of the configured data set."""
    name = cfg["name"]
    if name == "iris":
        x, y = load_iris(return_X_y=True)
    elif name == "digits":
        x, y = load_digits(return_X_y=True)
    else:
        raise ValueError(f"Unknown data set {name!r}.")
    return split(x, y, cfg["split_seed"])


def split(x, y, seed: int) -> dict[str, Split]:
    """60 / 20 / 20, inputs standardised by the training part."""
    x_rest, x_test, y_rest, y_test = train_test_split(
        x, y, test_size=0.2, random_state=seed, stratify=y
    )
    x_train, x_val, y_train, y_val = train_test_split(
        x_rest, y_rest, test_size=0.25, random_state=seed, stratify=y_rest
    )
    mean, std = x_train.mean(0), x_train.std(0)
    std[std == 0] = 1.0  # a pixel that never changes in training may change elsewhere
    parts = {"train": (x_train, y_train), "val": (x_val, y_val), "test": (x_test, y_test)}
    return {
        name: (torch.as_tensor((a - mean) / std).float(), torch.as_tensor(b).long())
        for name, (a, b) in parts.items()
    }
