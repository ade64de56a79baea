"""CIFAR-10 and CIFAR-100: 32 x 32 photographs, by a residual network or a vision transformer."""

import pickle
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import torch

from ohgw.core.errors import SettingError
from ohgw.tasks import _data
from ohgw.tasks._common import check_count
from ohgw.tasks.vision._corruptions import CORRUPTIONS, SEVERITIES, corrupt
from ohgw.tasks.vision._images import Source, Split, hold_out, read_npz, turns
from ohgw.tasks.vision._networks import NetworkTask, check_model, refuse, vision_transformer
from ohgw.tasks.vision._resnet import ResNet
from ohgw.tasks.vision._vit import ViT

VALIDATION = 5_000  # of the official training images
CORRUPTED = 500  # test images that corruptions are tried on
SIZE = 32  # of an image's side, in pixels
DEPTH, WIDTH, PATCH = 20, 16, 4  # by default


class CifarTask(NetworkTask):
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
    metrics_statistics = 8  # 1,024 images

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        label_noise: float = 0.0,
        model: str = "resnet",
        depth: int | None = None,
        width: int | None = None,
        patch: int | None = None,
        heads: int | None = None,
        examples: int | None = None,
        corruptions: bool = False,
    ):
        """`model` is resnet, vit-ti or vit-s; `patch` and `heads` are the latter's.

        `depth` is 6n + 2 for resnet (20 by default, of `width` 16) and counts blocks otherwise (12,
        as published); `examples` is the number of training images, by default all. With
        `corruptions`, a search's best model is also scored on corrupted test images.
        """
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
            model=model,
            depth=depth,
            width=width,
            patch=patch,
            heads=heads,
            corruptions=corruptions,
        )
        self.net = self._network(model, depth, width, patch, heads)
        self.layout = self.net.layout

    def _network(
        self, model: str, depth: int | None, width: int | None, patch: int | None, heads: int | None
    ) -> ResNet | ViT:
        check_model(self.name, model, ["resnet"])
        if model != "resnet":
            return vision_transformer(
                self.name,
                model,
                size=SIZE,
                classes=self.classes,
                patch=PATCH if patch is None else patch,
                depth=depth,
                width=width,
                heads=heads,
            )
        refuse(self.name, model, patch=patch, heads=heads)
        depth, width = DEPTH if depth is None else depth, WIDTH if width is None else width
        if not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
            raise SettingError(f"depth={depth!r} of {self.name!r} must be 6n + 2: 8, 14, 20 ...")
        check_count(self.name, "width", width)
        return ResNet(depth, width, classes=self.classes)

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
