"""Models by name: parameters in a dict of arrays, gradients written out."""

from collections.abc import Callable

import numpy as np

from src.config import ModelConfig

Parameters = dict[str, np.ndarray]
MODELS: dict[str, type["Softmax"]] = {}


def model(name: str) -> Callable[[type["Softmax"]], type["Softmax"]]:
    """Register a class of models."""

    def register(cls: type["Softmax"]) -> type["Softmax"]:
        MODELS[name] = cls
        return cls

    return register


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


@model("softmax")
class Softmax:
    """Multinomial logistic regression."""

    def __init__(self, inputs: int, classes: int, rng: np.random.Generator) -> None:
        self.parameters: Parameters = {
            "w": rng.normal(scale=0.1, size=(inputs, classes)),
            "b": np.zeros(classes),
        }

    def logits(self, x: np.ndarray) -> np.ndarray:
        return x @ self.parameters["w"] + self.parameters["b"]

    def gradients(self, x: np.ndarray, y: np.ndarray) -> Parameters:
        """Of the mean cross-entropy."""
        error = np.exp(log_softmax(self.logits(x)))
        error[np.arange(len(y)), y] -= 1.0
        error /= len(y)
        return {"w": x.T @ error, "b": error.sum(axis=0)}

    def loss(self, x: np.ndarray, y: np.ndarray) -> float:
        return float(-log_softmax(self.logits(x))[np.arange(len(y)), y].mean())

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        return float((self.logits(x).argmax(axis=1) == y).mean())


@model("mlp")
class Mlp(Softmax):
    """One hidden layer of tanh units."""

    def __init__(self, inputs: int, classes: int, hidden: int, rng: np.random.Generator) -> None:
        super().__init__(hidden, classes, rng)
        self.parameters["v"] = rng.normal(scale=inputs**-0.5, size=(inputs, hidden))
        self.parameters["c"] = rng.normal(scale=0.5, size=hidden)

    def features(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x @ self.parameters["v"] + self.parameters["c"])

    def logits(self, x: np.ndarray) -> np.ndarray:
        return super().logits(self.features(x))

    def gradients(self, x: np.ndarray, y: np.ndarray) -> Parameters:
        features = self.features(x)
        error = np.exp(log_softmax(super().logits(features)))
        error[np.arange(len(y)), y] -= 1.0
        error /= len(y)
        below = (error @ self.parameters["w"].T) * (1.0 - features**2)
        return {
            "w": features.T @ error,
            "b": error.sum(axis=0),
            "v": x.T @ below,
            "c": below.sum(axis=0),
        }


def make_model(config: ModelConfig, inputs: int, classes: int, rng: np.random.Generator) -> Softmax:
    """The configured model, freshly initialised."""
    cls = MODELS[config.name]
    if issubclass(cls, Mlp):
        return cls(inputs, classes, config.hidden, rng)
    return cls(inputs, classes, rng)
