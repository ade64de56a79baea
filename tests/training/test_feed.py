"""The feed: mini-batches and noise by key."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ohgw.core.streams import Streams
from ohgw.tasks import load
from ohgw.testing.estimators import small_task
from ohgw.training.feed import NOISE_TABLE, Feed, initial_parameters

TASK = load("breast-cancer")
EXAMPLES = len(TASK.data["train"][0])
keys = st.tuples(st.integers(0, 2**31), st.integers(0, 10**6), st.integers(0, 500))


@pytest.fixture(scope="module")
def feed():
    return Feed(TASK)


@given(key=keys)
def test_an_epoch_is_a_function_of_its_key(feed, key):
    seed, trial, epoch = key
    order, offsets = feed.epoch(Streams(seed), trial, epoch)
    feed.epoch(Streams(seed), trial + 1, epoch)  # whatever was fed in between
    again = feed.epoch(Streams(seed), trial, epoch)
    assert np.array_equal(order, again[0]) and np.array_equal(offsets, again[1])
    other = Feed.epoch(feed, Streams(seed + 1), trial, epoch)
    for changed in (
        other,
        feed.epoch(Streams(seed), trial + 1, epoch),
        feed.epoch(Streams(seed), trial, epoch + 1),
    ):
        assert not np.array_equal(order, changed[0])
        assert not np.array_equal(offsets, changed[1])


@given(key=keys)
def test_an_epoch_covers_distinct_examples(feed, key):
    seed, trial, epoch = key
    order, offsets = feed.epoch(Streams(seed), trial, epoch)
    assert order.shape == (TASK.steps_per_epoch, TASK.batch_size)
    assert offsets.shape == (TASK.steps_per_epoch,)
    assert len(np.unique(order)) == order.size == EXAMPLES // TASK.batch_size * TASK.batch_size
    assert 0 <= order.min() and order.max() < EXAMPLES
    assert 0 <= offsets.min() and offsets.max() < NOISE_TABLE


def test_every_example_has_its_turn(feed):
    """The remainder that an epoch drops is another one each time."""
    counts = np.zeros(EXAMPLES, int)
    for epoch in range(200):
        np.add.at(counts, feed.epoch(Streams(0), 0, epoch)[0].ravel(), 1)
    share = TASK.steps_per_epoch * TASK.batch_size / EXAMPLES
    assert share < 1
    assert counts.mean() / 200 == pytest.approx(share)
    assert counts.min() > 180


@given(seed=st.integers(0, 2**31), trial=st.integers(0, 10**6), steps=st.integers(1, 60))
def test_a_probe_is_fed_by_its_key(feed, seed, trial, steps):
    order, offsets, validation = feed.probe(Streams(seed), steps, trial)
    again = feed.probe(Streams(seed), steps, trial)
    assert all(
        np.array_equal(a, b) for a, b in zip((order, offsets, validation), again, strict=True)
    )
    assert order.shape == (steps, TASK.batch_size) and offsets.shape == (steps,)
    assert 0 <= order.min() and order.max() < EXAMPLES
    if order.size <= EXAMPLES:
        assert len(np.unique(order)) == order.size
    assert len(np.unique(validation)) == len(validation) == TASK.batch_size
    assert validation.max() < len(TASK.data["val"][0])
    assert not np.array_equal(order, feed.probe(Streams(seed), steps, trial + 1)[0])


def test_a_probe_and_an_epoch_share_no_stream(feed):
    order, offsets = feed.epoch(Streams(0), 0, 0)
    probed = feed.probe(Streams(0), TASK.steps_per_epoch, 0)
    assert not np.array_equal(order, probed[0]) and not np.array_equal(offsets, probed[1])


def test_batches_are_the_examples_asked_for(feed):
    order = torch.as_tensor(feed.epoch(Streams(0), 0, 0)[0])
    x, y = feed.batch(order[:3])
    assert x.shape == (3, TASK.batch_size, 30) and y.shape == (3, TASK.batch_size)
    assert torch.equal(x[2, 5], TASK.data["train"][0][order[2, 5]])
    assert torch.equal(y[2], TASK.data["train"][1][order[2]])
    x, _ = feed.batch(torch.tensor([4]), "val")
    assert torch.equal(x[0], TASK.data["val"][0][4])


def test_noise_is_standard_normal_and_the_same_everywhere(feed):
    offsets = torch.tensor([0, 1, 1, NOISE_TABLE - 1])
    noise = feed.noise(offsets)
    assert noise.shape == (4, TASK.noise_size) and noise.dtype == TASK.dtype
    assert torch.equal(noise[1], noise[2])
    assert torch.equal(noise[0, 1:], noise[1, :-1])  # windows of one table
    assert torch.equal(noise, Feed(TASK).noise(offsets))
    table = feed.noise(torch.arange(0, NOISE_TABLE, TASK.noise_size))
    assert table.mean().abs() < 0.003 and table.std() == pytest.approx(1.0, abs=0.003)


def test_noise_is_the_same_in_either_precision():
    offsets = torch.tensor([3, 12345])
    single, double = (Feed(small_task("sgd", dtype)) for dtype in (torch.float32, torch.float64))
    assert torch.equal(single.noise(offsets).double(), double.noise(offsets))


@given(st.integers(0, 2**63 - 2))
def test_initial_parameters_are_a_function_of_the_seed(seed):
    one = initial_parameters(TASK, seed)
    assert torch.equal(one, initial_parameters(TASK, seed))
    assert not torch.equal(one, initial_parameters(TASK, seed + 1))
