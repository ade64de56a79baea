"""Train one configured run with every seed."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from src.config import RunConfig
from src.data import Splits, load_splits
from src.models import MODELS, Softmax

log = logging.getLogger(__name__)


def train_epoch(
    model: Softmax, data: Splits, batch_size: int, learning_rate: float, rng: np.random.Generator
) -> None:
    """One pass of mini-batch gradient descent."""
    order = rng.permutation(len(data.train.y))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        gradients = model.gradients(data.train.x[rows], data.train.y[rows])
        for name, gradient in gradients.items():
            model.parameters[name] -= learning_rate * gradient


def run_seed(config: RunConfig, seed: int) -> dict[str, Any]:
    """The epoch with the lowest validation loss is the one that is tested."""
    data = load_splits(config.data, seed)
    rng = np.random.default_rng([seed, 2])
    model = MODELS[config.model.name](data.train.x.shape[1], data.classes, rng)
    best: dict[str, Any] = {"val_loss": float("inf")}
    for epoch in range(1, config.train.epochs + 1):
        train_epoch(model, data, config.train.batch_size, config.train.learning_rate, rng)
        val_loss = model.loss(*data.val)
        if val_loss < best["val_loss"]:
            accuracy = model.accuracy(*data.test)
            best = {"val_loss": val_loss, "test_accuracy": accuracy, "epoch": epoch}
    return {"seed": seed, **best}


def run(config: RunConfig, folder: Path) -> None:
    """Write results.json with one row a seed."""
    rows = []
    for seed in config.seeds:
        rows.append(run_seed(config, seed))
        log.info("%s, seed %d: test accuracy %.3f", config.run_id, seed, rows[-1]["test_accuracy"])
    folder.mkdir(parents=True, exist_ok=True)
    document = {"run_id": config.run_id, "rows": rows}
    (folder / "results.json").write_text(json.dumps(document, indent=2))
