import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ohgw.core.streams import Streams

PURPOSES = ["configurations", "initialisation", "batches", "noise", "probe"]
SEEDS = st.integers(0, 2**64)
NAMES = st.tuples(
    SEEDS, st.sampled_from(PURPOSES), st.lists(st.integers(0, 2**32 - 1), max_size=5).map(tuple)
)


def first(name):
    seed, purpose, key = name
    return Streams(seed).generator(purpose, *key).random(4).tolist()


@given(NAMES)
def test_equal_names_give_equal_streams_whatever_was_drawn_before(name):
    seed, purpose, key = name
    streams = Streams(seed)
    streams.generator(purpose, *key).random(100)
    streams.generator("probe", 1).random(7)
    assert streams.generator(purpose, *key).random(4).tolist() == first(name)


@given(NAMES, NAMES)
def test_different_names_give_different_streams(one, two):
    assume(one != two)
    assert first(one) != first(two)


@given(NAMES)
def test_a_key_of_zero_is_not_the_absence_of_a_key(name):
    seed, purpose, key = name
    assert first((seed, purpose, (*key, 0))) != first((seed, purpose, key))


def test_a_seed_beyond_32_bits_is_not_a_seed_with_a_purpose():
    assert first((7 + (3 << 32), "initialisation", ())) != first((7, "batches", (2,)))


@given(NAMES)
def test_integers_seed_other_libraries(name):
    seed, purpose, key = name
    value = Streams(seed).integer(purpose, *key)
    assert type(value) is int
    assert 0 <= value < 2**63 - 1
    assert value == Streams(seed).integer(purpose, *key)


def test_integers_differ_between_keys_and_purposes():
    streams = Streams(0)
    values = {streams.integer(purpose, key) for purpose in PURPOSES for key in range(200)}
    assert len(values) == 5 * 200


def test_streams_are_uncorrelated():
    streams = Streams(0)
    draws = np.array([streams.generator(purpose).random(4000) for purpose in PURPOSES])
    correlation = np.corrcoef(draws) - np.eye(len(PURPOSES))
    assert np.abs(correlation).max() < 0.08  # five standard errors


def test_a_purpose_that_does_not_exist_is_refused():
    with pytest.raises(KeyError):
        Streams(0).generator("weights")
