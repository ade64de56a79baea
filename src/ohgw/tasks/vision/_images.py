"""Images with class labels: what tasks on them share.

A subclass says where the images are (`_find`) and what the model is. Classes take turns in every
split, so that every part from the start, which is what `examples` asks for, is stratified.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ohgw.core.errors import DataError, SettingError
from ohgw.core.space import get_space
from ohgw.tasks._common import ClassificationTask, check_count, corrupted
from ohgw.tasks.vision._augment import NOISE, augmented
from ohgw.training.optimizers import SGD

CHUNK = 256  # images evaluated at a time; bounds memory

Split = tuple[np.ndarray, np.ndarray]


class Source(NamedTuple):
    """Images (n, S, S, channels) uint8 and labels (n,) uint8, the classes taking turns."""

    origin: str
    train: Split
    val: Split
    test: Split


class ImageTask(ClassificationTask):
    """Base of tasks on images, trained with SGD over exp-1's space; `examples` is an option.

    Images are standardised with the mean and the deviation of the training images' channels.
    """

    bundled = False
    space = get_space("exp-1")
    optimizer = SGD()
    noise_per_example = NOISE

    def __init__(
        self,
        device: str | torch.device,
        dtype: torch.dtype,
        *,
        batch_size: int | None,
        label_noise: float,
        examples: int | None,
        **own: Any,
    ):
        """`own` are a subclass's options, which it has checked."""
        super().__init__(device, dtype, batch_size=batch_size, label_noise=label_noise)
        if examples is not None:
            check_count(self.name, "examples", examples)
        self._options |= {"examples": examples, **own}

    def _find(self, examples: int | None) -> Source:
        """Where the images are, for so many training images; raises `DataError`."""
        raise NotImplementedError

    @property
    def source(self) -> str:
        """The file that the data come from."""
        return self._find(self._options["examples"]).origin

    def _read(self) -> dict[str, tuple[Tensor, ...]]:
        """Raises `DataError`, and `SettingError` for too many examples."""
        source = self._find(self._options["examples"])
        x, y = source.train
        count = len(x) if self._options["examples"] is None else self._options["examples"]
        if count > len(x):
            raise SettingError(
                f"examples={count} of {self.name!r}: {source.origin} has {len(x)} training images."
            )
        x, y = x[:count], y[:count]
        few = max(count // 2, self.batch_size)  # a score should not cost more than an epoch
        parts = {
            "train": (x, corrupted(y, self._options["label_noise"])),
            "val": (source.val[0][:few], source.val[1][:few]),
            "test": source.test,
            **self._further(source.test),
        }
        mean, std = (self._place(moment.reshape(-1, 1, 1))[0] for moment in colour(x))
        return {
            split: (
                (self._pixels(images) - mean) / std,
                torch.as_tensor(labels.astype(np.int64)).to(self.device),
            )
            for split, (images, labels) in parts.items()
        }

    def _further(self, test: Split) -> dict[str, Split]:
        """Splits to evaluate on beside the test split."""
        return {}

    def _pixels(self, images: np.ndarray) -> Tensor:
        """(n, S, S, channels) uint8 -> (n, channels, S, S) in the task's dtype."""
        pixels = torch.as_tensor(images).permute(0, 3, 1, 2)
        return pixels.to(self.device, self.dtype).contiguous()

    def augment(self, x: Tensor, hp: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        return augmented(x, hp["augmentation"], noise)


def read_npz(path: Path, *splits: str) -> list[Split]:
    """Arrays `x_*` and `y_*` of a file, the classes taking turns. Raises `DataError`."""
    try:
        with np.load(path) as file:
            return [turns(file[f"x_{split}"], file[f"y_{split}"]) for split in splits]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Remove or replace it.") from None


def hold_out(train: Split, count: int) -> tuple[Split, Split]:
    """All but the last `count`, and those."""
    (x, y), cut = train, len(train[0]) - count
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def turns(x: np.ndarray, y: np.ndarray) -> Split:
    """In an order where classes take turns."""
    order = turn_order(y)
    return x[order], y[order]


def turn_order(y: np.ndarray) -> np.ndarray:
    """Positions (n,) in an order where classes take turns."""
    rank = np.zeros(len(y), np.int64)
    for label in np.unique(y):
        rank[y == label] = np.arange((y == label).sum())
    return np.lexsort((y, rank))


def colour(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel, (channels,); by counts, which need no copy as floats."""
    values = np.arange(256)
    channels = range(images.shape[-1])
    counts = [np.bincount(images[..., c].reshape(-1), minlength=256) for c in channels]
    mean = np.array([np.average(values, weights=count) for count in counts])
    square = np.array([np.average(values**2, weights=count) for count in counts])
    return mean, np.sqrt(square - mean**2)
