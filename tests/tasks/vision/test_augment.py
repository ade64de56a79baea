"""Augmentation of images: the identity at zero, each part alone, and its derivative."""

import pytest
import torch
from torch.func import grad
from torch.testing import assert_close

from ohgw.tasks.vision._augment import NOISE, RAMP, augmented
from ohgw.testing.estimators import central_differences

COUNT = 8


def number(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.fixture(params=[(3, 32), (1, 16)], ids=["colour", "grey"])
def images(request):
    channels, side = request.param
    generator = torch.Generator().manual_seed(7)
    return torch.randn(COUNT, channels, side, side, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_augmentation_at_magnitude_zero_is_the_identity(images, seed):
    noise = torch.randn(NOISE * COUNT, generator=torch.Generator().manual_seed(seed)).double()
    assert_close(augmented(images, number(0.0), noise), images, rtol=0, atol=1e-12)
    moved = (augmented(images, number(0.5), noise) - images).abs().amax((1, 2, 3))
    assert moved.min() > 1e-3
    still = augmented(images, number(0.5), torch.zeros_like(noise))
    assert_close(still, images, rtol=0, atol=1e-12)


def parts(**given):
    """Noise that is zero but for the named parts, at the quantile of a uniform number given."""
    names = ["down", "right", "mirror", "grey", "contrast", "brightness", "size", "above", "left"]
    noise = torch.zeros(NOISE, COUNT, dtype=torch.float64)
    for name, uniform in given.items():
        noise[names.index(name)] = torch.special.ndtri(number((uniform + 1) / 2))
    return noise.flatten()


def test_each_part_does_what_it_says(images):
    x, side = images, images.shape[-1]

    def moved(magnitude, **given):
        return augmented(x, number(magnitude), parts(**given))

    step = side // 16  # half of the largest shift
    assert_close(moved(1.0, right=0.5)[..., :-step], x[..., step:])
    assert_close(moved(1.0, right=0.5)[..., -step:], torch.zeros_like(x[..., -step:]))
    assert_close(moved(0.5, down=-1 + 1e-15)[..., step:, :], x[..., :-step, :])
    assert_close(moved(1.0, mirror=-0.5), x.flip(-1))
    assert_close(moved(0.3, mirror=-0.5), x)  # mirrored from 1/2 on
    assert_close(moved(1.0, contrast=0.5), 1.2 * x)
    assert_close(moved(1.0, brightness=0.5), x + 0.2)
    grey = moved(1.0, grey=-0.5)
    assert_close(grey.mean(1), x.mean(1))
    assert_close(grey - grey.mean(1, keepdim=True), 0.8 * (x - x.mean(1, keepdim=True)))
    hole = moved(1.0, size=0.5)  # a square of a quarter of the side, around the middle
    inside = slice(3 * side // 8, 5 * side // 8)
    assert_close(hole[..., inside, inside], torch.zeros_like(x[..., inside, inside]))
    assert_close(hole[..., : inside.start, :], x[..., : inside.start, :])
    assert_close(hole[..., inside.stop :], x[..., inside.stop :])


def test_derivative_with_respect_to_the_magnitude(images):
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(NOISE * COUNT, generator=generator).double()
    weight = torch.randn(images.shape, generator=generator).double()

    def score(magnitude):
        return (weight * augmented(images, magnitude[0], noise)).sum()

    for value in (0.1, 0.47, 0.93):
        magnitude = torch.tensor([value], dtype=torch.float64)
        expected = central_differences(score, magnitude, torch.tensor([0.1]))
        assert_close(grad(score)(magnitude), expected.gradient, rtol=1e-4, atol=0)


def test_the_slope_of_mirroring_is_that_of_its_mean():
    """Averaged over images: neither the zero of a switch nor the slope of a steep ramp alone."""
    chance = torch.linspace(0, 1, 100_001, dtype=torch.float64)

    def share(magnitude):
        return ((magnitude / 2 - chance) / RAMP).clamp(0, 1).mean()

    assert share(number(0.6)) == pytest.approx(0.3 - RAMP / 2, abs=1e-4)
    assert grad(share)(number(0.6)) == pytest.approx(0.5, abs=1e-3)
