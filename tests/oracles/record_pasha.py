"""Records what syne-tune's PASHA does on random learning curves; `tests/schedulers/test_pasha.py`
replays it.

Runs in an environment of its own (Python 3.11):

    pip install syne-tune==0.14.2 "numpy==1.26.4" statsmodels scikit-learn
    python tests/oracles/record_pasha.py tests/oracles/pasha.json.gz

The output is a list of searches, each with its settings and its events: ["ask", trial, start,
resource] and ["tell", trial, epoch, score, cap, epsilon], the last two as they are after the
report. Replaying draws nothing.

Two accidents of the public code are taken out of it, and what they would have done is counted:

- Pairs of trials come in the order of a set of strings, which differs from process to process.
  Here they come in the order of trial numbers, the reverse of it in maximisation, so that both
  modes are mirror images. "reversed" and "arrived" count the reports after which epsilon would be
  another number with pairs in the reverse order, and in the order in which trials reported.
- The cut at a rung is rounded. Here it is exact. "rounded" counts the asks that the rounded cut
  would have answered differently.
"""

import gzip
import json
import logging
import sys
from datetime import datetime
from fractions import Fraction
from math import floor

import numpy as np
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import uniform
from syne_tune.optimizer.schedulers import LegacyHyperbandScheduler

KINDS = ("parallel", "noisy", "crossing", "halves", "tenths", "fanning", "waves")
LADDERS = ((27, 3), (81, 3), (32, 2), (64, 4))
WORKERS = (1, 4, 16)
REPORTS = 240
LONG = 720


def curves(kind, trials, epochs, rng):
    """Losses (trials, epochs) of one kind."""
    t = np.arange(1, epochs + 1)
    final = rng.random((trials, 1))
    parallel = final + t**-0.5
    noisy = parallel + rng.choice([0.01, 0.05, 0.3]) * rng.standard_normal((trials, epochs))
    if kind == "parallel":
        return parallel
    if kind == "noisy":
        return noisy
    if kind == "crossing":  # the better in the end, the slower
        return final + (2 - final) * (t + 1.0) ** -(0.2 + final)
    if kind == "halves":  # tied, and exact in binary
        return np.round(2 * noisy) / 2
    if kind == "tenths":  # tied, and not exact
        return np.round(noisy, 1)
    if kind == "fanning":  # nothing but a little noise at first, then far apart
        return 1 + (final - 1) * np.minimum(1, t / 9) ** 3 + 0.3 * (noisy - parallel)
    phase, speed = rng.random((trials, 1)), rng.uniform(0.2, 2, (trials, 1))
    return parallel + 0.1 * np.sin(6 * phase + speed * t)


class Ordered(set):
    """A set of trial numbers, as text, that is gone through in a given order."""

    def __init__(self, trials, by):
        super().__init__(trials)
        self.by = by

    def __iter__(self):
        return iter(sorted(super().__iter__(), key=self.by))


def exact_quantile(rung, fraction):
    """The linearly interpolated quantile of a rung from its best end, in rational numbers."""
    if len(rung.data) < 2:
        return None
    values = [Fraction(entry.metric_val) for entry in rung.data]
    place = (len(values) - 1) * fraction
    left = floor(place)
    return values[left] + (place - left) * (values[left + 1] - values[left])


