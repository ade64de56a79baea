"""Compare all variations of a results directory."""

import argparse
import json
from pathlib import Path

import numpy as np


def load_results(results_dir: Path) -> dict[str, dict]:
    """By run_id."""
    found = [json.loads(path.read_text()) for path in sorted(results_dir.glob("*/results.json"))]
    if not found:
        raise FileNotFoundError(f"no results.json below {results_dir}")
    return {result["run_id"]: result for result in found}


def summary(result: dict) -> dict:
    accuracies = [seed["test_accuracy"] for seed in result["seeds"]]
    return {"test_accuracy": float(np.mean(accuracies)), "std": float(np.std(accuracies))}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--results-dir", type=Path, required=True)
    args = parser.parse_args()
    results = load_results(args.results_dir)
    comparison = {run_id: summary(result) for run_id, result in results.items()}
    (args.results_dir / "comparison.json").write_text(json.dumps(comparison, indent=2))
    print(json.dumps(comparison, indent=2))


if __name__ == "__main__":
    main()
