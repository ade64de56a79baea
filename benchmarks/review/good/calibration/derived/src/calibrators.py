"""Calibrators: fitted to held-out probabilities and labels, applied to others."""

import numpy as np
from scipy.optimize import minimize_scalar

from src.metrics import EPS, log_loss


class Identity:
    """No calibration: the arm that the others are compared with."""

    def fit(self, probabilities, labels):
        return self

    def transform(self, probabilities):
        return probabilities


class Temperature:
    """Divides the logarithms by one number, the best on the validation split."""

    def __init__(self):
        self.temperature = 1.0

    def fit(self, probabilities, labels):
        found = minimize_scalar(
            lambda t: log_loss(self._scaled(probabilities, np.exp(t)), labels),
            bounds=(-3.0, 3.0),
            method="bounded",
        )
        self.temperature = float(np.exp(found.x))
        return self

    def transform(self, probabilities):
        return self._scaled(probabilities, self.temperature)

    @staticmethod
    def _scaled(probabilities, temperature):
        logits = np.log(np.clip(probabilities, EPS, 1.0)) / temperature
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)


class Histogram:
    """Replaces each class's probability by the class's frequency in its bin, then normalises."""

    def __init__(self, bins):
        self.bins = bins
        self.frequencies = None

    def _bin(self, column):
        return np.minimum((column * self.bins).astype(int), self.bins - 1)

    def fit(self, probabilities, labels):
        classes = probabilities.shape[1]
        self.frequencies = np.empty((classes, self.bins))
        for k in range(classes):
            where = self._bin(probabilities[:, k])
            hits = np.bincount(where, weights=labels == k, minlength=self.bins)
            counts = np.bincount(where, minlength=self.bins)
            middle = (np.arange(self.bins) + 0.5) / self.bins
            self.frequencies[k] = (hits + middle) / (counts + 1.0)  # an empty bin keeps its middle
        return self

    def transform(self, probabilities):
        columns = [
            self.frequencies[k][self._bin(probabilities[:, k])]
            for k in range(probabilities.shape[1])
        ]
        stacked = np.stack(columns, axis=1)
        return stacked / stacked.sum(axis=1, keepdims=True)


def make_calibrator(name, bins):
    """An unfitted calibrator."""
    if name == "none":
        return Identity()
    if name == "temperature":
        return Temperature()
    if name == "histogram":
        return Histogram(bins)
    raise ValueError(f"unknown calibrator {name!r}")
