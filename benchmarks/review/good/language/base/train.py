"""Train every run with every seed; one JSON line for each evaluation.

python train.py --out DIR [--smoke]
"""

import argparse
import json
import os

import data
import model
import numpy as np
import report
import runs

HERE = os.path.dirname(os.path.abspath(__file__))


def batches(rng, x, y, size):
    """Mini-batches without end, drawn with replacement."""
    while True:
        rows = rng.integers(len(y), size=size)
        yield x[rows], y[rows]


def train(name, seed, size, out):
    """One run with one seed."""
    run = runs.RUNS[name]
    rng = np.random.default_rng(seed)
    codes, alphabet = data.read_corpus(os.path.join(HERE, "corpus.txt"))
    parts = data.split(codes, runs.MODEL["context"])
    params = model.init(rng, len(alphabet), **runs.MODEL)
    stream = batches(rng, *parts["train"], run["batch"])
    for step in range(1, size["steps"] + 1):
        loss, grads = model.loss_and_grad(params, *next(stream))
        params = [p - run["rate"] * g for p, g in zip(params, grads, strict=True)]
        if step % size["every"] == 0:
            row = {
                "run": name,
                "seed": seed,
                "step": step,
                "train_loss": float(loss),
                "valid_ppl": model.perplexity(params, *parts["valid"]),
                "test_ppl": model.perplexity(params, *parts["test"]),
            }
            out.write(json.dumps(row) + "\n")
            out.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    size = runs.SIZES["smoke" if args.smoke else "full"]
    os.makedirs(args.out, exist_ok=True)
    path = os.path.join(args.out, "results.jsonl")
    with open(path, "w") as out:
        for name in runs.RUNS:
            for seed in size["seeds"]:
                train(name, seed, size, out)
    for line in report.table(report.read(path)):
        print(line)


if __name__ == "__main__":
    main()
