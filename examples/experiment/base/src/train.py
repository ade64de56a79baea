"""One run of the experiment: train, evaluate after every epoch, write the results."""

import argparse
import json
import time
from pathlib import Path

import torch
import yaml
from torch import nn

from src.model import make_model
from src.preprocess import load_data


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


def run_seed(cfg: dict, data, seed: int) -> dict:
    """Train with one seed; the best validation loss decides which epoch is tested."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    classes = int(data["train"][1].max()) + 1
    model = make_model(cfg["model"], data["train"][0].shape[1], classes)
    settings = cfg["training"]
    optimizer = torch.optim.SGD(model.parameters(), lr=settings["lr"])
    history, best = [], None
    for epoch in range(1, settings["epochs"] + 1):
        train_loss = train_epoch(model, optimizer, data["train"], settings["batch_size"], generator)
        val = evaluate(model, data["val"])
        history.append({"epoch": epoch, "train_loss": train_loss, "val_loss": val["loss"]})
        if best is None or val["loss"] < best["val_loss"]:
            test = evaluate(model, data["test"])
            best = {"val_loss": val["loss"], "test_accuracy": test["accuracy"], "epoch": epoch}
    return {"seed": seed, "history": history, **best}


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
