"""Successive halving against syne-tune 0.14.2, on the searches that `oracles/record_halving.py`
recorded: 24 of each scheduler, 200 reports each, six kinds of curves (ties and crossings among
them), six ladders of rungs, 1 to 50 workers whose reports arrive in random order.
"""

import gzip
import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ohgw.core.space import Float, Space
from ohgw.schedulers import Hyperband, StoppingASHA
from ohgw.schedulers._brackets import Brackets, bracket_systems
from ohgw.schedulers._rungs import Ladder, rung_levels
from ohgw.schedulers.asha_stopping import _Rung as StoppingRung

ORACLE = json.loads(
    gzip.decompress((Path(__file__).parents[1] / "oracles/halving.json.gz").read_bytes())
)
COUNTS = {
    "asha": {
        "same": 4067,
        "floor and ceil": 400,
        "tie at the cut": 704,
        "other of a tie": 9,
        "last ratio": 22,
    },
    "hyperband-async": {
        "same": 4238,
        "floor and ceil": 415,
        "tie at the cut": 532,
        "other of a tie": 1,
        "last ratio": 16,
    },
    "asha-stopping": {"same": 4537, "last ratio": 12, "rounding": 10},
}
SPACE = Space({"x": Float(0.0, 1.0)})


def searches(scheduler):
    found = [search for search in ORACLE["searches"] if search["scheduler"] == scheduler]
    assert len(found) == 24
    return found


def build(kind, search):
    settings = {key: search[key] for key in ("mode", "min_resource", "max_resource", "eta")}
    return kind(SPACE, np.random.default_rng(0), **settings)


def replay(scheduler, search):
    """Tell the recorded scores and compare every suggestion; returns how many were compared."""
    failed = math.inf if search["mode"] == "min" else -math.inf
    compared = 0
    for event, trial, *rest in search["events"]:
        if event == "tell":
            resource, score = rest
            scheduler.tell(trial, resource, failed if score is None else score)
            continue
        asked = scheduler.ask()
        assert [asked.trial, asked.start, asked.resource] == [trial, *rest], (
            f"suggestion {compared} of {search['curves']} curves, mode {search['mode']}"
        )
        compared += 1
    return compared


def losses(search):
    """The recorded events with losses for scores: (event, trial, ...)."""
    sign = 1 if search["mode"] == "min" else -1
    for event, trial, resource, value in search["events"]:
        yield event, trial, resource, value * sign if event == "tell" else value


def their_cut(rung, quantile, mode):
    """The loss that syne-tune holds against an entry: the interpolated quantile of the scores.

    It counts from the lowest score, so when maximising it takes the 1 - q quantile, with the
    rounding that follows from it.
    """
    best_first = sorted(rung)
    at = (len(rung) - 1) * (quantile if mode == "min" else 1 - quantile)
    whole, part = divmod(at + 1, 1)
    left = int(whole) - 1 if mode == "min" else len(rung) - int(whole) - 1
    weight = part if mode == "min" else 1 - part
    return weight * best_first[left + 1] + (1 - weight) * best_first[left]


def their_promotion(search, rungs):
    """(trial, start, resource) that syne-tune promotes, given [trial, loss, promoted] by rung."""
    legs = list(pairwise(search["levels"]))
    for (level, above), rung in reversed(list(zip(legs, rungs, strict=True))):
        paused = [
            (loss, k, trial) for k, (trial, loss, promoted) in enumerate(rung) if not promoted
        ]
        if len(rung) < 2 or not paused:
            continue
        loss, _, trial = min(paused)  # of equal losses, the one that arrived first
        if loss <= their_cut([entry[1] for entry in rung], level / above, search["mode"]):
            return trial, level, above
    return None


def reason(search, rungs, ours, theirs):
    """Why they promote something else than we do out of the same rungs; None for no known reason.

    n entries, of which `better` are strictly better than theirs and `ahead` are in front of it
    where equal losses are ordered by trial number, as ours are.
    """
    if theirs is None or (ours and ours[1] > theirs[1]):
        return None  # theirs never promotes less
    trial, level, above = theirs
    rung = rungs[search["levels"].index(level)]
    loss = {entry[0]: entry[1] for entry in rung}
    if ours and ours[1] == level:
        return "other of a tie" if loss[ours[0]] == loss[trial] else None
    n, eta = len(rung), search["eta"]
    better = sum(other < loss[trial] for other in loss.values())
    ahead = better + sum(other == loss[trial] and t < trial for t, other in loss.items())
    if ahead < n // eta:
        return None  # ours would promote it
    if better < n // eta:
        return "tie at the cut"
    if better == n // eta < n / eta:
        return "floor and ceil"
    return "last ratio" if above < level * eta and better <= (n - 1) * level // above else None


