import gzip
import json
import math
from collections import deque
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohgw.core.errors import SettingError
from ohgw.core.space import Float, Space
from ohgw.core.trial import Suggestion
from ohgw.schedulers import PASHA
from ohgw.schedulers._ranking import SoftRanking

SPACE = Space({"x": Float(0.0, 1.0)})
RECORD = Path(__file__).parents[1] / "oracles" / "pasha.json.gz"
SEARCHES = json.loads(gzip.decompress(RECORD.read_bytes()))


def build(**changes):
    settings = {"mode": "min", "min_resource": 1, "max_resource": 27, **changes}
    return PASHA(SPACE, np.random.default_rng(settings.pop("seed", 0)), **settings)


def name(search):
    return "-".join(str(search[key]) for key in ("curves", "mode", "max_resource", "workers"))


def replay(search, unit, events_a_load):
    arguments = {
        "mode": search["mode"],
        "min_resource": unit,
        "max_resource": search["max_resource"] * unit,
        "eta": search["eta"],
    }
    scheduler = build(**arguments)
    targets = {}
    for k, (kind, trial, *rest) in enumerate(search["events"]):
        if k % events_a_load == 0:
            state = json.loads(json.dumps(scheduler.state_dict(), allow_nan=False))
            scheduler = build(**arguments)
            scheduler.load_state_dict(state)
        if kind == "ask":
            start, targets[trial] = rest
            asked = scheduler.ask()
            assert (asked.trial, asked.start) == (trial, start * unit)
            continue
        epoch, score, cap, epsilon = rest
        scheduler.tell(trial, epoch * unit, score)
        assert scheduler.cap == cap * unit
        assert scheduler.epsilon == pytest.approx(epsilon, rel=0, abs=1e-12)
        if epoch < targets[trial]:
            asked = scheduler.ask()
            assert (asked.trial, asked.start) == (trial, epoch * unit)


@pytest.mark.parametrize("search", SEARCHES, ids=name)
def test_same_decision_cap_and_epsilon_as_the_public_code_after_every_report(search):
    replay(search, unit=1, events_a_load=1000)


@pytest.mark.parametrize("search", SEARCHES[::5], ids=name)
def test_an_epoch_is_min_resource_and_a_search_resumes_from_its_state(search):
    replay(search, unit=2, events_a_load=7)


def has_ties(search):
    seen = [(event[2], event[3]) for event in search["events"] if event[0] == "tell"]
    return len(set(seen)) < len(seen)


def test_the_record_shows_what_is_said_of_the_public_code():
    caps, changes = set(), 0
    rounded = {("min", False): 0, ("min", True): 0, ("max", False): 0, ("max", True): 0}
    for search in SEARCHES:
        tells = [event for event in search["events"] if event[0] == "tell"]
        caps |= {(search["max_resource"], event[4]) for event in tells}
        changes += len({event[5] for event in tells}) - 1
        rounded[search["mode"], has_ties(search)] += search["rounded"]
        if not has_ties(search):
            assert search["reversed"] == 0  # epsilon does not depend on the order of pairs
    assert {cap for high, cap in caps if high == 81} == {3, 9, 27, 81}
    assert changes > 3000
    assert sum(not has_ties(search) for search in SEARCHES) >= 50
    assert sum(search["reversed"] > 0 for search in SEARCHES) >= 20  # where losses tie it does
    assert sum(search["arrived"] > 0 for search in SEARCHES if not has_ties(search)) >= 20
    assert rounded["min", False] == 0 < rounded["max", False]


class NaiveRanking:
    """Epsilon and groups pair by pair, straight from the definitions."""

    def __init__(self, lower, upper, quantile, epsilon=0.0):
        self.lower, self.upper, self.quantile, self.inherited = lower, upper, quantile, epsilon
        self.curves, self.arrived = {}, []

    def add(self, trial, curve):
        if self.lower < len(curve) <= self.upper:
            self.curves[trial] = list(curve)
            if len(curve) == self.upper:
                self.arrived.append(trial)

    def distances(self):
        found = []
        for a, b in combinations(sorted(self.curves), 2):
            pair = list(zip(self.curves[a], self.curves[b], strict=False))
            signs = [p > q for p, q in pair]
            back = max((i for i, sign in enumerate(signs) if sign != signs[-1]), default=-1)
            if signs[-1] in signs[: max(back, 0)]:
                found.append(abs(pair[-1][0] - pair[-1][1]))
        return found

    @property
    def epsilon(self):
        distances = self.distances()
        return np.quantile(distances, self.quantile) if distances else self.inherited

    def is_stable(self):
        epsilon = self.epsilon
        top = sorted(self.arrived, key=lambda trial: self.curves[trial][-1])
        low = {trial: self.curves[trial][self.lower - 1] for trial in top}
        for trial, place in zip(top, sorted(low.values()), strict=True):
            if not place - epsilon <= low[trial] <= place + epsilon:
                return False
        return True


