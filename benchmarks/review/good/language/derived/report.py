"""The table of results."""

import json
from collections import defaultdict

from runs import TARGET_PPL


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


def steps_to_target(rows):
    """Of each run the steps to the target perplexity, for the seeds that reached it."""
    found = {}
    for row in rows:
        if row["valid_ppl"] <= TARGET_PPL:
            found.setdefault((row["run"], row["seed"]), row["step"])
    by_run = defaultdict(list)
    for (run, _), step in found.items():
        by_run[run].append(step)
    return by_run


def table(rows):
    """Lines of text: test perplexity by run, mean over seeds; mean steps to the target."""
    by_run = defaultdict(list)
    for (run, _), row in best(rows).items():
        by_run[run].append(row["test_ppl"])
    steps = steps_to_target(rows)
    for run, values in by_run.items():
        line = f"{run:14s} test ppl {sum(values) / len(values):7.2f}  ({len(values)} seeds)"
        reached = steps[run]
        if reached:
            line += f"  target after {sum(reached) / len(reached):.0f} steps ({len(reached)} seeds)"
        yield line
