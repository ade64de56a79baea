"""`cifar10`: CIFAR-10 with ResNet-20, SGD with momentum, exp-1's space.

Data: Krizhevsky 2009, 32 x 32 colour photographs of ten classes; 45,000 train, 5,000 of the
official training images validate, the official 10,000 test. `examples` asks for so many training
images, equally many of each class; up to 10,000 of them, the subset `cifar10_14k.npz` serves where
the whole archive is not found. Neither is in this package.
Model: `_resnet`, 269,722 parameters at depth 20 and width 16.
Training: mini-batches of 128; images are shifted, mirrored, changed in colour and cut out.

Whatever evaluates normalises with statistics of training images under the very parameters that it
evaluates, which is right for averaged weights too, as no running average would be: those of eight
mini-batches for metrics (1,024 images; Wu & Johnson 2021 find 10^3 to 10^4 enough), of one for a
probe's look, whose cost is charged and whose models have taken a few steps of such mini-batches.
"""

import math
import pickle
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.core.errors import DataError, SettingError
from ohgw.core.space import get_space
from ohgw.tasks import _data
from ohgw.tasks._common import ClassificationTask, check_count, corrupted, cross_entropy
from ohgw.tasks._resnet import ResNet
from ohgw.training.optimizers import SGD

ARCHIVE = _data.Remote(
    file="cifar-10-python.tar.gz",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    megabytes=170.5,
)
SUBSET = "cifar10_14k.npz"
VALIDATION = 5_000  # of the official training images

# Mini-batches of training images whose statistics normalise:
METRICS_STATISTICS = 8
LOOK_STATISTICS = 1
CHUNK = 256  # images evaluated at a time; bounds memory

# All at full magnitude:
MAX_SHIFT = 4.0  # pixels: crops from an image padded by four
MAX_CUTOUT = 16.0  # pixels of a side (DeVries & Taylor 2017)
MAX_COLOUR = 0.4  # relative, of saturation and contrast; in standard deviations, of brightness
RAMP = 0.1  # share of images that are between mirrored and not


