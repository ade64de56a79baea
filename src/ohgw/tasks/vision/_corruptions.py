"""Corrupted images to evaluate on, in the style of CIFAR-10-C (Hendrycks & Dietterich 2019).

Five of their nineteen corruptions at their five severities for 32 x 32 images, with their
constants (make_cifar_c.py of hendrycks/robustness); the noise is drawn anew, so that scores compare
among models scored here, not with those on their files.
"""

from collections.abc import Callable

import numpy as np

SEVERITIES = 5
Pixels = np.ndarray
"""Images (n, S, S, channels) of floats in [0, 1]."""


def _gaussian_noise(x: Pixels, severity: int) -> Pixels:
    deviation = (0.04, 0.06, 0.08, 0.09, 0.10)[severity]
    return x + np.random.default_rng(severity).normal(0.0, deviation, x.shape)


def _gaussian_blur(x: Pixels, severity: int) -> Pixels:
    sigma = (0.4, 0.6, 0.7, 0.8, 1.0)[severity]
    from scipy.ndimage import gaussian_filter  # every search would load it

    made: Pixels = gaussian_filter(x, (0, sigma, sigma, 0), mode="nearest")
    return made


def _contrast(x: Pixels, severity: int) -> Pixels:
    factor = (0.75, 0.5, 0.4, 0.3, 0.15)[severity]
    mean = x.mean((1, 2), keepdims=True)
    made: Pixels = mean + factor * (x - mean)
    return made


def _brightness(x: Pixels, severity: int) -> Pixels:
    """Of the value in hue, saturation and value, which is the largest channel."""
    value = x.max(-1, keepdims=True)
    higher = np.minimum(value + (0.05, 0.1, 0.15, 0.2, 0.3)[severity], 1.0)
    made: Pixels = np.where(value > 0, x * higher / np.where(value > 0, value, 1.0), higher)
    return made


def _pixelate(x: Pixels, severity: int) -> Pixels:
    side = x.shape[1]
    small = int(side * (0.95, 0.9, 0.85, 0.75, 0.65)[severity])
    twice = _box(small, side) @ _box(side, small)  # (S, S)
    made: Pixels = np.einsum("ij,njkc,lk->nilc", twice, x, twice, optimize=True)
    return made


def _box(inside: int, outside: int) -> np.ndarray:
    """Resampling (outside, inside) by the mean of the pixels whose middle is within a new one."""
    scale = inside / outside
    middle = (np.arange(outside) + 0.5) * scale
    away = (np.arange(inside) + 0.5 - middle[:, None]) / max(scale, 1.0)
    weights = ((away > -0.5) & (away <= 0.5)).astype(float)
    made: np.ndarray = weights / weights.sum(1, keepdims=True)
    return made


CORRUPTIONS: dict[str, Callable[[Pixels, int], Pixels]] = {
    "gaussian_noise": _gaussian_noise,
    "gaussian_blur": _gaussian_blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "pixelate": _pixelate,
}


def corrupt(images: np.ndarray, name: str) -> np.ndarray:
    """uint8 images (n, S, S, channels) at severities 1 to 5, one after the other: (5 n, ...)."""
    x = images / 255.0
    made = [CORRUPTIONS[name](x, severity) for severity in range(SEVERITIES)]
    return (np.concatenate(made).clip(0, 1) * 255).astype(np.uint8)
