"""`fashion-mnist`: Fashion-MNIST with a small CNN, SGD with momentum, exp-1's space.

Data: Xiao et al. 2017 (arXiv:1708.07747), 28 x 28 grey photographs of ten kinds of clothing, MIT
licence; 55,000 train, 5,000 of the official training images validate, the official 10,000 test.
`examples` asks for so many training images, equally many of each class. Not in this package:
`fashion_mnist.npz` serves where it is found, otherwise the four official files.
Model: convolutions 5x5 of stride 3 with w channels and 3x3 of stride 2 with 2w, both with ReLU,
and one linear layer; 35,338 parameters at width 32, 5,386 at width 8.
Training: mini-batches of 64; images are shifted, mirrored, changed in contrast and cut out.
"""

import gzip
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.tasks import _data
from ohgw.tasks._common import Layout, check_count, uniform_fan_in
from ohgw.tasks.vision._images import CHUNK, ImageTask, Source, Split, hold_out, read_npz, turns

URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/{}/data/fashion/{}"
COMMIT = "b2617bb6d3ffa2e429640350f613e3291e10b141"
FILES = {
    "train-images-idx3-ubyte.gz": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        26.4,
    ),
    "train-labels-idx1-ubyte.gz": (
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        0.03,
    ),
    "t10k-images-idx3-ubyte.gz": (
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        4.4,
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        0.005,
    ),
}
# In a directory of their own: MNIST's files have the same names.
OFFICIAL = [
    _data.Remote(f"fashion-mnist/{file}", URL.format(COMMIT, file), *rest)
    for file, rest in FILES.items()
]
WHOLE = "fashion_mnist.npz"
VALIDATION = 5_000  # of the official training images


class FashionMNIST(ImageTask):
    """Grey photographs of clothing, ten classes."""

    name = "fashion-mnist"
    small = "fashion-mnist:width=8:examples=2000:batch_size=16"
    min_resource = 1
    max_resource = 27
    batch_size = 64

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        label_noise: float = 0.0,
        width: int = 32,
        examples: int | None = None,
    ):
        """`width` is in channels; `examples` is the number of training images, by default all."""
        check_count(self.name, "width", width)
        super().__init__(
            device,
            dtype,
            batch_size=batch_size,
            label_noise=label_noise,
            examples=examples,
            width=width,
        )
        self.layout = Layout(
            {
                "conv1": (width, 1, 5, 5),
                "bias1": (width,),
                "conv2": (2 * width, width, 3, 3),
                "bias2": (2 * width,),
                "linear3": (50 * width, 10),
                "bias3": (10,),
            }
        )

    def _find(self, examples: int | None) -> Source:
        path = _data.find(WHOLE)
        return _whole(path) if path else _official(tuple(map(_data.obtain, OFFICIAL)))

    def init(self, generator: torch.Generator) -> Tensor:
        width = self._options["width"]
        fan_in = {"1": 25, "2": 9 * width, "3": 50 * width}
        theta = uniform_fan_in(
            self.layout, {name: fan_in[name[-1]] for name in self.layout.shapes}, generator
        )
        return self._place(theta)[0]

    def logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        parts = torch.split(x, CHUNK)
        return torch.cat([self.train_logits(weights, part) for part in parts])

    def train_logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        # (B, 1, 28, 28) -> (B, w, 9, 9) -> (B, 2w, 5, 5) -> (B, 10)
        h = F.relu(F.conv2d(x, weights["conv1"], weights["bias1"], stride=3, padding=1))
        h = F.relu(F.conv2d(h, weights["conv2"], weights["bias2"], stride=2, padding=1)).flatten(1)
        return h @ weights["linear3"] + weights["bias3"]


@cache
def _whole(path: Path) -> Source:
    return _split(path.name, *read_npz(path, "train", "test"))


@cache
def _official(paths: tuple[Path, ...]) -> Source:
    x_train, y_train, x_test, y_test = map(_read_idx, paths)
    return _split(paths[0].parent.name, turns(x_train, y_train), turns(x_test, y_test))


def _split(origin: str, whole: Split, test: Split) -> Source:
    train, val = hold_out(whole, len(whole[0]) * VALIDATION // 60_000)
    return Source(origin, *((x[..., None], y) for x, y in (train, val, test)))


def _read_idx(path: Path) -> np.ndarray:
    """The array of bytes in a file of MNIST's format: sizes as big-endian integers, then data."""
    with gzip.open(path) as file:
        content = file.read()
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 * (1 + dimensions)).reshape(shape)
