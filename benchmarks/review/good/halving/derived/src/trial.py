"""The search space, and trials: configurations being trained."""

import math

import numpy as np

from src.config import RunConfig, SpaceConfig
from src.data import Splits
from src.models import Softmax, make_model
from src.optimizer import Hyperparameters, Sgd


def log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def sample(space: SpaceConfig, rng: np.random.Generator) -> Hyperparameters:
    """Learning rate and weight decay on a logarithmic scale, momentum on a linear one."""
    return Hyperparameters(
        learning_rate=log_uniform(*space.learning_rate, rng),
        momentum=rng.uniform(*space.momentum),
        weight_decay=log_uniform(*space.weight_decay, rng),
    )


def train_epoch(
    model: Softmax, data: Splits, batch_size: int, optimizer: Sgd, rng: np.random.Generator
) -> None:
    """One pass of mini-batch gradient descent."""
    order = rng.permutation(len(data.train.y))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        gradients = model.gradients(data.train.x[rows], data.train.y[rows])
        optimizer.step(model.parameters, gradients)


class Trial:
    """One sampled configuration with a model and a stream of random numbers of its own."""

    def __init__(self, config: RunConfig, data: Splits, seed: int, number: int) -> None:
        self.rng = np.random.default_rng([seed, 2, number])
        self.data = data
        self.batch_size = config.train.batch_size
        self.model = make_model(config.model, data.train.x.shape[1], data.classes, self.rng)
        self.optimizer = Sgd(sample(config.space, self.rng))
        self.curve = [self.model.loss(*data.val)]

    def advance(self) -> float:
        """One epoch. The validation loss of a trial that has diverged is and stays infinite."""
        if math.isfinite(self.curve[-1]):
            with np.errstate(all="ignore"):
                train_epoch(self.model, self.data, self.batch_size, self.optimizer, self.rng)
                loss = self.model.loss(*self.data.val)
            self.curve.append(loss if math.isfinite(loss) else math.inf)
        else:
            self.curve.append(math.inf)
        return self.curve[-1]