@pytest.mark.parametrize("scheduler", ["asha", "hyperband-async"])
def test_every_promotion_is_theirs_or_differs_for_a_known_reason(scheduler):
    """Both rules see the same rungs at every decision, those of the recorded search.

    Ours promotes among the best floor(n / eta), the paper's rule. Theirs, reproduced here to the
    last bit, promotes what is not worse than the quantile.
    """
    reasons = Counter()
    for search in searches(scheduler):
        rungs = [[] for _ in search["levels"][:-1]]
        for event, trial, start, value in losses(search):
            if event == "tell":
                if start < search["max_resource"]:
                    rungs[search["levels"].index(start)].append([trial, value, False])
                continue
            public = (trial, start, value) if start else None
            assert their_promotion(search, rungs) == public
            ladder = Ladder(search["levels"], search["eta"])
            ladder.load(rungs)
            ours = ladder.promote()
            reasons["same" if ours == public else reason(search, rungs, ours, public)] += 1
            if public is None:
                assert value in search["levels"]
                continue
            entry = next(e for e in rungs[search["levels"].index(start)] if e[0] == trial)
            entry[2] = True
    assert reasons == COUNTS[scheduler]


def test_whole_searches_of_the_stopping_type_are_theirs():
    """Where eta is the same at every rung, and 1 - 1 / eta is exact in binary or not needed."""
    compared = 0
    for search in searches("asha-stopping"):
        same_eta = search["levels"][-1] == search["levels"][-2] * search["eta"]
        if same_eta and (search["mode"] == "min" or search["eta"] != 3):
            compared += replay(build(StoppingASHA, search), search)
    assert compared == 2939


def test_every_stopping_decision_is_theirs_or_differs_for_a_known_reason():
    """Rung by rung, in all searches, whatever went before."""
    reasons = Counter()
    for search in searches("asha-stopping"):
        levels, eta = search["levels"], search["eta"]
        rungs = [StoppingRung(eta) for _ in levels[:-1]]
        seen = [[] for _ in rungs]
        events = list(losses(search))
        for (event, trial, resource, loss), following in zip(
            events, [*events[1:], ()], strict=True
        ):
            if event == "ask" or resource == levels[-1]:
                continue
            k = levels.index(resource)
            seen[k].append(loss)
            n = len(seen[k])
            goes_on = following[:2] == ("ask", trial)
            quantile = resource / levels[k + 1]
            assert goes_on == (n < 2 or loss <= their_cut(seen[k], quantile, search["mode"]))
            if rungs[k].passes(loss) == goes_on:
                reasons["same"] += 1
            elif goes_on:
                reasons["last ratio" if quantile > 1 / eta else None] += 1
            else:  # the cut is this very entry's loss, but for their rounding
                at_the_cut = sum(other < loss for other in seen[k]) <= (n - 1) // eta
                reasons["rounding" if at_the_cut and search["mode"] == "max" else None] += 1
    assert reasons == COUNTS["asha-stopping"]


def test_synchronous_hyperband_makes_the_same_decisions():
    compared = failed = 0
    for search in searches("hyperband"):
        scheduler = build(Hyperband, search)
        systems = tuple(tuple(map(tuple, system)) for system in search["systems"])
        if systems != bracket_systems(search["levels"], search["eta"]):  # theirs, see below
            scheduler._brackets = Brackets(scheduler._trials, systems)
        compared += replay(scheduler, search)
        failed += sum(event[-1] is None for event in search["events"])
    assert (compared, failed) == (5202, 44)


def test_only_theirs_promotes_failed_trials_where_too_few_are_left():
    search = ORACLE["mostly_failing"]
    scheduler = build(Hyperband, search)
    with pytest.raises(AssertionError, match="suggestion 26 "):
        replay(scheduler, search)
    at = [k for k, event in enumerate(search["events"]) if event[0] == "ask"][26]
    trial = search["events"][at][1]
    assert ["tell", trial, 1, None] in search["events"][:at]


def test_rung_sizes_differ_from_theirs_in_rounding_alone():
    """Both start as many trials. Theirs rounds every rung up, the paper's are that number divided
    by eta^i and rounded down.
    """
    for low, high, eta, theirs in ORACLE["sizes"]:
        ours = bracket_systems(rung_levels(low, high, eta), eta)
        s_max = len(ours) - 1
        for s, (mine, yours) in enumerate(zip(ours, theirs, strict=True)):
            assert [level for _, level in mine] == [level for _, level in yours]
            assert mine[0][0] == yours[0][0]
            for i, ((slots, _), (more, _)) in enumerate(zip(mine, yours, strict=True)):
                assert slots == mine[0][0] // eta**i
                exact = (s_max + 1) / (s_max + 1 - s) * eta ** (s_max - s - i)
                assert more == math.ceil(exact)