class Cifar10(ClassificationTask):
    """Colour photographs, ten classes."""

    name = "cifar10"
    small = "cifar10:depth=8:width=4:examples=2000:batch_size=32"
    bundled = False
    space = get_space("exp-1")
    optimizer = SGD()
    min_resource = 1
    max_resource = 81
    batch_size = 128
    noise_per_example = 9

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        label_noise: float = 0.0,
        depth: int = 20,
        width: int = 16,
        examples: int | None = None,
    ):
        """`depth` is 6n + 2; `examples` is the number of training images, by default all."""
        super().__init__(device, dtype, batch_size=batch_size, label_noise=label_noise)
        if not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
            raise SettingError(f"depth={depth!r} of {self.name!r} must be 6n + 2: 8, 14, 20 ...")
        check_count(self.name, "width", width)
        if examples is not None:
            check_count(self.name, "examples", examples)
        self._options |= {"depth": depth, "width": width, "examples": examples}
        self.net = ResNet(depth, width)
        self.layout = self.net.layout
        self._grid = torch.arange(32, device=self.device, dtype=dtype)

    def _read(self) -> dict[str, tuple[Tensor, ...]]:
        """Raises `DataError`, and `SettingError` for too many examples."""
        source = _source(self._options["examples"])
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
        }
        mean, std = (moment.reshape(3, 1, 1) for moment in _colour(x))
        return {
            split: (
                (self._pixels(images) - self._place(mean)[0]) / self._place(std)[0],
                torch.as_tensor(labels.astype(np.int64)).to(self.device),
            )
            for split, (images, labels) in parts.items()
        }

    def _pixels(self, images: np.ndarray) -> Tensor:
        """(n, 32, 32, 3) uint8 -> (n, 3, 32, 32) in the task's dtype."""
        pixels = torch.as_tensor(images).permute(0, 3, 1, 2)
        return pixels.to(self.device, self.dtype).contiguous()

    @property
    def source(self) -> str:
        """The file that the data come from."""
        return _source(self._options["examples"]).origin

    def init(self, generator: torch.Generator) -> Tensor:
        return self._place(self.net.init(generator))[0]

    def train_logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """Logits (B, 10) under the mini-batch's own statistics."""
        return self.net.logits(weights, x)

    def logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return self._evaluated(weights, x, METRICS_STATISTICS)

    def loss(self, theta: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
        x, y = batch
        return cross_entropy(self._evaluated(self.layout.split(theta), x, LOOK_STATISTICS), y)

    def _evaluated(self, weights: dict[str, Tensor], x: Tensor, statistics: int) -> Tensor:
        seen = self.data["train"][0][: statistics * self.batch_size]
        moments = self.net.moments(weights, seen)
        return torch.cat(
            [self.net.logits(weights, part, moments) for part in torch.split(x, CHUNK)]
        )

    def augment(self, x: Tensor, hp: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        """Shift, mirror, colour and cutout, each in proportion to the magnitude.

        Normal numbers become uniform ones on (-1, 1). Everything is a product of tensors, with
        derivatives of every order that an estimator needs. Zero is the mean colour.
        """
        magnitude = hp["augmentation"]
        uniform = torch.erf(noise.reshape(9, -1) / math.sqrt(2))  # each row (B,)
        down, right, mirror, grey, contrast, brightness, size, above, left = uniform
        rows = self._shift(magnitude * MAX_SHIFT * down)
        columns = self._shift(magnitude * MAX_SHIFT * right)
        x = rows @ x @ columns.transpose(-1, -2)
        # Half of the images are mirrored at full magnitude. Which ones is a step function of the
        # magnitude, without a slope; a ramp gives the mean over images the slope that it has.
        chance = (mirror + 1) / 2  # uniform on (0, 1)
        share = ((magnitude / 2 - chance) / RAMP).clamp(0, 1)
        x = x + _each(share) * (x.flip(-1) - x)
        mean = x.mean(1, keepdim=True)
        x = mean + _each(1 + magnitude * MAX_COLOUR * grey) * (x - mean)
        x = _each(1 + magnitude * MAX_COLOUR * contrast) * x
        x = x + _each(magnitude * MAX_COLOUR * brightness)
        half = magnitude * MAX_CUTOUT / 2 * size.abs()
        hidden = self._covered(above, half)[:, :, None] * self._covered(left, half)[:, None, :]
        return x * (1 - hidden.unsqueeze(1))

    def _shift(self, shift: Tensor) -> Tensor:
        """Linear interpolation weights (B, 1, 32, 32): output position by input position."""
        source = self._grid + shift[:, None]
        return F.relu(1 - (source[:, :, None] - self._grid).abs()).unsqueeze(1)

    def _covered(self, where: Tensor, half: Tensor) -> Tensor:
        """Share of each pixel (B, 32) inside an interval around `where`, on (-1, 1)."""
        centre = (15.5 + 16 * where)[:, None]
        high = torch.minimum(self._grid + 0.5, centre + half[:, None])
        low = torch.maximum(self._grid - 0.5, centre - half[:, None])
        return F.relu(high - low)


def _colour(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel, (3,) each; by counts, which need no copy as floats."""
    values = np.arange(256)
    counts = [np.bincount(images[..., c].reshape(-1), minlength=256) for c in range(3)]
    mean = np.array([np.average(values, weights=count) for count in counts])
    square = np.array([np.average(values**2, weights=count) for count in counts])
    return mean, np.sqrt(square - mean**2)


def _each(value: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1)."""
    return value[:, None, None, None]


class Source(NamedTuple):
    """Images (n, 32, 32, 3) uint8 and labels (n,) uint8, the classes taking turns."""

    origin: str
    train: tuple[np.ndarray, np.ndarray]
    val: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def _source(examples: int | None) -> Source:
    """The official archive, or the subset where that is found alone and is large enough."""
    subset, remark = _data.find(SUBSET), ""
    if subset is not None and _data.find(ARCHIVE.file) is None:
        found = _from_subset(subset)
        if examples is not None and examples <= len(found.train[0]):
            return found
        remark = f"{subset} serves up to {len(found.train[0])}: cifar10:examples=N."
    return _from_archive(_data.obtain(ARCHIVE, remark))


@cache
def _from_subset(path: Path) -> Source:
    try:
        with np.load(path) as file:
            train, val, test = (
                _turns(file[f"x_{split}"], file[f"y_{split}"]) for split in ("train", "val", "test")
            )
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Remove or replace it.") from None
    return Source(path.name, train, val, test)


@cache
def _from_archive(path: Path) -> Source:
    with tarfile.open(path) as archive:

        def batch(name: str) -> tuple[np.ndarray, np.ndarray]:
            member = archive.extractfile(f"cifar-10-batches-py/{name}")
            assert member is not None
            # A pickle runs what it says; `obtain` has seen that it is the published one.
            content = pickle.load(member, encoding="bytes")
            images = np.asarray(content[b"data"]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            return images, np.asarray(content[b"labels"], np.uint8)

        parts = [batch(f"data_batch_{k}") for k in range(1, 6)]
        x, y = _turns(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        test = _turns(*batch("test_batch"))
    cut = len(x) - len(x) * VALIDATION // 50_000
    return Source(path.name, (x[:cut], y[:cut]), (x[cut:], y[cut:]), test)


def _turns(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In an order where classes take turns, so that every part from the start is stratified."""
    rank = np.zeros(len(y), np.int64)
    for label in np.unique(y):
        rank[y == label] = np.arange((y == label).sum())
    order = np.lexsort((y, rank))
    return x[order], y[order]
