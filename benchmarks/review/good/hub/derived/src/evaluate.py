"""Compare the runs of a results directory: python -m src.evaluate DIR"""

import json
import sys
from pathlib import Path

import numpy as np


def load_results(folder: Path) -> list[dict]:
    paths = sorted(folder.glob("*/results.json"))
    if not paths:
        raise FileNotFoundError(f"no results.json below {folder}")
    return [json.loads(path.read_text()) for path in paths]


def summarise(result: dict) -> dict:
    """Mean and standard deviation over seeds."""
    accuracies = np.array([seed["test_accuracy"] for seed in result["seeds"]])
    return {
        "run_id": result["run_id"],
        "seeds": len(accuracies),
        "test_accuracy": float(accuracies.mean()),
        "std": float(accuracies.std()),
        "test_nll": float(np.mean([seed["test_nll"] for seed in result["seeds"]])),
    }


def main(folder: Path) -> None:
    rows = [summarise(result) for result in load_results(folder)]
    (folder / "comparison.json").write_text(json.dumps(rows, indent=2))
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
