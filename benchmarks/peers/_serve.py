"""Serves one contender over JSON lines, so that contenders of conflicting environments take turns.

A contender is a generator: it takes one decision after another and yields, for each, whether the
decision started a new trial. A decision is one report and what follows from it: tell a score, and
know what to train next. Requests are {"trials": n, "seconds": s}: go on until n trials have been
started in all, or s seconds have passed. Answers count decisions, trials, CPU and wall seconds.

Runs in a peer's environment: nothing but the standard library.
"""

import argparse
import gc
import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from time import perf_counter, process_time

# ohgw's "exp-1": low, high, logarithmic.
SPACE = {
    "learning_rate": (1e-4, 1.0, True),
    "weight_decay": (1e-6, 1e-2, True),
    "momentum": (0.0, 0.99, False),
    "augmentation": (0.0, 1.0, False),
    "label_smoothing": (0.0, 0.3, False),
}
ETA = 3
MIN_RESOURCE, MAX_RESOURCE = 1, 27
RUNGS = (1, 3, 9, 27)
WARM_UP = 0.05  # seconds

Contender = Callable[[int], Iterator[bool]]
"""Takes a seed."""


def loss(configuration: Mapping[str, float], resource: int) -> float:
    """A smooth bowl whose curves cross: what learns fast is not what ends lowest. Microseconds."""
    rate = math.log10(configuration["learning_rate"]) / 4 + 1  # 0 ... 1
    decay = math.log10(configuration["weight_decay"]) / 4 + 1.5
    floor = (
        0.1
        + (rate - 0.6) ** 2
        + 0.5 * (decay - 0.3) ** 2
        + 0.5 * (configuration["momentum"] - 0.8) ** 2
        + 0.1 * configuration["augmentation"] * (1 - configuration["augmentation"])
        + (configuration["label_smoothing"] - 0.1) ** 2
    )
    return floor + math.exp(-(0.05 + 0.4 * rate) * resource)


def serve(package: str, contenders: Mapping[str, Contender]) -> None:
    """Drive the contender named on the command line until the input ends."""
    parser = argparse.ArgumentParser(description=f"Drives a scheduler of {package}.")
    parser.add_argument("contender", choices=list(contenders))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the library prints must not mix with the answers
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    decisions = contenders[options.contender](options.seed)
    spare = contenders[options.contender](options.seed + 1)
    print(json.dumps({"version": version(package)}), file=answers)
    started = 0
    for line in sys.stdin:
        request = json.loads(line)
        gc.collect()  # what an earlier request left is not this one's
        warm = perf_counter() + WARM_UP
        while perf_counter() < warm:  # a process that waited for its turn has cold caches
            next(spare)
        taken, deadline = 0, perf_counter() + request["seconds"]
        began, cpu = perf_counter(), process_time()
        while started < request["trials"] and perf_counter() < deadline:
            started += next(decisions)
            taken += 1
        answer = {
            "decisions": taken,
            "trials": started,
            "cpu": process_time() - cpu,
            "wall": perf_counter() - began,
        }
        print(json.dumps(answer), file=answers)
