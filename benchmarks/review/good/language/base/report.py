"""The table of results."""

import json
from collections import defaultdict


def read(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def best(rows):
    """Of each run and seed the evaluation with the lowest validation perplexity."""
    found = {}
    for row in rows:
        key = row["run"], row["seed"]
        if key not in found or row["valid_ppl"] < found[key]["valid_ppl"]:
            found[key] = row
    return found


def table(rows):
    """Lines of text: test perplexity by run, mean over seeds."""
    by_run = defaultdict(list)
    for (run, _), row in best(rows).items():
        by_run[run].append(row["test_ppl"])
    for run, values in by_run.items():
        yield f"{run:14s} test ppl {sum(values) / len(values):7.2f}  ({len(values)} seeds)"
