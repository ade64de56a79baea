"""Adversarial inputs of a language model: words replaced by their neighbours until it errs most.

After TextFooler (Jin et al. 2020), for next-token prediction: words are ranked by how much the
loss rises without them, then replaced in that order, each by the neighbour under which the loss
rises most, or by none. Neighbours are near in an embedding learnt from the training text: singular
vectors of positive pointwise mutual information (Levy & Goldberg 2014). The tokens to be predicted
stay what they were. Deterministic.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from torch import Tensor

Losses = Callable[[Tensor, Tensor], Tensor]
"""(inputs (n, T), the tokens that follow (n, T)) -> mean loss of each window, (n,)."""

REACH = 2  # tokens on either side that count as context of a word
DIMENSIONS = 64
NEIGHBOURS = 8
LEAST_SIMILARITY = 0.5  # cosine
LEAST_SEEN = 5  # occurrences of a word with neighbours
SHARE = 0.1  # of a window's words, replaced at most; one at least may be


def embedding(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
    """Unit vectors (vocabulary, dimensions); zero for tokens seen too seldom."""
    from scipy.sparse.linalg import svds  # a second to load, for who attacks

    counts = np.bincount(tokens, minlength=vocabulary)
    pairs = [(tokens[:-gap], tokens[gap:]) for gap in range(1, REACH + 1)]
    rows, columns = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
    shape = vocabulary, vocabulary
    together = coo_array((np.ones(len(rows)), (rows, columns)), shape=shape).tocsr()
    together = (together + together.T).tocoo()
    total, seen = together.sum(), np.maximum(together.sum(axis=0), 1)
    information = np.log(together.data * total / (seen[together.row] * seen[together.col]))
    positive = coo_array((np.maximum(information, 0), (together.row, together.col)), shape=shape)
    size = min(DIMENSIONS, vocabulary - 1)
    left, values, _ = svds(positive.tocsr(), k=size, v0=np.ones(vocabulary))
    vectors = left * np.sqrt(values)
    vectors[counts < LEAST_SEEN] = 0
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = vectors / np.where(length > 0, length, 1)
    return unit


def neighbours(unit: np.ndarray, wanted: np.ndarray, words: np.ndarray) -> dict[int, list[int]]:
    """The nearest of `words` for each of the tokens `wanted`, nearest first; none for many."""
    similar = unit[wanted] @ unit[words].T
    similar[wanted[:, None] == words] = -1
    found = {}
    for row, code in enumerate(wanted.tolist()):
        order = np.argsort(-similar[row], kind="stable")[:NEIGHBOURS]
        found[code] = [int(words[k]) for k in order if similar[row, k] >= LEAST_SIMILARITY]
    return found


@dataclass(frozen=True)
class Attacked:
    """Windows (n, T) after the attack, and what it was."""

    inputs: Tensor
    replaced: int  # words
    words: int  # that could have been, of all windows
    queries: int  # windows that the model was asked about


def attack(
    losses: Losses,
    x: Tensor,
    y: Tensor,
    whole: np.ndarray,
    near: dict[int, list[int]],
    blank: int,
) -> Attacked:
    """Replace words of each window, `SHARE` of them at most.

    `whole` (n, T) is true where a token is a word by itself; `near` are the neighbours of some;
    `blank` takes a word's place to see what it was worth. Queries are bounded by one and, for each
    word, one and its neighbours.
    """
    inputs, replaced, words, queries = [], 0, 0, 0
    for window, follows, can in zip(x, y, whole, strict=True):
        places = [k for k in np.flatnonzero(can).tolist() if near.get(int(window[k]))]
        words += int(can.sum())
        best = float(losses(window[None], follows[None])[0])
        without = window.repeat(len(places), 1)
        for row, place in enumerate(places):
            without[row, place] = blank
        rise = losses(without, follows.expand_as(without)) if places else window.new_zeros(0)
        queries += 1 + len(places)
        left = max(1, int(SHARE * can.sum()))
        now = window.clone()
        for row in rise.argsort(descending=True, stable=True).tolist():
            if left == 0:
                break
            tried = now.repeat(len(near[int(window[places[row]])]), 1)
            tried[:, places[row]] = torch.as_tensor(near[int(window[places[row]])]).to(tried)
            found = losses(tried, follows.expand_as(tried))
            queries += len(tried)
            if float(found.max()) > best:
                best, now, left = float(found.max()), tried[int(found.argmax())], left - 1
                replaced += 1
        inputs.append(now)
    return Attacked(torch.stack(inputs), replaced, words, queries)
