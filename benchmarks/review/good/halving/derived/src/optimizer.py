"""Stochastic gradient descent on a dict of arrays."""

from dataclasses import dataclass, field

import numpy as np

from src.models import Parameters


@dataclass(frozen=True)
class Hyperparameters:
    learning_rate: float
    momentum: float
    weight_decay: float


@dataclass
class Sgd:
    """With momentum, and weight decay added to the gradient."""

    hyperparameters: Hyperparameters
    velocity: dict[str, np.ndarray] = field(default_factory=dict)

    def step(self, parameters: Parameters, gradients: Parameters) -> None:
        h = self.hyperparameters
        for name, gradient in gradients.items():
            total = gradient + h.weight_decay * parameters[name]
            before = self.velocity.get(name, np.zeros_like(total))
            self.velocity[name] = h.momentum * before + total
            parameters[name] = parameters[name] - h.learning_rate * self.velocity[name]