class Naive:
    """PASHA in a few lists, sorted afresh at every ask."""

    def __init__(self, seed, low, high, eta, quantile):
        self.rng = np.random.default_rng(seed)
        self.unit, self.high, self.eta, self.quantile = low, high, eta, quantile
        self.levels = [low * eta**k for k in range(64) if low * eta**k < high] + [high]
        self.rungs = [{} for _ in self.levels]
        self.promoted = [set() for _ in self.levels]
        self.configurations, self.curves, self.targets = [], [], {}
        self.waiting = deque()
        self.cap = 1 if len(self.levels) > 2 else len(self.levels) - 1
        self.ranking = self.compare(0.0)

    def compare(self, epsilon):
        k = min(self.cap, len(self.levels) - 2)
        lower, upper = (self.levels[k - 1], self.levels[k]) if k > 0 else (0, 0)
        return NaiveRanking(lower // self.unit, upper // self.unit, self.quantile, epsilon)

    def ask(self):
        if self.waiting:
            trial, start = self.waiting.popleft()
            return self.leg(trial, start)
        for k in range(self.cap - 1, -1, -1):
            losses = self.rungs[k]
            if len(losses) < 2:
                continue
            cut = sorted(losses.values())[math.ceil(len(losses) / self.eta) - 1]
            open_ = [trial for trial in losses if trial not in self.promoted[k]]
            best = min(open_, key=losses.get, default=None)  # the first to arrive of equal ones
            if best is not None and losses[best] <= cut and math.isfinite(losses[best]):
                self.promoted[k].add(best)
                self.targets[best] = self.levels[k + 1]
                return self.leg(best, self.levels[k])
        self.configurations.append({"x": self.rng.random()})
        self.curves.append([])
        self.targets[len(self.curves) - 1] = self.levels[0]
        return self.leg(len(self.curves) - 1, 0)

    def leg(self, trial, start):
        end = min(start + self.unit, self.targets[trial])
        return Suggestion(trial, self.configurations[trial], start, end)

    def tell(self, trial, resource, loss):
        if math.isfinite(loss) and resource < self.targets[trial]:
            self.waiting.append((trial, resource))
        else:
            self.rungs[self.levels.index(self.targets[trial])][trial] = loss
        if math.isfinite(loss) and resource < self.high:
            self.curves[trial].append(loss)
            self.ranking.add(trial, self.curves[trial])
            if self.cap < len(self.levels) - 1 and not self.ranking.is_stable():
                self.cap += 1
                if self.cap < len(self.levels) - 1:
                    self.ranking = self.compare(self.ranking.epsilon)


LOSSES = st.one_of(
    st.sampled_from([0.0, 0.5, 1.0]),
    st.floats(0, 1).map(lambda loss: round(loss, 2)),
    st.floats(-1, 1),
    st.just(math.inf),
)


@given(
    mode=st.sampled_from(["min", "max"]),
    low=st.integers(1, 2),
    ladder=st.sampled_from([(27, 3), (9, 3), (30, 3), (16, 2), (8, 2), (3, 3), (2, 2), (1, 2)]),
    quantile=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    workers=st.integers(1, 9),
    reports=st.lists(st.tuples(st.integers(0, 8), LOSSES, st.booleans()), min_size=1, max_size=150),
    reload_at=st.integers(0, 150),
)
@settings(max_examples=200, deadline=None)
def test_same_decisions_as_sorted_lists(mode, low, ladder, quantile, workers, reports, reload_at):
    high, eta = low * ladder[0], ladder[1]
    arguments = {
        "mode": mode,
        "min_resource": low,
        "max_resource": high,
        "eta": eta,
        "noise_quantile": quantile,
    }
    fast, slow = build(seed=5, **arguments), Naive(5, low, high, eta, quantile)
    running = []
    for k, (pick, loss, drain) in enumerate(reports):
        if k == reload_at:
            fast, old = build(**arguments), fast
            fast.load_state_dict(json.loads(json.dumps(old.state_dict(), allow_nan=False)))
        while len(running) < (1 if drain else workers):  # several tells between two asks
            asked = fast.ask()
            assert asked == slow.ask()
            running.append(asked)
        done = running.pop(pick % len(running))
        fast.tell(done.trial, done.resource, loss if mode == "min" else -loss)
        slow.tell(done.trial, done.resource, loss)
        assert fast.cap == slow.levels[slow.cap]
        assert fast.epsilon == slow.ranking.epsilon
    assert fast.ask() == slow.ask()


def random_curves(kind, rng, n):
    """Losses (n, 9)."""
    t, final, noise = np.arange(1, 10), rng.random((n, 1)), rng.standard_normal((n, 9))
    return {
        "noisy": final + 0.5 / t + 0.05 * noise,
        "tied": np.round(final + 0.3 * rng.random((n, 9)), 1),
        "fanning": np.where(t < 4, 2 + 1e-3 * noise, final + 0.1 * noise),
        "turning": rng.random((n, 1)) + (final - 0.5) * t / 3 + 0.01 * noise,
    }[kind]


@pytest.mark.parametrize("kind", ["noisy", "tied", "fanning", "turning"])
@pytest.mark.parametrize("seed", range(2))
def test_counting_decides_as_computing_epsilon_does(kind, seed, monkeypatch):
    """Also beyond instability, where a search would go on to another pair of rungs."""
    computed = []
    whole = SoftRanking._all_distances
    monkeypatch.setattr(
        SoftRanking, "_all_distances", lambda self: computed.append(0) or whole(self)
    )
    rng = np.random.default_rng([seed, len(kind)])
    n = 24
    table = random_curves(kind, rng, n)
    reached, ranking, naive = [3] * n, SoftRanking(3, 9, 0.9), NaiveRanking(3, 9, 0.9)
    stable = []
    for trial in rng.permutation(np.repeat(np.arange(n), 6)).tolist():
        reached[trial] += 1
        curve = table[trial, : reached[trial]].tolist()
        assert ranking.add(trial, curve)
        naive.add(trial, curve)
        stable.append(ranking.is_stable())
        assert stable[-1] == naive.is_stable()
        if ranking._bound > 0:
            distances = naive.distances()
            assert ranking._noisy == len(distances)
            assert ranking._closer == sum(distance < ranking._bound for distance in distances)
    assert ranking.epsilon == naive.epsilon
    assert kind == "noisy" or all(stable) == (kind != "turning")
    if all(stable):
        assert len(computed) < len(stable) / 10


def run(scheduler, losses, reports):
    """One worker; `losses` of trial and resource."""
    seen = []
    for _ in range(reports):
        asked = scheduler.ask()
        seen.append(asked)
        scheduler.tell(asked.trial, asked.resource, losses(asked.trial, asked.resource))
    return seen


def test_the_cap_stays_where_the_ranking_does():
    scheduler = build(max_resource=81)
    seen = run(scheduler, lambda trial, resource: trial * 37 % 101 + 1 / resource, 300)
    assert scheduler.cap == 3 == max(asked.resource for asked in seen)
    assert scheduler.epsilon == 0.0


@pytest.mark.parametrize(("high", "caps"), [(81, [3, 9, 27, 81]), (9, [3, 9]), (10, [3, 9, 10])])
def test_the_cap_climbs_rung_by_rung_where_the_order_turns_around(high, caps):
    """Two rungs below max_resource are enough to compare."""
    scheduler = build(max_resource=high)
    levels = [1, 3, 9, 27, 81]

    def turning(trial, resource):  # at every rung the reverse of the order before, but never back
        turns = sum(resource > level for level in levels)
        return (trial * 37 % 101) * (-1) ** turns / 2**turns

    climbed = []
    for _ in range(600):
        run(scheduler, turning, 1)
        if scheduler.cap not in climbed:
            climbed.append(scheduler.cap)
    assert climbed == caps


@pytest.mark.parametrize(("high", "levels"), [(3, [1, 3]), (2, [1, 2]), (1, [1])])
def test_with_fewer_rungs_the_cap_is_max_resource_from_the_start(high, levels):
    scheduler = build(max_resource=high)
    assert scheduler.cap == high
    seen = run(scheduler, lambda trial, resource: trial, 40)
    assert sorted({asked.resource for asked in seen}) == list(range(1, high + 1))
    assert scheduler.expected_resource == sum(
        (level - below) / 3**k for k, (below, level) in enumerate(pairwise([0, *levels]))
    )


def test_every_unit_is_reported_and_a_trial_on_its_way_comes_first():
    scheduler = build(min_resource=2, max_resource=54)
    seen = run(scheduler, lambda trial, resource: trial, 8)
    assert [(asked.trial, asked.start, asked.resource) for asked in seen] == [
        (0, 0, 2),
        (1, 0, 2),
        (0, 2, 4),
        (0, 4, 6),
        (2, 0, 2),
        (3, 0, 2),
        (1, 2, 4),
        (1, 4, 6),
    ]


def told(losses, **changes):
    scheduler = build(**changes)
    for _ in losses:
        scheduler.ask()
    for trial, loss in enumerate(losses):
        scheduler.tell(trial, 1, loss)
    return scheduler


def promoted(scheduler):
    found = []
    while not (asked := scheduler.ask()).is_new:
        found.append(asked.trial)
    return found


def test_promotes_the_best_third_rounded_up_and_who_ties_with_them():
    assert promoted(told([0.5])) == []
    assert promoted(told([0.5, 0.4])) == [1]
    assert promoted(told([0.5, 0.4, 0.3])) == [2]
    assert promoted(told([0.5, 0.4, 0.3, 0.2])) == [3, 2]
    assert promoted(told([0.3, 0.1, 0.1, 0.1, 0.2])) == [1, 2, 3]


def test_a_failed_trial_counts_towards_the_rung_it_was_on_its_way_to():
    assert promoted(told([math.inf] * 4)) == []
    assert promoted(told([0.2, 0.1, math.inf, math.inf])) == [1, 0]
    scheduler = told([0.1, 0.2, 0.3, 0.4])
    for _ in range(2):
        scheduler.ask()
    scheduler.tell(0, 2, math.inf)
    scheduler.tell(1, 2, 0.5)
    again = scheduler.ask()
    assert (again.trial, again.start) == (1, 2)
    scheduler.tell(1, 3, 0.5)
    rungs = scheduler.state_dict()["rungs"]
    assert rungs[1] == [[0, None, False], [1, 0.5, False]]
    assert scheduler.cap == 3  # who failed has no place to leave


def test_equal_losses_keep_their_order_of_arrival_through_a_state():
    scheduler = told([0.5, 0.1, 0.9, 0.9], max_resource=27)
    for _ in range(2):
        scheduler.ask()
    for unit in (2, 3):  # trial 1 comes first, as it did in the rung below
        for trial in (1, 0):
            scheduler.tell(trial, unit, 0.3)
            if unit == 2:
                scheduler.ask()
    assert scheduler.cap == 3
    resumed = build(max_resource=27)
    resumed.load_state_dict(scheduler.state_dict())
    for each in (scheduler, resumed):
        asked = [each.ask() for _ in range(3)]  # all new
        for suggestion in asked:
            each.tell(suggestion.trial, 1, 0.05)
        again = each.ask()
        assert again.start == 1
        each.tell(again.trial, 2, 0.05)
        assert each.cap == 3


def test_expected_resource_is_that_of_the_first_cap():
    assert build(max_resource=81).expected_resource == pytest.approx(1 + 2 / 3)
    assert build(min_resource=2, max_resource=54).expected_resource == pytest.approx(2 + 4 / 3)


@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan, "0.9", True, None])
def test_noise_quantile_is_a_number_from_0_to_1(value):
    with pytest.raises(SettingError, match="noise_quantile .* from 0 to 1"):
        build(noise_quantile=value)


@pytest.mark.parametrize("eta", [1, 2.5, True])
def test_eta_must_be_whole_and_at_least_two(eta):
    with pytest.raises(SettingError, match=r"eta .* at least 2"):
        build(eta=eta)


def test_a_state_of_another_noise_quantile_is_refused():
    with pytest.raises(SettingError, match=r"noise_quantile 0.9, this scheduler has 0.5"):
        build(noise_quantile=0.5).load_state_dict(build().state_dict())
