"""Train one variation, all its seeds.

python -m src.train --config FILE --results-dir DIR
"""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn
from torch.nn import functional as F

from src.model import get_model
from src.preprocess import get_data


def set_seed(seed: int) -> None:
    """All generators that anything here draws from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def train_one_epoch(model: nn.Module, split, optimizer, batch_size: int) -> float:
    """One pass over the training data; the mean loss."""
    x, y = split
    model.train()
    total = 0.0
    for rows in torch.randperm(len(x)).split(batch_size):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    return total / len(x)


def evaluate(model: nn.Module, split) -> float:
    """Accuracy."""
    x, y = split
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(dim=1) == y).float().mean().item()


def run_seed(config: dict[str, Any], seed: int) -> dict[str, Any]:
    """The epoch with the highest validation accuracy is tested."""
    set_seed(seed)
    data = get_data(config["dataset"], seed)
    model = get_model(config["model"], data.classes)
    training = config["training"]
    optimizer = torch.optim.SGD(model.parameters(), lr=training["learning_rate"])
    start = time.perf_counter()
    best = {"val_accuracy": 0.0, "test_accuracy": 0.0}
    for _ in range(training["epochs"]):
        train_one_epoch(model, data.train, optimizer, training["batch_size"])
        accuracy = evaluate(model, data.val)
        if accuracy > best["val_accuracy"]:
            best = {"val_accuracy": accuracy, "test_accuracy": evaluate(model, data.test)}
    return {"seed": seed, "elapsed_sec": time.perf_counter() - start, **best}


def run_experiment(config: dict[str, Any], results_dir: Path) -> None:
    results = {
        "run_id": config["run_id"],
        "seeds": [run_seed(config, seed) for seed in config["seeds"]],
    }
    results_dir.mkdir(parents=True, exist_ok=True)
    (results_dir / "results.json").write_text(json.dumps(results, indent=2))
    print(json.dumps(results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run one variation.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--results-dir", type=Path, required=True)
    args = parser.parse_args()
    run_experiment(yaml.safe_load(args.config.read_text()), args.results_dir)
