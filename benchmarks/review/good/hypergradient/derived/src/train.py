"""Train one variation, all its seeds.

python -m src.train --config FILE --results-dir DIR
"""

import argparse
import json
import random
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn
from torch.nn import functional as F

from src.asha import Asha
from src.model import get_model
from src.preprocess import Data, get_data
from src.space import Space
from src.warm_start import warm_start

SCHEDULERS = {"asha": Asha}


def set_seed(seed: int) -> None:
    """All generators that anything here draws from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def train_one_epoch(
    model: nn.Module, split, optimizer, batch_size: int, label_smoothing: float
) -> float:
    """One pass over the training data; the mean loss."""
    x, y = split
    model.train()
    total = 0.0
    for rows in torch.randperm(len(x)).split(batch_size):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[rows]), y[rows], label_smoothing=label_smoothing)
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


def start_trial(config: dict[str, Any], data: Data, space: Space, seed: int, number: int):
    """A new model, its warm-started configuration and its optimiser.

    A trial draws from streams of its own, so that all variations sample the same configurations.
    """
    set_seed(1000 * seed + number)
    rng = np.random.default_rng([seed, number])
    model = get_model(config["model"], data.classes)
    sampled = space.sample(rng)
    chosen = warm_start(model, data.train, sampled, space, config["warm_start"], rng)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=chosen.learning_rate, weight_decay=chosen.weight_decay
    )
    return model, chosen, optimizer


def run_seed(config: dict[str, Any], seed: int) -> dict[str, Any]:
    """One search. The trial and rung with the highest validation accuracy are those tested."""
    data, space = get_data(config["dataset"], seed), Space(config["space"])
    settings = dict(config["scheduler"])
    scheduler = SCHEDULERS[settings.pop("name")](**settings)
    target = config["evaluation"]["target_accuracy"]
    trials: dict[int, tuple] = {}
    trained: dict[int, int] = {}
    best: dict[str, Any] = {"val_accuracy": 0.0, "test_accuracy": 0.0}
    reached, moved = None, []
    start = time.perf_counter()
    while (job := scheduler.next()) is not None:
        number, epochs = job
        if number not in trials:
            trials[number] = start_trial(config, data, space, seed, number)
            moved.append(asdict(trials[number][1]))
        model, chosen, optimizer = trials[number]
        for _ in range(epochs - trained.get(number, 0)):
            train_one_epoch(
                model,
                data.train,
                optimizer,
                config["training"]["batch_size"],
                chosen.label_smoothing,
            )
        trained[number] = epochs
        accuracy = evaluate(model, data.val)
        scheduler.report(number, epochs, accuracy)
        if accuracy > best["val_accuracy"]:
            best = {
                "val_accuracy": accuracy,
                "test_accuracy": evaluate(model, data.test),
                "epochs": epochs,
                **asdict(chosen),
            }
        if reached is None and accuracy >= target:
            reached = time.perf_counter() - start
    elapsed = time.perf_counter() - start
    times = {"time_to_target": reached, "elapsed_sec": elapsed}
    return {"seed": seed, **times, **best, "evaluated": moved}


def run_experiment(config: dict[str, Any], results_dir: Path) -> None:
    results = {
        "run_id": config["run_id"],
        "seeds": [run_seed(config, seed) for seed in config["seeds"]],
    }
    results_dir.mkdir(parents=True, exist_ok=True)
    (results_dir / "results.json").write_text(json.dumps(results, indent=2))
    print(json.dumps(results))


if __name__ == "__main__":
    torch.set_num_threads(1)  # the network is small, and times are compared
    parser = argparse.ArgumentParser(description="Run one variation.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--results-dir", type=Path, required=True)
    args = parser.parse_args()
    run_experiment(yaml.safe_load(args.config.read_text()), args.results_dir)
