"""Models by name: parameters in a dict of arrays, gradients written out."""

from collections.abc import Callable

import numpy as np

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
