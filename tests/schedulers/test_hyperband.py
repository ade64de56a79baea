import json
import math
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohgw.core.errors import SettingError
from ohgw.core.space import Float, Space
from ohgw.core.trial import Suggestion
from ohgw.schedulers import Hyperband
from ohgw.schedulers._brackets import Brackets, bracket_systems
from ohgw.schedulers._rungs import rung_levels
from ohgw.schedulers._trials import Trials

SPACE = Space({"x": Float(0.0, 1.0)})


def build(**changes):
    settings = {"mode": "min", "min_resource": 1, "max_resource": 9, "eta": 3, **changes}
    return Hyperband(SPACE, np.random.default_rng(settings.pop("seed", 0)), **settings)


def test_brackets_are_those_of_the_papers_table():
    """Table 1 of the paper: n_i and r_i for R = 81 and eta = 3, s = 4 .. 0."""
    assert bracket_systems(rung_levels(1, 81, 3), 3) == (
        ((81, 1), (27, 3), (9, 9), (3, 27), (1, 81)),
        ((34, 3), (11, 9), (3, 27), (1, 81)),
        ((15, 9), (5, 27), (1, 81)),
        ((8, 27), (2, 81)),
        ((5, 81),),
    )


@given(low=st.integers(1, 9), powers=st.integers(0, 6), eta=st.integers(2, 5))
def test_brackets_follow_algorithm_1(low, powers, eta):
    """Where max_resource is min_resource * eta^s_max, line by line in the paper's own terms."""
    R = low * eta**powers
    systems = bracket_systems(rung_levels(low, R, eta), eta)
    s_max = powers
    B = (s_max + 1) * (R // low)
    assert len(systems) == s_max + 1
    for s, system in zip(range(s_max, -1, -1), systems, strict=True):
        n = math.ceil(B * eta**s * low / (R * (s + 1)))
        r = R // eta**s
        assert system == tuple((n // eta**i, r * eta**i) for i in range(s + 1))


@given(
    resources=st.tuples(st.integers(1, 9), st.integers(0, 400)),
    eta=st.integers(2, 5),
    brackets=st.one_of(st.none(), st.just(1)),
)
def test_one_worker_fills_the_brackets_in_turn(resources, eta, brackets):
    """What is asked, run-length encoded, is the table, round after round."""
    low, high = resources[0], sum(resources)
    scheduler = build(min_resource=low, max_resource=high, eta=eta, brackets=brackets)
    systems = bracket_systems(rung_levels(low, high, eta), eta, brackets)
    table = [rung for system in systems for rung in system] * 2
    asked = []
    for _ in range(sum(slots for slots, _ in table)):
        asked.append(scheduler.ask())
        scheduler.tell(asked[-1].trial, asked[-1].resource, -float(asked[-1].trial))
    expected = [(level, slots) for slots, level in table]
    merged = [  # two brackets of one rung each follow each other at the same level
        (level, sum(slots for _, slots in group))
        for level, group in groupby(expected, key=lambda rung: rung[0])
    ]
    seen = [(level, len(list(run))) for level, run in groupby(asked, key=lambda a: a.resource)]
    assert seen == merged
    price = sum(a.resource - a.start for a in asked) / sum(a.is_new for a in asked)
    assert scheduler.expected_resource == pytest.approx(price)


class Oracle:
    """The mechanics in words: rungs are sorted when they are full, brackets looked up in order."""

    def __init__(self, seed, mode, min_resource, max_resource, eta):
        self.rng = np.random.default_rng(seed)
        self.mode = mode
        self.systems = bracket_systems(rung_levels(min_resource, max_resource, eta), eta)
        self.brackets = []
        self.configurations = []

    def ask(self):
        for bracket in self.brackets:
            if (asked := self.take(bracket)) is not None:
                return asked
        system = self.systems[len(self.brackets) % len(self.systems)]
        self.brackets.append({"system": system, "rungs": [[None] * system[0][0]], "scores": {}})
        return self.take(self.brackets[-1])

    def take(self, bracket):
        rungs, system = bracket["rungs"], bracket["system"]
        k = len(rungs) - 1
        taken = bracket.setdefault("taken", {}).setdefault(k, 0)
        if taken == len(rungs[k]):
            return None
        bracket["taken"][k] += 1
        if k == 0:
            self.configurations.append({"x": self.rng.random()})
            rungs[0][taken] = len(self.configurations) - 1
        trial = rungs[k][taken]
        start = system[k - 1][1] if k else 0
        return Suggestion(trial, self.configurations[trial], start, system[k][1])

    def tell(self, trial, resource, score):
        bracket = next(b for b in self.brackets if trial in b["rungs"][0])
        rungs, system, scores = bracket["rungs"], bracket["system"], bracket["scores"]
        scores[trial, resource] = score if self.mode == "min" else -score
        k = len(rungs) - 1
        if all((t, system[k][1]) in scores for t in rungs[k]) and k + 1 < len(system):
            reached = {t: scores[t, system[k][1]] for t in rungs[k]}
            finite = [t for t in rungs[k] if math.isfinite(reached[t])]
            rungs.append(sorted(finite, key=reached.get)[: system[k + 1][0]])


SCORES = st.one_of(
    st.sampled_from([0.0, 1.0, 2.0, math.inf, -math.inf]),
    st.floats(allow_nan=False, min_value=-10, max_value=10),
)


@given(
    mode=st.sampled_from(["min", "max"]),
    resources=st.tuples(st.integers(1, 4), st.integers(0, 30)),
    eta=st.integers(2, 4),
    workers=st.integers(1, 30),
    reports=st.lists(
        st.tuples(st.integers(0, 29), SCORES, st.booleans()), min_size=20, max_size=150
    ),
    reload_at=st.integers(0, 6),
)
@settings(max_examples=50)
def test_same_decisions_as_the_plain_mechanics(mode, resources, eta, workers, reports, reload_at):
    low, extra = resources
    arguments = {"mode": mode, "min_resource": low, "max_resource": low + extra, "eta": eta}
    fast, slow = build(seed=5, **arguments), Oracle(seed=5, **arguments)
    running = []
    for k, (pick, score, drain) in enumerate(reports):
        if k % 7 == reload_at:
            fast, old = build(**arguments), fast
            fast.load_state_dict(json.loads(json.dumps(old.state_dict(), allow_nan=False)))
        while len(running) < (1 if drain else workers):
            running.append(fast.ask())
            assert running[-1] == slow.ask()
        done = running.pop(pick % len(running))
        fast.tell(done.trial, done.resource, score)
        slow.tell(done.trial, done.resource, score)
    assert fast.ask() == slow.ask()


def test_a_rung_waits_for_its_last_report_while_the_next_bracket_begins():
    scheduler = build()  # brackets of (9, 3, 1), (5, 1) and 3
    first = [scheduler.ask() for _ in range(9)]
    for asked in first[:-1]:
        scheduler.tell(asked.trial, 1, float(asked.trial))
    ahead = [scheduler.ask() for _ in range(9)]
    assert [asked.resource for asked in ahead] == [3] * 5 + [9] * 3 + [1]
    assert all(asked.is_new for asked in ahead)
    scheduler.tell(first[-1].trial, 1, -1.0)  # the first bracket comes first again
    promoted = [scheduler.ask() for _ in range(4)]
    assert [(asked.trial, asked.start) for asked in promoted] == [(8, 1), (0, 1), (1, 1), (18, 0)]


def test_ties_keep_the_order_of_their_slots():
    """At the first rung that of trial numbers, above it that of the rung below."""
    scheduler = build(brackets=1)
    asked = [scheduler.ask() for _ in range(9)]
    for suggestion in reversed(asked):
        scheduler.tell(
            suggestion.trial, 1, [0.5, 0.5, 0.9, 0.5, 0.1, 0.9, 0.9, 0.9, 0.9][suggestion.trial]
        )
    promoted = [scheduler.ask() for _ in range(3)]
    assert [suggestion.trial for suggestion in promoted] == [4, 0, 1]
    for suggestion in reversed(promoted):
        scheduler.tell(suggestion.trial, 3, 0.5)
    assert scheduler.ask().trial == 4


def test_failed_trials_leave_a_rung_smaller_than_planned():
    scheduler = build(mode="max", brackets=1)
    for trial in range(9):
        assert scheduler.ask().trial == trial
    for trial in range(9):
        scheduler.tell(trial, 1, 0.5 if trial in (2, 7) else -math.inf)
    promoted = [scheduler.ask() for _ in range(3)]
    assert [asked.trial for asked in promoted] == [2, 7, 9]
    scheduler.tell(2, 3, -math.inf)
    scheduler.tell(7, 3, -math.inf)  # nobody is left: the bracket is over
    assert all(scheduler.ask().is_new for _ in range(30))


def test_a_proposal_that_raises_costs_no_slot():
    trials = Trials(SPACE, np.random.default_rng(0), "min", 3, {})
    brackets = Brackets(trials, [((2, 1), (1, 3))])

    def fails():
        raise RuntimeError("no model")

    assert brackets.ask(lambda: {"x": 0.25}) == Suggestion(0, {"x": 0.25}, 0, 1)
    with pytest.raises(RuntimeError):
        brackets.ask(fails)
    assert brackets.ask(lambda: {"x": 0.75}) == Suggestion(1, {"x": 0.75}, 0, 1)
    for trial in (0, 1):
        brackets.tell(trial, trials.finish(trial, 1, float(trial)))
    assert brackets.ask(fails) == Suggestion(0, {"x": 0.25}, 1, 3)


def test_what_is_over_is_forgotten():
    scheduler = build()
    for _ in range(2000):
        asked = scheduler.ask()
        scheduler.tell(asked.trial, asked.resource, 0.5)
    assert len(scheduler.state_dict()["brackets"]) <= 1


@pytest.mark.parametrize("brackets", [0, -1, 1.5, True, "all"])
def test_brackets_must_be_whole_and_at_least_one(brackets):
    with pytest.raises(SettingError, match=r"brackets .* at least 1"):
        build(brackets=brackets)


def test_more_brackets_than_rungs_are_refused():
    with pytest.raises(SettingError, match="brackets 4 must be at most 3, .* rungs 1, 3, 9;"):
        build(brackets=4)


@pytest.mark.parametrize("eta", [1, 2.5, "3", None])
def test_eta_must_be_whole_and_at_least_two(eta):
    with pytest.raises(SettingError, match=r"eta .* at least 2"):
        build(eta=eta)


def test_a_state_of_other_brackets_is_refused():
    with pytest.raises(SettingError, match="written with brackets"):
        build(brackets=2).load_state_dict(build().state_dict())
