"""Summarise the results of all runs in one table."""

import json
from pathlib import Path
from typing import Any

import numpy as np


def load_results(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("*/results.json"))
    if not paths:
        raise FileNotFoundError(f"no results.json below {folder}")
    return [json.loads(path.read_text()) for path in paths]


def summarise(document: dict[str, Any]) -> dict[str, Any]:
    """Mean and standard error over seeds."""
    accuracies = np.array([row["test_accuracy"] for row in document["rows"]])
    error = accuracies.std(ddof=1) / np.sqrt(len(accuracies)) if len(accuracies) > 1 else 0.0
    return {
        "run_id": document["run_id"],
        "test_accuracy": float(accuracies.mean()),
        "standard_error": float(error),
    }


def evaluate(folder: Path) -> list[dict[str, Any]]:
    """Write summary.json and give back its rows."""
    rows = [summarise(document) for document in load_results(folder)]
    (folder / "summary.json").write_text(json.dumps(rows, indent=2))
    return rows
