"""Search with every seed of one configured run."""

import json
import logging
from pathlib import Path
from typing import Any

from src.config import RunConfig
from src.data import load_splits
from src.schedulers import make_scheduler
from src.trial import Trial

log = logging.getLogger(__name__)


def run_seed(config: RunConfig, seed: int) -> dict[str, Any]:
    """One search; the trial and epoch with the lowest validation loss are those tested."""
    data = load_splits(config.data, seed)
    trials = [Trial(config, data, seed, number) for number in range(config.search.trials)]
    curves = {number: trial.curve for number, trial in enumerate(trials)}
    spent, reached = 0, None
    best: dict[str, Any] = {"val_loss": float("inf")}
    for chosen, epoch in make_scheduler(config.search).rungs(curves):
        for number in chosen:
            trial = trials[number]
            while len(trial.curve) <= epoch:
                val_loss = trial.advance()
                spent += 1
                if val_loss < best["val_loss"]:
                    best = {
                        "val_loss": val_loss,
                        "test_accuracy": trial.model.accuracy(*data.test),
                        "trial": number,
                        "epoch": len(trial.curve) - 1,
                    }
                if reached is None and val_loss <= config.train.target_loss:
                    reached = spent
    if "test_accuracy" not in best:
        raise RuntimeError(f"{config.run_id}, seed {seed}: every trial diverged")
    return {"seed": seed, "epochs_spent": spent, "epochs_to_target": reached, **best}


def run(config: RunConfig, folder: Path) -> None:
    """Write results.json with one row a seed."""
    rows = []
    for seed in config.seeds:
        rows.append(run_seed(config, seed))
        log.info("%s, seed %d: test accuracy %.3f", config.run_id, seed, rows[-1]["test_accuracy"])
    folder.mkdir(parents=True, exist_ok=True)
    document = {"run_id": config.run_id, "rows": rows}
    (folder / "results.json").write_text(json.dumps(document, indent=2))
