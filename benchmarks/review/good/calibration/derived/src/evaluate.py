"""Means over seeds, and each calibrated arm against the raw one of its classifier."""

import numpy as np
from scipy.stats import wilcoxon

ALPHA = 0.05


def mean_scores(result: dict) -> dict:
    keys = [key for key in result["rows"][0] if key != "seed"]
    return {key: float(np.mean([row[key] for row in result["rows"]])) for key in keys}


def paired(raw: dict, other: dict, key: str) -> np.ndarray:
    """Differences by seed; negative where `other` is lower."""
    baseline = {row["seed"]: row[key] for row in raw["rows"]}
    return np.array([row[key] - baseline[row["seed"]] for row in other["rows"]])


def compare(results: list[dict], key: str = "ece") -> list[dict]:
    """Two-sided Wilcoxon signed-rank tests with Bonferroni correction."""
    by_id = {result["run_id"]: result for result in results}
    pairs = []
    for run_id, result in by_id.items():
        raw = by_id.get(run_id.partition("-")[0] + "-raw")
        if raw is not None and raw is not result:
            pairs.append((run_id, paired(raw, result, key)))
    rows = []
    for run_id, differences in pairs:
        p = float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0
        corrected = min(1.0, p * len(pairs))
        rows.append(
            {
                "run_id": run_id,
                "median_difference": float(np.median(differences)),
                "p": p,
                "p_corrected": corrected,
                "significant": corrected < ALPHA,
            }
        )
    return rows


def report(results: list[dict]) -> dict:
    """Mean scores by run, and the comparisons."""
    means = {result["run_id"]: mean_scores(result) for result in results}
    return {"means": means, "comparisons": compare(results)}
