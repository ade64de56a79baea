"""`cartpole`: balance a pole on a cart, by PPO.

Environment: `_environments.CartPoles`, CartPole-v1's: a point a step, 500 at most. In this package.
Model: `_ppo.Perceptrons`, actor and critic of two hidden layers of 64; 9,155 parameters.
Training: `_reinforcement`, 4,096 steps in four copies for each unit of resource.
"""

import numpy as np

from ohgw.tasks.control._environments import CartPoles
from ohgw.tasks.control._ppo import Perceptrons
from ohgw.tasks.control._reinforcement import ReinforcementTask


class CartPole(ReinforcementTask):
    """A pole on a cart, balanced by PPO; the return is the steps it stood."""

    name = "cartpole"
    small = "cartpole"
    policy = Perceptrons(CartPoles.observations, CartPoles.actions)

    def make(self, count: int, rng: np.random.Generator, *, training: bool) -> CartPoles:
        return CartPoles(count, rng)
