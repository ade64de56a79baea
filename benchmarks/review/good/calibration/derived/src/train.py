"""One run: fit and score with every seed on every data set."""

import logging

import numpy as np

from src.calibrators import make_calibrator
from src.data import load
from src.metrics import METRICS, expected_calibration_error
from src.models import make_model

logger = logging.getLogger("train")


def score(probabilities, labels, bins: int) -> dict:
    scores = {name: metric(probabilities, labels) for name, metric in METRICS.items()}
    scores["ece"] = expected_calibration_error(probabilities, labels, bins)
    return scores


def run_once(cfg: dict, name: str, seed: int) -> dict:
    """Fit on the training split, calibrate on the validation split, score on the test split."""
    data = load(name, cfg["split"], seed)
    model = make_model(cfg["model"], seed).fit(*data["train"])
    bins = cfg["calibration"]["bins"]
    x_val, y_val = data["val"]
    calibrator = make_calibrator(cfg["calibrator"], bins)
    calibrator.fit(model.predict_proba(x_val), y_val)
    x_test, y_test = data["test"]
    return score(calibrator.transform(model.predict_proba(x_test)), y_test, bins)


def run(cfg: dict) -> dict:
    """Scores by seed, averaged over the data sets."""
    rows = []
    for seed in cfg["seeds"]:
        scores = [run_once(cfg, name, seed) for name in cfg["dataset"]["names"]]
        row = {key: float(np.mean([s[key] for s in scores])) for key in scores[0]}
        rows.append({"seed": seed, **row})
        logger.info("%s seed %d: %s", cfg["run_id"], seed, row)
    return {"run_id": cfg["run_id"], "rows": rows}
