"""Means over seeds."""

import numpy as np


def mean_scores(result: dict) -> dict:
    keys = [key for key in result["rows"][0] if key != "seed"]
    return {key: float(np.mean([row[key] for row in result["rows"]])) for key in keys}


def report(results: list[dict]) -> dict:
    """Mean scores by run."""
    return {result["run_id"]: mean_scores(result) for result in results}
