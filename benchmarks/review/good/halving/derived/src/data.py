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


@dataset("spirals")
def spirals(points: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Three interleaved arms that start at the origin."""
    y = rng.integers(3, size=points)
    radius = np.sqrt(rng.uniform(0.0, 1.0, size=points))
    angle = 7.0 * radius + 2 * np.pi * y / 3 + rng.normal(scale=0.35, size=points)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), y


def with_label_noise(split: Split, share: float, classes: int, rng: np.random.Generator) -> Split:
    """A share of the labels is drawn anew; the points stay."""
    replaced = rng.uniform(size=len(split.y)) < share
    drawn = rng.integers(classes, size=len(split.y))
    return Split(split.x, np.where(replaced, drawn, split.y))


def load_splits(config: DataConfig, seed: int) -> Splits:
    """60 / 20 / 20 of the configured data set; only labels for training are ever noisy."""
    rng = np.random.default_rng([seed, 1])
    x, y = DATASETS[config.name](config.points, rng)
    order = rng.permutation(len(x))
    first, second = int(0.6 * len(x)), int(0.8 * len(x))
    parts = order[:first], order[first:second], order[second:]
    mean, std = x[parts[0]].mean(axis=0), x[parts[0]].std(axis=0)
    train, val, test = (Split((x[part] - mean) / std, y[part]) for part in parts)
    classes = int(y.max()) + 1
    train = with_label_noise(train, config.label_noise, classes, rng)
    return Splits(train, val, test, classes)
