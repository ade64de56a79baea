"""Word substitution against made-up models whose weaknesses are known."""

import numpy as np
import pytest
import torch

from ohgw.tasks.language import _substitution


def text(pairs=400, seed=0):
    """Tokens 0 and 1 stand between 4, 5 and 6, 7; 2 and 3 between 8, 9 and 10, 11; 12 nowhere."""
    rng = np.random.default_rng(seed)
    first = [[4, 5, rng.integers(0, 2), 6, 7] for _ in range(pairs)]
    second = [[8, 9, rng.integers(2, 4), 10, 11] for _ in range(pairs)]
    return rng.permutation(first + second).reshape(-1)


def test_words_in_the_same_places_are_neighbours():
    unit = _substitution.embedding(text(), 13)
    norms = np.linalg.norm(unit, axis=1)
    assert norms[:12] == pytest.approx(1) and norms[12] == 0
    near = _substitution.neighbours(unit, np.array([0, 2]), np.arange(4))
    assert near[0][0] == 1 and near[2][0] == 3
    assert 0 not in near[0]
    assert _substitution.neighbours(unit, np.array([12]), np.arange(4)) == {12: []}


def count_of_ones(inputs, follows):
    """A model that errs where token 1 stands, and on token 3 more."""
    return (inputs == 1).double().sum(-1) + 2 * (inputs == 3).double().sum(-1)


def test_the_worst_words_are_replaced_and_no_more_than_the_share():
    x = torch.tensor([[0, 2] * 10, [0] * 20])
    whole = np.ones((2, 20), bool)
    near = {0: [1], 2: [0, 3]}
    found = _substitution.attack(count_of_ones, x, x, whole, near, blank=9)
    changed = found.inputs != x
    assert changed.sum(-1).tolist() == [2, 2]  # a tenth of twenty
    assert set(found.inputs[changed].tolist()) <= {1, 3}
    assert (found.replaced, found.words) == (4, 40)
    after, before = (count_of_ones(part, x) for part in (found.inputs, x))
    assert (after > before).all()


def test_a_word_without_a_worse_neighbour_stays():
    x = torch.tensor([[1, 3] * 5])
    found = _substitution.attack(
        count_of_ones, x, x, np.ones((1, 10), bool), {1: [0], 3: [2]}, blank=9
    )
    assert torch.equal(found.inputs, x) and found.replaced == 0


def test_what_is_no_word_is_left_alone():
    x = torch.tensor([[0] * 20])
    whole = np.zeros((1, 20), bool)
    whole[0, 3] = True
    found = _substitution.attack(count_of_ones, x, x, whole, {0: [1]}, blank=9)
    assert (found.inputs != x).nonzero().tolist() == [[0, 3]]
    assert found.queries == 1 + 1 + 1
