"""Data sets by name; every one gives three splits, standardised by the training part."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from src.config import DataConfig

Generator = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
DATASETS: dict[str, Generator] = {}


class Split(NamedTuple):
    x: np.ndarray
    y: np.ndarray


class Splits(NamedTuple):
    train: Split
    val: Split
    test: Split
    classes: int


def dataset(name: str) -> Callable[[Generator], Generator]:
    """Register a generator of points and labels."""

    def register(generator: Generator) -> Generator:
        DATASETS[name] = generator
        return generator

    return register


@dataset("blobs")
def blobs(points: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Three Gaussian clouds."""
    y = rng.integers(3, size=points)
    angles = 2 * np.pi * y / 3
    centres = 2.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return centres + rng.normal(size=(points, 2)), y


def load_splits(config: DataConfig, seed: int) -> Splits:
    """60 / 20 / 20 of the configured data set."""
    rng = np.random.default_rng([seed, 1])
    x, y = DATASETS[config.name](config.points, rng)
    order = rng.permutation(len(x))
    first, second = int(0.6 * len(x)), int(0.8 * len(x))
    parts = order[:first], order[first:second], order[second:]
    mean, std = x[parts[0]].mean(axis=0), x[parts[0]].std(axis=0)
    train, val, test = (Split((x[part] - mean) / std, y[part]) for part in parts)
    return Splits(train, val, test, int(y.max()) + 1)
