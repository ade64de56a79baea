"""Compare the runs of a results directory; prints one JSON object."""

import argparse
import json
from pathlib import Path


def load_results(results_dir: Path) -> list[dict]:
    """results.json of every run, in order of their names."""
    files = sorted(results_dir.glob("*/results.json"))
    if not files:
        raise FileNotFoundError(f"No results.json below {results_dir}.")
    return [json.loads(file.read_text()) for file in files]


def median_work(run: dict) -> float | None:
    """Median over seeds of the work until the target; None where most seeds never got there."""
    reached = [seed["work_to_target"] for seed in run["seeds"]]
    ordered = sorted(float("inf") if work is None else work for work in reached)
    middle = ordered[(len(ordered) - 1) // 2]
    return None if middle == float("inf") else middle


def compare(results: list[dict]) -> list[dict]:
    """One row a run."""
    return [
        {
            "run_id": run["run_id"],
            "mean_test_accuracy": run["mean_test_accuracy"],
            "median_work_to_target": median_work(run),
        }
        for run in results
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare variations.")
    parser.add_argument("--results-dir", type=Path, required=True)
    arguments = parser.parse_args()
    comparison = compare(load_results(arguments.results_dir))
    (arguments.results_dir / "comparison.json").write_text(json.dumps(comparison, indent=2))
    print(json.dumps({"comparison": comparison}))
