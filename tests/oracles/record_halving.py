"""Records what syne-tune decides on random learning curves; `tests/schedulers/test_halving.py`
replays it.

Runs in an environment of its own (Python 3.11):

    pip install syne-tune==0.14.2 "numpy==1.26.4" statsmodels scikit-learn
    python tests/oracles/record_halving.py tests/oracles/halving.json.gz

The output is a list of searches, each with the settings of a public scheduler and its events:
["ask", trial, start, resource] and ["tell", trial, resource, score], a score of null for a trial
that failed. Scores are stored as they were told, so replaying draws nothing. Beside them lie a
search of synchronous Hyperband in which most trials fail, and the rung sizes that syne-tune
computes for it from min_resource, max_resource and eta.
"""

import gzip
import json
import logging
import sys
from datetime import datetime

import numpy as np
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform
from syne_tune.optimizer.schedulers import LegacyHyperbandScheduler
from syne_tune.optimizer.schedulers.synchronous.hyperband import SynchronousHyperbandScheduler
from syne_tune.optimizer.schedulers.synchronous.hyperband_rung_system import (
    SynchronousHyperbandRungSystem,
)

KINDS = ("smooth", "crossing", "noisy", "ties", "plateaus", "negative")
# (min_resource, max_resource, eta); of the last, max_resource is no power of eta
LADDERS = ((1, 27, 3), (1, 16, 2), (2, 54, 3), (1, 64, 4), (3, 243, 3), (1, 20, 3))


def curves(kind, trials, epochs, rng):
    """Losses (trials, epochs) of one kind."""
    t = np.arange(1, epochs + 1)
    final, rate = rng.random((trials, 1)), rng.uniform(0.2, 2.0, (trials, 1))
    smooth = final + t**-rate
    if kind == "smooth":
        return smooth
    if kind == "crossing":  # the better in the end, the slower
        return final + (2 - final) * t ** -(0.2 + final)
    if kind == "noisy":
        return smooth + 0.3 * rng.standard_normal((trials, epochs))
    if kind == "ties":  # halves are exact in binary, and so is what a quantile of them needs
        return np.round(smooth * 2) / 2
    if kind == "plateaus":  # tenths are not
        return np.round(np.minimum(smooth, 1.0), 1)
    return smooth - 3.0


class Public:
    """A public scheduler that is asked and told as ours are."""

    def __init__(self, scheduler, table):
        self.scheduler = scheduler
        self.table = table
        self.trials = []
        self.reached = []

    def ask(self):
        suggestion = self.scheduler.suggest(len(self.trials))
        if suggestion.spawn_new_trial_id:
            number = len(self.trials)
            self.trials.append(Trial(number, suggestion.config, datetime(2020, 1, 1)))
            self.reached.append(0)
            self.scheduler.on_trial_add(self.trials[number])
        else:
            number = suggestion.checkpoint_trial_id
            self.trials[number].config = suggestion.config
        return number, self.reached[number], suggestion.config["epochs"]

    def tell(self, number, resource):
        """Reports every epoch up to `resource`; returns the last decision and score."""
        for epoch in range(self.reached[number] + 1, resource + 1):
            score = float(self.table[number, epoch - 1])
            decision = self.scheduler.on_trial_result(
                self.trials[number], {"score": score, "epoch": epoch}
            )
            assert decision == "CONTINUE" or epoch == resource
        self.reached[number] = resource
        return decision, score

    def fail(self, number):
        self.scheduler.on_trial_error(self.trials[number])


def run(public, levels, stopping, workers, reports, failing, rng):
    """Events of a search whose workers finish in random order."""
    events, running = [], []

    def start(number, begin, end):
        running.append((number, begin, end))
        events.append(["ask", number, begin, end])

    for _ in range(reports):
        while len(running) < workers:
            number, begin, end = public.ask()
            start(number, begin, levels[0] if stopping else end)
        number, _, end = running.pop(int(rng.integers(len(running))))
        if rng.random() < failing:
            public.fail(number)
            events.append(["tell", number, end, None])
            continue
        decision, score = public.tell(number, end)
        events.append(["tell", number, end, score])
        if stopping and decision == "CONTINUE":
            start(number, end, levels[levels.index(end) + 1])
    return events


def paper_systems(low, high, eta):
    """Rung sizes as in the paper's Algorithm 1, on syne-tune's rung levels."""
    levels = [level for _, level in SynchronousHyperbandRungSystem.geometric(low, high, eta)[0]]
    systems = []
    for k in range(len(levels)):
        above = levels[k:]
        n = -(-len(levels) * eta ** (len(above) - 1) // len(above))
        systems.append([(n // eta**i, level) for i, level in enumerate(above)])
    return systems


def make(scheduler, mode, low, high, eta, systems, seed):
    space = {"x": uniform(0.0, 1.0), "epochs": high}
    common = {
        "metric": "score",
        "mode": mode,
        "resource_attr": "epoch",
        "max_resource_attr": "epochs",
        "searcher": "random",
        "search_options": {"debug_log": False},
        "random_seed": seed,
    }
    if scheduler == "hyperband":
        return SynchronousHyperbandScheduler(space, bracket_rungs=systems, **common)
    return LegacyHyperbandScheduler(
        space,
        type="stopping" if scheduler == "asha-stopping" else "promotion",
        grace_period=low,
        reduction_factor=eta,
        brackets=99 if scheduler == "hyperband-async" else 1,
        **common,
    )


def search(scheduler, k, failing):
    """The k-th search of a scheduler: its settings, and what happened."""
    rng = np.random.default_rng([2020, k])
    low, high, eta = LADDERS[(k + k // len(KINDS)) % len(LADDERS)]
    kind, mode = KINDS[k % len(KINDS)], ("min", "max")[k // len(KINDS) % 2]
    workers = (1, 4, 16, 50)[k % 4]
    geometric = SynchronousHyperbandRungSystem.geometric(low, high, eta)
    systems = None
    if scheduler == "hyperband":
        systems = geometric if k % 3 == 2 else paper_systems(low, high, eta)
    levels = [level for _, level in geometric[0]]
    table = np.round(curves(kind, 400, high, rng), 5) * (1 if mode == "min" else -1)
    public = Public(make(scheduler, mode, low, high, eta, systems, k), table)
    stopping = scheduler == "asha-stopping"
    return {
        "scheduler": scheduler,
        "curves": kind,
        "mode": mode,
        "min_resource": low,
        "max_resource": high,
        "eta": eta,
        "levels": levels,
        "systems": systems,
        "workers": workers,
        "events": run(public, levels, stopping, workers, 200, failing, rng),
    }


def record():
    searches = []
    for scheduler in ("asha", "asha-stopping", "hyperband", "hyperband-async"):
        for k in range(24):
            failing = 0.05 if scheduler == "hyperband" and k % 5 == 4 else 0.0
            searches.append(search(scheduler, k, failing))
    sizes = [
        [low, high, eta, SynchronousHyperbandRungSystem.geometric(low, high, eta)]
        for low, high, eta in (*LADDERS, (1, 81, 3), (1, 100, 3), (5, 7, 2))
    ]
    mostly_failing = search("hyperband", 1, 0.8)
    return {"searches": searches, "mostly_failing": mostly_failing, "sizes": sizes}


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    text = json.dumps(record(), separators=(",", ":"))
    with open(sys.argv[1], "wb") as file:  # without name and time: the same bytes every time
        file.write(gzip.compress(text.encode(), mtime=0))
