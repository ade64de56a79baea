"""`imagenet`: ImageNet-1k, or photographs laid out like it, SGD with momentum, exp-1's space.

Data: Russakovsky et al. 2015, 1,281,167 photographs of a thousand classes, in any form that
`_photographs` reads; not in this package. 50,000 of the training images validate (a tenth, where
that is less), the official 50,000 validation images test. `examples` asks for so many training
images, equally many of each class. Images are decoded once, into files of the cache (`_pixels`),
stay bytes in the host's memory, and are standardised on the device, a mini-batch at a time.
Models: `_resnet` at depth 50, 25,557,032 parameters; `_vit` with patches of 16, 5,717,416 (Ti) and
22,050,664 (S).
Training: mini-batches of 256; images are shifted, mirrored, changed in colour and cut out.
"""

from collections.abc import Mapping
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from ohgw.core.errors import SettingError
from ohgw.tasks._common import check_count, corrupted
from ohgw.tasks.vision import _photographs
from ohgw.tasks.vision._augment import augmented
from ohgw.tasks.vision._images import colour, turn_order
from ohgw.tasks.vision._networks import NetworkTask, check_model, refuse, vision_transformer
from ohgw.tasks.vision._pixels import Chosen, mapped
from ohgw.tasks.vision._resnet import BOTTLENECKS, BottleneckResNet
from ohgw.tasks.vision._vit import ViT

VALIDATION = 50_000  # of the training images, at most
COLOUR = 1024  # training images whose mean and deviation standardise
RESNETS = {f"resnet{depth}": depth for depth in BOTTLENECKS}
WIDTH, PATCH = 64, 16  # by default


class ImageNet(NetworkTask):
    """Photographs of a thousand classes, or of those that are there."""

    name = "imagenet"
    small = "imagenet:model=resnet14:width=8:size=64:examples=2000:batch_size=32"
    min_resource = 1
    max_resource = 81
    batch_size = 256
    metrics_statistics = 4  # 1,024 images

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        label_noise: float = 0.0,
        data: str | None = None,
        size: int = 224,
        model: str = "resnet50",
        depth: int | None = None,
        width: int | None = None,
        patch: int | None = None,
        heads: int | None = None,
        examples: int | None = None,
    ):
        """`data` is a path or `hf:NAME`; by default the folder `imagenet` where data are kept.

        `size` is the side of an image in pixels. `model` is resnet14, resnet26, resnet50 or
        resnet101, of `width` 64 by default, vit-ti or vit-s; `depth`, `patch` and `heads` are the
        latter's. `examples` is the number of training images, by default all.
        """
        check_count(self.name, "size", size)
        check_model(self.name, model, list(RESNETS))
        super().__init__(
            device,
            dtype,
            batch_size=batch_size,
            label_noise=label_noise,
            examples=examples,
            data=data,
            size=size,
            model=model,
            depth=depth,
            width=width,
            patch=patch,
            heads=heads,
        )
        self._network(1)  # an option that cannot work is refused before any image is decoded
        self.data = self._read()
        self.net = self._network(self._classes)
        self.layout = self.net.layout

    def _network(self, classes: int) -> BottleneckResNet | ViT:
        depth, width, patch, heads = (
            self._options[name] for name in ("depth", "width", "patch", "heads")
        )
        model = self._options["model"]
        if model not in RESNETS:
            return vision_transformer(
                self.name,
                model,
                size=self._options["size"],
                classes=classes,
                patch=PATCH if patch is None else patch,
                depth=depth,
                width=width,
                heads=heads,
            )
        refuse(self.name, model, depth=depth, patch=patch, heads=heads)
        width = WIDTH if width is None else width
        check_count(self.name, "width", width)
        return BottleneckResNet(RESNETS[model], width, classes=classes)

    @cached_property
    def _place_of_data(self) -> _photographs.Place:
        data = self._options["data"]
        return _photographs.find(self.name, None if data is None else str(data))

    @property
    def source(self) -> str:
        """The path or the name that the data come from."""
        return self._place_of_data.origin

    def _read(self) -> dict[str, tuple[Tensor, ...]]:
        """Images (n, 3, S, S) uint8, mapped, on the host, and labels on the task's device.

        Raises `DataError`, `MissingExtraError`, `StorageError`, and `SettingError` for too many
        examples.
        """
        examples, place = self._options["examples"], self._place_of_data
        # as many as the other tasks on images validate with
        few = None if examples is None else max(examples // 2, self.batch_size)
        opened: list[_photographs.Photographs] = []

        def choose(split: str, count: int | None) -> Chosen:
            if not opened:
                opened.append(place.open())
            classes, train, test = opened[0]
            if split == "test":
                return Chosen(*_taken(test.labels), classes, test.read)
            held = min(VALIDATION, len(train.labels) // 10)
            cut = len(train.labels) - held
            if examples is not None and examples > cut:
                raise SettingError(
                    f"examples={examples} of {self.name!r}: {place.origin} has {cut} training "
                    f"images beside {held} that validate."
                )
            if min(held, examples or cut) < self.batch_size:
                raise SettingError(
                    f"batch_size={self.batch_size} of {self.name!r}: {place.origin} has "
                    f"{examples or cut} images to train with and {held} that validate, and a "
                    "mini-batch holds more."
                )
            first = cut if split == "val" else 0
            last = len(train.labels) if split == "val" else cut
            if count is not None:
                last = min(last, first + count)
            return Chosen(*_taken(train.labels, first, last), classes, train.read)

        found: dict[str, tuple[Tensor, ...]] = {}
        for split, count in (("train", examples), ("val", few), ("test", None)):
            identity = {
                "origin": place.origin,
                "content": place.identity,
                "split": split,
                "count": count,
            }
            images, labels, self._classes = mapped(
                identity, self._options["size"], partial(choose, split, count)
            )
            if split == "train":
                labels = torch.as_tensor(corrupted(labels.numpy(), self._options["label_noise"]))
            found[split] = images, labels.to(self.device)
        seen = found["train"][0][:COLOUR].numpy().transpose(0, 2, 3, 1)
        self._mean, self._std = (
            self._place(moment.reshape(-1, 1, 1))[0] for moment in colour(seen)
        )
        return found

    def inputs(self, x: Tensor) -> Tensor:
        """Bytes (B, 3, S, S), standardised on the task's device in its dtype."""
        return (x.to(self.device, self.dtype) - self._mean) / self._std

    def augment(self, x: Tensor, hp: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        return augmented(self.inputs(x), hp["augmentation"], noise)


def _taken(
    labels: np.ndarray, first: int = 0, last: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and labels of a part of the order in which classes take turns."""
    order = turn_order(labels)[first:last]
    return order, labels[order]