class Public:
    """The public scheduler, asked and told epoch by epoch."""

    def __init__(self, mode, high, eta, seed):
        self.scheduler = LegacyHyperbandScheduler(
            {"x": uniform(0.0, 1.0), "epochs": high},
            type="pasha",
            searcher="random",
            search_options={"debug_log": False},
            metric="score",
            mode=mode,
            resource_attr="epoch",
            max_resource_attr="epochs",
            grace_period=1,
            reduction_factor=eta,
            random_seed=seed,
        )
        self.system = self.scheduler.terminator._rung_systems[0]
        self.fraction = Fraction(1, eta)
        self.first_to_last = 1 if mode == "min" else -1
        self.trials = []
        self.reached = []
        self.arrived = {}  # epoch -> trials in the order in which they reported it
        self.counts = {"rounded": 0, "reversed": 0, "arrived": 0}

    def ask(self):
        promoted = self.promotable()
        for rung in self.system._rungs:
            rung.quantile = lambda rung=rung: exact_quantile(rung, self.fraction)
        self.counts["rounded"] += bool(promoted != self.promotable())
        suggestion = self.scheduler.suggest(len(self.trials))
        for rung in self.system._rungs:
            del rung.quantile
        if suggestion.spawn_new_trial_id:
            number = len(self.trials)
            self.trials.append(Trial(number, suggestion.config, datetime(2020, 1, 1)))
            self.reached.append(0)
            self.scheduler.on_trial_add(self.trials[number])
        else:
            number = int(suggestion.checkpoint_trial_id)
        return number, self.reached[number], int(suggestion.config["epochs"])

    def promotable(self):
        """Which trial would be promoted now, or None; changes nothing."""
        for rung in self.system._rungs:
            if rung.level < self.system.current_max_t:
                found = self.system._find_promotable_trial(rung)
                if found is not None:
                    return found[0]
        return None

    def tell(self, number, score):
        """One epoch more; returns (epoch, whether the trial goes on, cap, epsilon)."""
        epoch = self.reached[number] = self.reached[number] + 1
        self.arrived.setdefault(epoch, []).append(str(number))
        rung, before = self.system.current_rung_idx, self.system.epsilon
        trials = self.system.epoch_to_trials
        trials.setdefault(epoch, Ordered((), lambda trial: self.first_to_last * int(trial)))
        decision = self.scheduler.on_trial_result(
            self.trials[number], {"score": score, "epoch": epoch}
        )
        after, cap = float(self.system.epsilon), int(self.system.current_max_t)
        if epoch < self.scheduler.max_t:
            raised, self.system.current_rung_idx = self.system.current_rung_idx, rung
            backwards = {e: lambda trial: -self.first_to_last * int(trial) for e in trials}
            arrival = {e: self.arrived[e].index for e in trials}
            for name, by in (("reversed", backwards), ("arrived", arrival)):
                self.system.epsilon = before
                self.system.epoch_to_trials = {e: Ordered(trials[e], by[e]) for e in trials}
                self.system._update_epsilon()
                self.counts[name] += bool(self.system.epsilon != after)
            self.system.current_rung_idx = raised
            self.system.epsilon, self.system.epoch_to_trials = after, trials
        return epoch, decision == "CONTINUE", cap, after


def search(kind, mode, high, eta, workers, most, seed):
    """A search whose workers report an epoch or ask for a trial, one at a time, in any order."""
    rng = np.random.default_rng([2023, seed])
    table = np.round(curves(kind, most, high, rng), 5) * (1 if mode == "min" else -1)
    public = Public(mode, high, eta, seed)
    training = [None] * workers
    events, reports = [], 0
    while reports < most:
        worker = int(rng.integers(workers))
        if training[worker] is None:
            training[worker], start, end = public.ask()
            events.append(["ask", training[worker], start, end])
            continue
        number = training[worker]
        score = float(table[number, public.reached[number]])
        epoch, goes_on, cap, epsilon = public.tell(number, score)
        events.append(["tell", number, epoch, score, cap, epsilon])
        reports += 1
        if not goes_on:
            training[worker] = None
    return {
        "curves": kind,
        "mode": mode,
        "max_resource": high,
        "eta": eta,
        "workers": workers,
        **public.counts,
        "events": events,
    }


def record():
    searches = []
    for mode in ("min", "max"):
        for high, eta in LADDERS:
            for kind in KINDS:
                for long in (kind == "fanning", False):
                    k = len(searches)
                    most = LONG if long else REPORTS
                    searches.append(search(kind, mode, high, eta, WORKERS[k % 3], most, k))
    return searches


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    text = json.dumps(record(), separators=(",", ":"))
    with open(sys.argv[1], "wb") as file:  # without name and time: the same bytes every time
        file.write(gzip.compress(text.encode(), mtime=0))
