"""Classifiers by name."""

from sklearn.linear_model import LogisticRegression


def make_model(cfg: dict, seed: int):
    """An unfitted classifier with `predict_proba`."""
    if cfg["name"] == "logistic":
        return LogisticRegression(C=cfg["c"], max_iter=cfg["max_iter"], random_state=seed)
    raise ValueError(f"unknown model {cfg['name']!r}")
