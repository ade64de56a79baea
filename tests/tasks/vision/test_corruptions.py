"""Corruptions: each against its definition or another implementation, and fixed."""

import colorsys

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from ohgw.tasks.vision._corruptions import CORRUPTIONS, corrupt


@pytest.fixture(scope="module")
def images():
    """Coarse patterns with fine noise, so that every corruption has something to take away."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 160, (6, 4, 4, 3)).repeat(8, 1).repeat(8, 2)
    return (coarse + rng.integers(0, 60, (6, 32, 32, 3))).astype(np.uint8)


def made(images, name):
    """By severity."""
    return corrupt(images, name).reshape(5, *images.shape)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_last_is_worse_than_the_first_and_both_are_fixed(images, name):
    found = made(images, name)
    away = [np.abs(part.astype(float) - images).mean() for part in found]
    assert 0.5 < away[0] < away[-1]
    np.testing.assert_array_equal(found, made(images, name))


def test_noise_has_the_deviation_it_says():
    grey = np.full((20, 32, 32, 3), 128, np.uint8)
    deviations = (made(grey, "gaussian_noise") / 255).std((1, 2, 3, 4))
    np.testing.assert_allclose(deviations, [0.04, 0.06, 0.08, 0.09, 0.10], rtol=0.02)


def test_blur_is_gaussian_along_rows_and_columns(images):
    expected = images / 255
    for axis in (1, 2):
        expected = gaussian_filter1d(expected, 1.0, axis=axis, mode="nearest")
    np.testing.assert_array_equal(
        made(images, "gaussian_blur")[4], (expected * 255).astype(np.uint8)
    )


def test_contrast_shrinks_around_an_images_own_mean(images):
    weakest = made(images, "contrast")[4].astype(float)
    np.testing.assert_allclose(weakest.mean((1, 2)), images.mean((1, 2)), atol=1)
    np.testing.assert_allclose(weakest.std((1, 2)), 0.15 * images.std((1, 2)), rtol=0.05)


def test_brightness_is_that_of_hsv(images):
    images = images.copy()
    images[0, 0, 0] = 0  # black has no hue
    found = made(images, "brightness")[2]
    for row, column in ((0, 0), (5, 7), (31, 20)):
        h, s, v = colorsys.rgb_to_hsv(*(images[0, row, column] / 255))
        expected = np.array(colorsys.hsv_to_rgb(h, s, min(1.0, v + 0.15)))
        np.testing.assert_allclose(found[0, row, column], expected * 255, atol=1)


def test_pixelate_is_pillows(images):
    for severity, factor in enumerate((0.95, 0.9, 0.85, 0.75, 0.65)):
        side = int(32 * factor)
        for image, found in zip(images, made(images, "pixelate")[severity], strict=True):
            small = Image.fromarray(image).resize((side, side), Image.Resampling.BOX)
            expected = np.asarray(small.resize((32, 32), Image.Resampling.BOX))
            np.testing.assert_allclose(found.astype(int), expected, atol=2)  # Pillow rounds twice
