"""Augmentation of images as products of tensors, with a derivative in its magnitude.

Shift, mirror, colour and cutout, each in proportion to one magnitude in [0, 1]. `grid_sample` and
its like lack the derivatives of second order that estimators need; here an image is resampled by
matrices of linear interpolation weights, one for rows and one for columns.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

NOISE = 9  # standard normal numbers for an image

# All at full magnitude:
MAX_SHIFT = 1 / 8  # of the side: crops from a 32 x 32 image padded by four
MAX_CUTOUT = 1 / 2  # of the side, a square's (DeVries & Taylor 2017)
MAX_COLOUR = 0.4  # relative, of saturation and contrast; in standard deviations, of brightness
RAMP = 0.1  # share of images that are between mirrored and not


def augmented(x: Tensor, magnitude: Tensor, noise: Tensor) -> Tensor:
    """Images x (B, C, S, S), whose mean colour is zero, under noise (9 B,) made uniform.

    At magnitude 0 and where the noise is zero, the identity.
    """
    uniform = torch.erf(noise.reshape(NOISE, -1) / math.sqrt(2))  # each row (B,), on (-1, 1)
    down, right, mirror, grey, contrast, brightness, size, above, left = uniform
    side = x.shape[-1]
    positions = torch.arange(side, device=x.device, dtype=x.dtype)
    rows = _shift(magnitude * MAX_SHIFT * side * down, positions)
    columns = _shift(magnitude * MAX_SHIFT * side * right, positions)
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
    half = magnitude * MAX_CUTOUT * side / 2 * size.abs()
    hidden = (
        _covered(above, half, positions)[:, :, None] * _covered(left, half, positions)[:, None, :]
    )
    return x * (1 - hidden.unsqueeze(1))


def _shift(shift: Tensor, positions: Tensor) -> Tensor:
    """Linear interpolation weights (B, 1, S, S): output position by input position."""
    source = positions + shift[:, None]
    return F.relu(1 - (source[:, :, None] - positions).abs()).unsqueeze(1)


def _covered(where: Tensor, half: Tensor, positions: Tensor) -> Tensor:
    """Share of each pixel (B, S) inside an interval around `where`, on (-1, 1)."""
    side = len(positions)
    centre = ((side - 1) / 2 + side / 2 * where)[:, None]
    high = torch.minimum(positions + 0.5, centre + half[:, None])
    low = torch.maximum(positions - 0.5, centre - half[:, None])
    return F.relu(high - low)


def _each(value: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1)."""
    return value[:, None, None, None]
