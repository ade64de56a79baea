"""One run of the experiment: search with PASHA, evaluate at every epoch, write the results.

Cost is counted in training steps, the probe's included, so that it does not depend on the machine.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn

import ohgw
from ohgw.schedulers import make as make_scheduler
from src.model import make_model
from src.preprocess import load_data
from src.warm_start import warm_start


def train_epoch(model, optimizer, data, batch_size: int, generator) -> float:
    """One pass over the training data; returns the mean loss."""
    x, y = data
    criterion = nn.CrossEntropyLoss()
    total = 0.0
    for batch in torch.randperm(len(x), generator=generator).split(batch_size):
        optimizer.zero_grad()
        loss = criterion(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    return total / len(x)


def evaluate(model, data) -> dict[str, float]:
    """Loss and accuracy on one split."""
    x, y = data
    with torch.no_grad():
        logits = model(x)
    return {
        "loss": nn.functional.cross_entropy(logits, y).item(),
        "accuracy": (logits.argmax(-1) == y).float().mean().item(),
    }


def search_space(cfg: dict) -> ohgw.Space:
    """Three dimensions; learning rate and weight decay on a logarithmic scale."""
    return ohgw.Space(
        {
            "learning_rate": ohgw.Float(*cfg["learning_rate"], log=True),
            "weight_decay": ohgw.Float(*cfg["weight_decay"], log=True),
            "momentum": ohgw.Float(*cfg["momentum"]),
        }
    )


class Trial:
    """A configuration being trained: model, optimiser and mini-batch order of its own."""

    def __init__(self, cfg: dict, data, seed: int, number: int) -> None:
        torch.manual_seed(1000 * seed + number)
        self.generator = torch.Generator().manual_seed(1000 * seed + number)
        self.batch_size = cfg["training"]["batch_size"]
        classes = int(data["train"][1].max()) + 1
        self.model = make_model(cfg["model"], data["train"][0].shape[1], classes)

    def start(self, configuration: dict) -> None:
        self.optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=configuration["learning_rate"],
            momentum=configuration["momentum"],
            weight_decay=configuration["weight_decay"],
        )

    def train(self, data, epochs: int) -> None:
        for _ in range(epochs):
            train_epoch(self.model, self.optimizer, data["train"], self.batch_size, self.generator)


def run_seed(cfg: dict, data, seed: int) -> dict:
    """One search; the best validation loss decides which trial is tested."""
    settings, space = cfg["training"], search_space(cfg["space"])
    scheduler = make_scheduler(
        f"pasha:eta={cfg['scheduler']['eta']}",
        space,
        np.random.default_rng(seed),
        mode="min",
        min_resource=cfg["scheduler"]["min_epochs"],
        max_resource=cfg["scheduler"]["max_epochs"],
    )
    steps_per_epoch = -(-len(data["train"][0]) // settings["batch_size"])
    trials: dict[int, Trial] = {}
    work, history, best, reached = 0.0, [], None, None
    while work < settings["budget_epochs"] * steps_per_epoch:
        asked = scheduler.ask()
        if asked.is_new:
            trial = trials[asked.trial] = Trial(cfg, data, seed, asked.trial)
            configuration = asked.configuration
            if cfg["ohgw"]["enabled"]:
                configuration, probe_work = warm_start(
                    trial.model, data, configuration, space, cfg["ohgw"], seed
                )
                work += probe_work
                scheduler.amend(asked.trial, configuration)
            trial.start(configuration)
        trial = trials[asked.trial]
        trial.train(data, asked.resource - asked.start)
        work += (asked.resource - asked.start) * steps_per_epoch
        val = evaluate(trial.model, data["val"])
        finite = np.isfinite(val["loss"])
        scheduler.tell(asked.trial, asked.resource, val["loss"] if finite else float("inf"))
        if finite and (best is None or val["loss"] < best["val_loss"]):
            test = evaluate(trial.model, data["test"])
            best = {
                "val_loss": val["loss"],
                "test_accuracy": test["accuracy"],
                "trial": asked.trial,
                "epoch": asked.resource,
            }
            history.append({"work": work, **best})
            if reached is None and val["loss"] <= cfg["evaluation"]["target_val_loss"]:
                reached = work
    if best is None:
        raise RuntimeError(f"Seed {seed}: every trial diverged within the budget.")
    counts = {"seed": seed, "work_to_target": reached, "trials": len(trials)}
    return {**counts, "history": history, **best}


def run_experiment(cfg: dict, results_dir: Path) -> None:
    """Every seed of one configured run, into results.json."""
    began = time.perf_counter()
    data = load_data(cfg["dataset"])
    seeds = [run_seed(cfg, data, seed) for seed in cfg["seeds"]]
    results = {
        "run_id": cfg["run_id"],
        "seeds": seeds,
        "mean_test_accuracy": sum(seed["test_accuracy"] for seed in seeds) / len(seeds),
        "elapsed_sec": time.perf_counter() - began,
    }
    results_dir.mkdir(parents=True, exist_ok=True)
    (results_dir / "results.json").write_text(json.dumps(results, indent=2, allow_nan=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run one variation.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--results-dir", type=Path, required=True)
    arguments = parser.parse_args()
    run_experiment(yaml.safe_load(arguments.config.read_text()), arguments.results_dir)
