"""Compare all variations of a results directory."""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.stats import wilcoxon

BASELINE = "asha-baseline"


def load_results(results_dir: Path) -> dict[str, dict]:
    """By run_id."""
    found = [json.loads(path.read_text()) for path in sorted(results_dir.glob("*/results.json"))]
    if not found:
        raise FileNotFoundError(f"no results.json below {results_dir}")
    return {result["run_id"]: result for result in found}


def summary(result: dict) -> dict:
    accuracies = [seed["test_accuracy"] for seed in result["seeds"]]
    times = [seed["time_to_target"] for seed in result["seeds"]]
    reached = [time for time in times if time is not None]
    return {
        "test_accuracy": float(np.mean(accuracies)),
        "std": float(np.std(accuracies)),
        "median_time_to_target": float(np.median(reached)) if reached else None,
        "seeds_at_target": len(reached),
    }


def paired_test(baseline: dict, other: dict) -> float | None:
    """p of a two-sided Wilcoxon test on time to target, over seeds where both reached it."""
    times = {seed["seed"]: seed["time_to_target"] for seed in baseline["seeds"]}
    pairs = [(times[seed["seed"]], seed["time_to_target"]) for seed in other["seeds"]]
    differences = [b - a for a, b in pairs if a is not None and b is not None]
    if not np.any(differences):
        return None
    return float(wilcoxon(differences).pvalue)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--results-dir", type=Path, required=True)
    args = parser.parse_args()
    results = load_results(args.results_dir)
    comparison = {run_id: summary(result) for run_id, result in results.items()}
    for run_id, result in results.items():
        if run_id != BASELINE:
            comparison[run_id]["p_time_to_target"] = paired_test(results[BASELINE], result)
    (args.results_dir / "comparison.json").write_text(json.dumps(comparison, indent=2))
    print(json.dumps(comparison, indent=2))


if __name__ == "__main__":
    main()
