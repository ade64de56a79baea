"""Runs the public DyHPO over a table of learning curves; a child process of benchmarks/dyhpo.py.

Imports nothing of ohgw: it runs in the public code's own environment (numpy<2, torch, gpytorch,
scikit-learn).

    PYTHON benchmarks/_dyhpo_public.py CODE TABLE.npz SEED EPOCHS OUT.json
"""

import json
import sys
import tempfile
import time
import warnings

import numpy as np


def main(code: str, table: str, seed: str, epochs: str, out: str) -> None:
    sys.path.insert(0, code)
    warnings.simplefilter("ignore")
    import torch
    from hpo_method import DyHPOAlgorithm

    torch.set_num_threads(1)
    data = np.load(table)
    points, scores = data["points"], data["scores"]
    with tempfile.TemporaryDirectory() as scratch:  # it writes a file after every step
        search = DyHPOAlgorithm(
            points,
            [False] * points.shape[1],  # points of the unit cube: logarithms are taken already
            seed=int(seed),
            max_benchmark_epochs=scores.shape[1],
            total_budget=10**9,  # beyond its budget it would exit the process
            device="cpu",
            output_path=scratch,
            verbose=False,
        )
        picks, seconds = [], []
        for _ in range(int(epochs)):
            begin = time.process_time()
            row, budget = search.suggest()
            search.observe(int(row), int(budget), scores[row, :budget].tolist())
            seconds.append(time.process_time() - begin)
            picks.append([int(row), int(budget)])
    with open(out, "w") as file:
        json.dump({"picks": picks, "seconds": seconds}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
