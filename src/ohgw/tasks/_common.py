"""What differentiable tasks share: flat parameters, losses, splits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ohgw.core.errors import SettingError
from ohgw.core.protocols import Metric, Optimizer
from ohgw.core.space import Space


@dataclass(frozen=True)
class Layout:
    """Names and shapes of a model's tensors inside one flat parameter vector (N,).

    One vector per model keeps a population's parameters in a single (P, N) tensor: an optimiser
    step is then a handful of large operations, and moving a lane is copying a row.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @property
    def sizes(self) -> list[int]:
        return [math.prod(shape) for shape in self.shapes.values()]

    @property
    def size(self) -> int:
        """Number of parameters N."""
        return sum(self.sizes)

    def split(self, theta: Tensor) -> dict[str, Tensor]:
        """Views of `theta` (N,) by name.

        One `split` rather than a slice per tensor: its backward is one concatenation, where
        slices would each fill a zero vector of length N.
        """
        parts = torch.split_with_sizes(theta, self.sizes)
        return {
            name: part.reshape(shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The inverse of `split`."""
        return torch.cat([tensors[name].reshape(-1) for name in self.shapes])

    def mask(self, names: set[str]) -> Tensor:
        """A vector (N,) with ones where a parameter belongs to one of `names`."""
        return self.flatten(
            {name: torch.full(shape, float(name in names)) for name, shape in self.shapes.items()}
        )


def uniform_fan_in(layout: Layout, fan_in: Mapping[str, int], generator: torch.Generator) -> Tensor:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): PyTorch's default for linear and convolution layers."""
    return layout.flatten(
        {
            name: (torch.rand(shape, generator=generator) * 2 - 1) / math.sqrt(fan_in[name])
            for name, shape in layout.shapes.items()
        }
    )


def cross_entropy(logits: Tensor, target: Tensor, smoothing: Tensor | float = 0.0) -> Tensor:
    """Mean cross-entropy in nats with label smoothing (Szegedy et al. 2016, section 7).

    `logits` (..., C), `target` (...) of class indices; `smoothing` may be a 0-d tensor, through
    which derivatives flow. `torch.nn.functional.cross_entropy` takes a float only.
    """
    log_p = logits.log_softmax(-1)
    of_target = log_p.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    if isinstance(smoothing, float) and smoothing == 0.0:
        return -of_target.mean()
    return -((1 - smoothing) * of_target + smoothing * log_p.mean(-1)).mean()


def accuracy(logits: Tensor, target: Tensor, dtype: torch.dtype) -> Tensor:
    """Share of examples whose largest logit is the target, 0-d."""
    return (logits.argmax(-1) == target).to(dtype).mean()


def bundled(name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(x, y) by split of a table that ships with the package (`scripts/bundle-tables`)."""
    with resources.files("ohgw.tasks").joinpath(f"data/{name}.npz").open("rb") as file:
        arrays = np.load(file)
        return {
            split: (arrays[f"x_{split}"], arrays[f"y_{split}"].astype(np.int64))
            for split in ("train", "val", "test")
        }


def check_share(task: str, option: str, value: float) -> None:
    """Raises `SettingError` where an option is not a number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise SettingError(f"{option}={value!r} of task {task!r} must be a share, from 0 to 1.")


def check_count(task: str, option: str, value: int) -> None:
    """Raises `SettingError` where an option is not a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingError(f"{option}={value!r} of {task!r} must be a whole number from 1.")


def corrupted(codes: np.ndarray, share: float) -> np.ndarray:
    """Class indices of any shape with `share` of them drawn anew, uniformly over those present.

    A drawn class may be the old one. Fixed: every seed and every arm meets the same corruption,
    and a larger share corrupts what a smaller one does.
    """
    rng = np.random.default_rng(0)
    chance, drawn = rng.random(codes.shape), rng.choice(np.unique(codes), codes.shape)
    return np.where(chance < share, drawn, codes)


class ClassificationTask:
    """Base of the shipped tasks: a model's `logits`, an `augment`, and the rest follows.

    A subclass sets the attributes of `core.protocols.DifferentiableTask` and defines `init`,
    `logits` and, where inputs are augmented, `augment`; also `train_logits`, where the model is
    another function in training, and `_read` instead of setting `data`, where they are large.
    """

    name: str
    small: str
    """A spec of this task that two cores search in about a minute."""
    bundled = True
    """Whether the data come with this package."""
    space: Space
    metric = Metric("loss", "min")
    min_resource: int
    max_resource: int
    batch_size: int
    noise_per_example: int = 0
    noise_size: int
    layout: Layout
    _splits: dict[str, tuple[Tensor, ...]] | None = None

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        label_noise: float = 0.0,
    ):
        """`label_noise` is the share of training labels that `_corrupted` draws anew."""
        if batch_size is not None:
            check_count(self.name, "batch_size", batch_size)
            self.batch_size = batch_size
        check_share(self.name, "label_noise", label_noise)
        self.noise_size = self.batch_size * self.noise_per_example
        self.device = torch.device(device)
        self.dtype = dtype
        self._options: dict[str, Any] = {"batch_size": batch_size, "label_noise": label_noise}

    def _place(self, *tensors: Any) -> tuple[Tensor, ...]:
        """Tensors on the task's device; floating ones in its dtype."""
        placed = []
        for tensor in tensors:
            tensor = torch.as_tensor(tensor)
            dtype = self.dtype if tensor.is_floating_point() else None
            placed.append(tensor.to(self.device, dtype))
        return tuple(placed)

    @property
    def optimizer(self) -> Optimizer:
        raise NotImplementedError

    @property
    def data(self) -> dict[str, tuple[Tensor, ...]]:
        """Tensors by split, examples first; read on first use."""
        if self._splits is None:
            self._splits = self._read()
        return self._splits

    @data.setter
    def data(self, splits: dict[str, tuple[Tensor, ...]]) -> None:
        self._splits = splits

    def _read(self) -> dict[str, tuple[Tensor, ...]]:
        raise NotImplementedError

    @property
    def steps_per_epoch(self) -> int:
        """Full mini-batches in the training split; the remainder of an epoch is dropped."""
        return len(self.data["train"][0]) // self.batch_size

    def init(self, generator: torch.Generator) -> Tensor:
        raise NotImplementedError

    def logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        raise NotImplementedError

    def train_logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return self.logits(weights, x)

    def augment(self, x: Tensor, hp: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        raise NotImplementedError

    def train_loss(
        self, theta: Tensor, batch: tuple[Tensor, ...], hp: Mapping[str, Tensor], noise: Tensor
    ) -> Tensor:
        x, y = batch
        logits = self.train_logits(self.layout.split(theta), self.augment(x, hp, noise))
        return cross_entropy(logits, y, hp["label_smoothing"])

    def loss(self, theta: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
        x, y = batch
        return cross_entropy(self.logits(self.layout.split(theta), x), y)

    def metrics(self, theta: Tensor, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        x, y = batch
        logits = self.logits(self.layout.split(theta), x)
        return {"loss": cross_entropy(logits, y), "accuracy": accuracy(logits, y, self.dtype)}

    def parameters(self, theta: Tensor) -> dict[str, Tensor]:
        return self.layout.split(theta)

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Self:
        """The same task on another device or in another precision."""
        return type(self)(device, dtype, **self._options)
