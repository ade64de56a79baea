"""Independent random streams of one seed.

A seed fixes independent streams, each derived from (seed, purpose, key). Arms of one seed share
`configurations`, `initialisation`, `batches` and `noise`; the `probe` stream is never drawn from
by training, so a probe cannot shift what training sees. Keys (trial number, epoch) replace
position in a sequence: the same trial meets the same numbers whatever ran before it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Purpose = Literal["configurations", "initialisation", "batches", "noise", "probe"]
_PURPOSES: dict[Purpose, int] = {
    "configurations": 1,
    "initialisation": 2,
    "batches": 3,
    "noise": 4,
    "probe": 5,
}


@dataclass(frozen=True, slots=True)
class Streams:
    """The random streams of one seed (a non-negative integer)."""

    seed: int

    def generator(self, purpose: Purpose, *key: int) -> np.random.Generator:
        """A fresh generator for `purpose` and `key`; equal arguments give equal generators."""
        # A spawn key, not more entropy: entropy is padded with zeros, so that a key of 0 would
        # equal no key, and its words are 32 bits wide, so that a large seed would spill over.
        sequence = np.random.SeedSequence(self.seed, spawn_key=(_PURPOSES[purpose], *key))
        return np.random.default_rng(sequence)

    def integer(self, purpose: Purpose, *key: int) -> int:
        """A 63-bit integer from the same derivation, to seed another library's generator."""
        return int(self.generator(purpose, *key).integers(2**63 - 1))
