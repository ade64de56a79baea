"""One variation: a search on every seed; writes results.json."""

import argparse
import json
from functools import partial
from pathlib import Path

import yaml
from torch import nn

import ohgw
from ohgw.core.records import read_records
from src.model import make_model
from src.preprocess import load_data


def make_task(cfg: dict) -> ohgw.ModuleTask:
    """The configured data, model and search space as a task."""
    data, search = load_data(cfg["dataset"]), cfg["search"]
    inputs, classes = data["train"][0].shape[1], int(data["train"][1].max()) + 1
    bounds = cfg["space"]
    space = ohgw.Space(
        {
            "learning_rate": ohgw.Float(*bounds["learning_rate"], log=True),
            "weight_decay": ohgw.Float(*bounds["weight_decay"], log=True),
            "momentum": ohgw.Float(*bounds["momentum"]),
        }
    )
    return ohgw.ModuleTask(
        partial(make_model, cfg["model"], inputs, classes),
        nn.functional.cross_entropy,
        data["train"],
        data["val"],
        space,
        test=data["test"],
        batch_size=search["batch_size"],
        min_resource=search["min_epochs"],
        max_resource=search["max_epochs"],
        name=cfg["dataset"]["name"],
    )


def run_seed(cfg: dict, task: ohgw.ModuleTask, seed: int, out: Path) -> dict:
    """One search; what was recorded of it."""
    search = cfg["search"]
    found = ohgw.tune(
        task,
        scheduler=search["scheduler"],
        method=search["method"],
        recipe=search["recipe"],
        budget=search["budget_epochs"],
        workers=search["workers"],
        seed=seed,
        out=out,
        resume=True,
    )
    header, reports, _ = read_records(out / "records.jsonl")
    target = cfg["evaluation"]["target_val_loss"]
    reached = [r.work for r in reports if r.score is not None and r.score <= target]
    return {
        "seed": seed,
        "best_val_loss": found.score,
        "test_loss": found.test["loss"],
        "epochs": found.work,
        "probe_share": found.probe_share,
        "trials": found.trials,
        "configuration": found.configuration,
        "epochs_to_target": reached[0] / header.steps_per_epoch if reached else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one variation.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--results-dir", type=Path, required=True)
    arguments = parser.parse_args()
    cfg = yaml.safe_load(arguments.config.read_text())
    task = make_task(cfg)
    seeds = []
    for seed in cfg["seeds"]:
        seeds.append(run_seed(cfg, task, seed, arguments.results_dir / f"seed-{seed}"))
        print(f"{cfg['run_id']} seed {seed}: {seeds[-1]['best_val_loss']:.4f}", flush=True)
    results = {"run_id": cfg["run_id"], "seeds": seeds}
    (arguments.results_dir / "results.json").write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
