"""`digits`: scikit-learn's 1,797 handwritten digits (8 x 8) with a small CNN, exp-1's space.

Data: UCI 'Optical Recognition of Handwritten Digits', test part, as bundled with scikit-learn.
Model: conv 3x3 1 -> 8 stride 2, conv 3x3 8 -> 16, linear 256 -> 32 -> 10; 9,802 parameters.
Training: SGD with momentum, mini-batches of 8; augmentation by shift, zoom and contrast.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.core.space import get_space
from ohgw.tasks._common import (
    ClassificationTask,
    Layout,
    bundled,
    corrupted,
    uniform_fan_in,
)
from ohgw.training.optimizers import SGD

MAX_SHIFT = 1.5  # pixels: one standard deviation at full magnitude
MAX_ZOOM = 0.15  # relative
MAX_CONTRAST = 0.3  # relative


class Digits(ClassificationTask):
    """Handwritten digits, ten classes."""

    name = small = "digits"
    space = get_space("exp-1")
    optimizer = SGD()
    min_resource = 1
    max_resource = 27
    batch_size = 8
    noise_per_example = 4
    layout = Layout(
        {
            "conv1": (8, 1, 3, 3),
            "bias1": (8,),
            "conv2": (16, 8, 3, 3),
            "bias2": (16,),
            "linear3": (256, 32),
            "bias3": (32,),
            "linear4": (32, 10),
            "bias4": (10,),
        }
    )

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        label_noise: float = 0.0,
    ):
        super().__init__(device, dtype, batch_size=batch_size, label_noise=label_noise)
        splits = {
            split: (pixels.reshape(-1, 1, 8, 8) / 16.0, labels)
            for split, (pixels, labels) in bundled(self.name).items()
        }
        images, labels = splits["train"]
        splits["train"] = images, corrupted(labels, label_noise)
        mean, std = images.mean(), images.std()
        self.data = {
            split: self._place((images - mean) / std, labels)
            for split, (images, labels) in splits.items()
        }
        self._background = float((0.0 - mean) / std)
        self._grid = torch.arange(8, device=self.device, dtype=dtype)

    def init(self, generator: torch.Generator) -> Tensor:
        fan_in = {"1": 9, "2": 72, "3": 256, "4": 32}
        theta = uniform_fan_in(
            self.layout, {name: fan_in[name[-1]] for name in self.layout.shapes}, generator
        )
        return self._place(theta)[0]

    def logits(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        # (B, 1, 8, 8) -> (B, 8, 4, 4) -> (B, 16, 4, 4) -> (B, 32) -> (B, 10)
        h = F.relu(F.conv2d(x, weights["conv1"], weights["bias1"], stride=2, padding=1))
        h = F.relu(F.conv2d(h, weights["conv2"], weights["bias2"], padding=1)).flatten(1)
        h = F.relu(h @ weights["linear3"] + weights["bias3"])
        return h @ weights["linear4"] + weights["bias4"]

    def augment(self, x: Tensor, hp: Mapping[str, Tensor], noise: Tensor) -> Tensor:
        """Shift, zoom and contrast, each in proportion to the magnitude.

        A shift with zoom is separable: rows and columns are each resampled by a matrix (8, 8) of
        linear interpolation weights. That is a plain product of tensors, so it has derivatives
        of every order that an estimator needs, which `grid_sample` has not.
        """
        magnitude = hp["augmentation"]
        down, right, zoom, contrast = noise.reshape(4, -1)  # each (B,)
        scale = 1 + magnitude * MAX_ZOOM * torch.tanh(zoom)
        rows = self._resample(magnitude * MAX_SHIFT * torch.tanh(down), scale)
        columns = self._resample(magnitude * MAX_SHIFT * torch.tanh(right), scale)
        x = x.squeeze(1) - self._background  # outside the image is background
        x = rows @ x @ columns.transpose(-1, -2)
        gain = 1 + magnitude * MAX_CONTRAST * torch.tanh(contrast)
        return (x * gain[:, None, None] + self._background).unsqueeze(1)

    def _resample(self, shift: Tensor, scale: Tensor) -> Tensor:
        """Linear interpolation weights (B, 8, 8): output position by input position."""
        source = (self._grid - 3.5) * scale[:, None] + 3.5 + shift[:, None]  # (B, 8)
        return F.relu(1 - (source[:, :, None] - self._grid).abs())
