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


def compare(results: list[dict]) -> list[dict]:
    """One row a run."""
    return [
        {"run_id": run["run_id"], "mean_test_accuracy": run["mean_test_accuracy"]}
        for run in results
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare variations.")
    parser.add_argument("--results-dir", type=Path, required=True)
    arguments = parser.parse_args()
    comparison = compare(load_results(arguments.results_dir))
    (arguments.results_dir / "comparison.json").write_text(json.dumps(comparison, indent=2))
    print(json.dumps({"comparison": comparison}))
