"""`acrobot`: swing two links up, by PPO.

Environment: `_environments.Acrobots`, Acrobot-v1's: minus a point a step until the tip is up, 500
steps at most. In this package.
Model: `_ppo.Perceptrons`, actor and critic of two hidden layers of 64; 9,476 parameters.
Training: `_reinforcement`, 4,096 steps in four copies for each unit of resource.
"""

import numpy as np

from ohgw.tasks.control._environments import Acrobots
from ohgw.tasks.control._ppo import Perceptrons
from ohgw.tasks.control._reinforcement import ReinforcementTask


class Acrobot(ReinforcementTask):
    """Two links to swing up, by PPO; the return is minus the steps it took."""

    name = "acrobot"
    small = "acrobot"
    policy = Perceptrons(Acrobots.observations, Acrobots.actions)

    def make(self, count: int, rng: np.random.Generator, *, training: bool) -> Acrobots:
        return Acrobots(count, rng)
