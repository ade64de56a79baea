"""Configurations and where they are sampled."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Hyperparameters:
    learning_rate: float
    weight_decay: float
    label_smoothing: float

    def vector(self) -> list[float]:
        """Learning rate and weight decay as their logarithms."""
        return [math.log(self.learning_rate), math.log(self.weight_decay), self.label_smoothing]


class Space:
    """A box in which learning rate and weight decay are logarithmic."""

    def __init__(self, config: dict[str, Any]):
        low = Hyperparameters(**{name: bounds[0] for name, bounds in config.items()})
        high = Hyperparameters(**{name: bounds[1] for name, bounds in config.items()})
        self.low, self.high = np.array(low.vector()), np.array(high.vector())

    def sample(self, rng: np.random.Generator) -> Hyperparameters:
        return self.configuration(rng.uniform(self.low, self.high))

    def configuration(self, vector: np.ndarray) -> Hyperparameters:
        """The configuration at a point, or at the nearest one inside the box."""
        log_rate, log_decay, smoothing = np.clip(vector, self.low, self.high).tolist()
        return Hyperparameters(math.exp(log_rate), math.exp(log_decay), smoothing)
