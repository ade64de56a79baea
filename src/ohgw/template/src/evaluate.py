"""Compare the runs of a directory with the baseline, seed by seed; prints one JSON object."""

import argparse
import json
from math import inf, log
from pathlib import Path
from statistics import median

from scipy.stats import wilcoxon

BASELINE = "pasha-baseline"
ENOUGH = 6  # pairs below which a two-sided test cannot reach p < .05


def load_results(results_dir: Path) -> dict[str, list[dict]]:
    """The seeds of every run by its id."""
    files = sorted(results_dir.glob("*/results.json"))
    if not files:
        raise FileNotFoundError(f"No results.json below {results_dir}.")
    runs = [json.loads(file.read_text()) for file in files]
    return {run["run_id"]: run["seeds"] for run in runs}


def times(seeds: list[dict]) -> dict[int, float]:
    """Epochs of work to the target by seed; a miss takes infinitely long."""
    return {
        row["seed"]: inf if row["epochs_to_target"] is None else row["epochs_to_target"]
        for row in seeds
    }


def finite(value: float) -> float | None:
    """JSON has no infinity: None stands for a time that was never reached."""
    return None if value == inf else value


def log_ratio(time: float, reference: float, longest: float) -> float:
    """Of two times; a miss counts as longer than every time that was seen."""
    return log(min(time, longest)) - log(min(reference, longest))


def p_value(run: dict[int, float], baseline: dict[int, float]) -> float | None:
    """Two-sided Wilcoxon signed-rank on paired seeds; None where it could decide nothing."""
    paired = sorted(run.keys() & baseline.keys())
    seen = [t for t in (*run.values(), *baseline.values()) if t < inf]
    if len(paired) < ENOUGH or not seen:
        return None
    longest = 10 * max(seen)
    differences = [log_ratio(run[seed], baseline[seed], longest) for seed in paired]
    if not any(differences):
        return 1.0
    return float(wilcoxon(differences, zero_method="pratt").pvalue)


def compare(runs: dict[str, list[dict]]) -> list[dict]:
    """One row a run."""
    baseline = times(runs[BASELINE])
    rows = []
    for run_id, seeds in runs.items():
        reached = times(seeds)
        rows.append(
            {
                "run_id": run_id,
                "replicates": len(seeds),
                "median_epochs_to_target": finite(median(reached.values())),
                "reached": sum(time < inf for time in reached.values()),
                "median_val_loss": median(row["best_val_loss"] for row in seeds),
                "median_test_loss": median(row["test_loss"] for row in seeds),
                "probe_share": median(row["probe_share"] for row in seeds),
                "wilcoxon_p": None if run_id == BASELINE else p_value(reached, baseline),
            }
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare variations.")
    parser.add_argument("--results-dir", type=Path, required=True)
    arguments = parser.parse_args()
    comparison = compare(load_results(arguments.results_dir))
    (arguments.results_dir / "comparison.json").write_text(json.dumps(comparison, indent=2))
    print(json.dumps({"comparison": comparison}, indent=2))
