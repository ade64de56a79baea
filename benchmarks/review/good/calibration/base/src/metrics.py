"""How good predicted probabilities are."""

import numpy as np

EPS = 1e-12


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chosen, EPS, 1.0)).mean())


METRICS = {"accuracy": accuracy, "log_loss": log_loss}
