"""CIFAR-10 and CIFAR-100: the residual network of `_resnet` on 32 x 32 photographs.

Whatever evaluates normalises with statistics of training images under the very parameters that it
evaluates, which is right for averaged weights too, as no running average would be: those of eight
mini-batches for metrics (1,024 images; Wu & Johnson 2021 find 10^3 to 10^4 enough), of one for a
probe's look, whose cost is charged and whose models have taken a few steps of such mini-batches.
"""

import pickle
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ohgw.core.errors import SettingError
from ohgw.tasks import _data
from ohgw.tasks._common import check_count, cross_entropy
from ohgw.tasks._corruptions import CORRUPTIONS, SEVERITIES, corrupt
from ohgw.tasks._images import CHUNK, ImageTask, Source, Split, hold_out, read_npz, turns
from ohgw.tasks._resnet import ResNet

VALIDATION = 5_000  # of the official training images
CORRUPTED = 500  # test images that corruptions are tried on

# Mini-batches of training images whose statistics normalise:
METRICS_STATISTICS = 8
LOOK_STATISTICS = 1


class CifarTask(ImageTask):
    """Base of the two: a subclass names the classes, the archive's parts, and the subset."""

    classes: int
    archive: _data.Remote
    members: tuple[tuple[str, ...], tuple[str, ...]]
    """Files of the archive with training images, and with test images."""
    labels: bytes
    """What the archive's files call the labels."""
    subset: str
    """A file with fewer images, `x_train`, `y_train` and so on."""
    min_resource = 1
    max_resource = 81
    batch_size = 128

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
        corruptions: bool = False,
    ):
        """`depth` is 6n + 2; `examples` is the number of training images, by default all.

        With `corruptions`, a search's best model is also scored on corrupted test images.
        """
        if not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
            raise SettingError(f"depth={depth!r} of {self.name!r} must be 6n + 2: 8, 14, 20 ...")
        check_count(self.name, "width", width)
        if not isinstance(corruptions, bool):
            raise SettingError(
                f"corruptions={corruptions!r} of {self.name!r} must be true or false."
            )
        super().__init__(
            device,
            dtype,
            batch_size=batch_size,
            label_noise=label_noise,
            examples=examples,
            depth=depth,
            width=width,
            corruptions=corruptions,
        )
        self.net = ResNet(depth, width, classes=self.classes)
        self.layout = self.net.layout

    def _find(self, examples: int | None) -> Source:
        """The official archive, or the subset where that is found alone and is large enough."""
        subset, remark = _data.find(self.subset), ""
        if subset is not None and _data.find(self.archive.file) is None:
            found = _from_subset(subset)
            if examples is not None and examples <= len(found.train[0]):
                return found
            remark = f"{subset} serves up to {len(found.train[0])}: {self.name}:examples=N."
        return _from_archive(_data.obtain(self.archive, remark), self.members, self.labels)

    def _further(self, test: Split) -> dict[str, Split]:
        """A split for each corruption, all severities together, in equal parts."""
        if not self._options["corruptions"]:
            return {}
        x, y = (part[:CORRUPTED] for part in test)
        return {name: (corrupt(x, name), np.tile(y, SEVERITIES)) for name in CORRUPTIONS}

    def init(self, generator: torch.Generator) -> Tensor:
        return self._place(self.net.init(generator))[0]

    def train_logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """Logits (B, classes) under the mini-batch's own statistics."""
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


@cache
def _from_subset(path: Path) -> Source:
    return Source(path.name, *read_npz(path, "train", "val", "test"))


@cache
def _from_archive(
    path: Path, members: tuple[tuple[str, ...], tuple[str, ...]], labels: bytes
) -> Source:
    with tarfile.open(path) as archive:

        def read(name: str) -> Split:
            member = archive.extractfile(name)
            assert member is not None
            # A pickle runs what it says; `obtain` has seen that it is the published one.
            content = pickle.load(member, encoding="bytes")
            images = np.asarray(content[b"data"]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            return images, np.asarray(content[labels], np.uint8)

        whole, test = (
            turns(*(np.concatenate(part) for part in zip(*map(read, names), strict=True)))
            for names in members
        )
    train, val = hold_out(whole, len(whole[0]) * VALIDATION // 50_000)
    return Source(path.name, train, val, test)
