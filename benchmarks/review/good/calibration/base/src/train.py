"""One run: fit and score with every seed on every data set."""

import logging

import numpy as np

from src.data import load
from src.metrics import METRICS
from src.models import make_model

logger = logging.getLogger("train")


def score(probabilities, labels) -> dict:
    return {name: metric(probabilities, labels) for name, metric in METRICS.items()}


def run_once(cfg: dict, name: str, seed: int) -> dict:
    """Fit on the training split, score on the test split."""
    data = load(name, cfg["split"], seed)
    model = make_model(cfg["model"], seed).fit(*data["train"])
    x_test, y_test = data["test"]
    return score(model.predict_proba(x_test), y_test)


def run(cfg: dict) -> dict:
    """Scores by seed, averaged over the data sets."""
    rows = []
    for seed in cfg["seeds"]:
        scores = [run_once(cfg, name, seed) for name in cfg["dataset"]["names"]]
        row = {key: float(np.mean([s[key] for s in scores])) for key in scores[0]}
        rows.append({"seed": seed, **row})
        logger.info("%s seed %d: %s", cfg["run_id"], seed, row)
    return {"run_id": cfg["run_id"], "rows": rows}
