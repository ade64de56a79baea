import json
import math
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ohgw.core.errors import SettingError
from ohgw.core.space import Float, Space
from ohgw.core.trial import Suggestion
from ohgw.schedulers import ASHA

SPACE = Space({"x": Float(0.0, 1.0)})


def build(**changes):
    settings = {"mode": "min", "min_resource": 1, "max_resource": 9, "eta": 3, **changes}
    return ASHA(SPACE, np.random.default_rng(settings.pop("seed", 0)), **settings)


class Oracle:
    """Algorithm 2 of the paper, word for word: sort the rung, take the top, find one to promote."""

    def __init__(self, seed, mode, min_resource, max_resource, eta):
        self.rng = np.random.default_rng(seed)
        self.mode, self.eta = mode, eta
        self.levels = [min_resource * eta**k for k in range(64)]
        self.levels = [level for level in self.levels if level < max_resource] + [max_resource]
        self.scores = [{} for _ in self.levels]
        self.promoted = [set() for _ in self.levels]
        self.configurations = []

    def ask(self):
        for k in range(len(self.levels) - 2, -1, -1):
            rung = self.scores[k]
            sign = 1 if self.mode == "min" else -1
            failed = {trial for trial, score in rung.items() if not math.isfinite(score)}
            order = sorted(rung, key=lambda t: (t in failed, sign * rung[t], t))
            for trial in order[: len(rung) // self.eta]:
                if trial not in self.promoted[k] and trial not in failed:
                    self.promoted[k].add(trial)
                    return Suggestion(
                        trial, self.configurations[trial], self.levels[k], self.levels[k + 1]
                    )
        self.configurations.append({"x": self.rng.random()})
        return Suggestion(len(self.configurations) - 1, self.configurations[-1], 0, self.levels[0])

    def tell(self, trial, resource, score):
        self.scores[self.levels.index(resource)][trial] = score


SCORES = st.one_of(
    st.sampled_from([0.0, 1.0, 2.0, math.inf, -math.inf]),
    st.floats(allow_nan=False, min_value=-10, max_value=10),
    st.floats(allow_nan=False),
)


@given(
    mode=st.sampled_from(["min", "max"]),
    resources=st.tuples(st.integers(1, 4), st.integers(0, 80)),
    eta=st.integers(2, 4),
    workers=st.integers(1, 12),
    reports=st.lists(
        st.tuples(st.integers(0, 11), SCORES, st.booleans()), min_size=1, max_size=120
    ),
    reload_at=st.integers(0, 120),
)
@settings(max_examples=150, deadline=None)
def test_same_decisions_as_the_paper(mode, resources, eta, workers, reports, reload_at):
    low, extra = resources
    arguments = {"mode": mode, "min_resource": low, "max_resource": low + extra, "eta": eta}
    fast, slow = build(seed=5, **arguments), Oracle(seed=5, **arguments)
    running = []
    for k, (pick, score, drain) in enumerate(reports):
        if k == reload_at:
            fast, old = build(**arguments), fast
            fast.load_state_dict(old.state_dict())
        while len(running) < (1 if drain else workers):  # several tells between two asks
            asked = fast.ask()
            assert asked == slow.ask()
            running.append(asked)
        done = running.pop(pick % len(running))
        fast.tell(done.trial, done.resource, score)
        slow.tell(done.trial, done.resource, score)
    assert fast.ask() == slow.ask()


@pytest.mark.parametrize("generator", ["sorted", "reversed", "interleaved", "random"])
def test_same_decisions_as_the_paper_in_long_searches(generator):
    n = 400
    scores = {
        "sorted": np.arange(n),
        "reversed": -np.arange(n),
        "interleaved": np.arange(n) * np.where(np.arange(n) % 2, 1, -1),
        "random": np.random.default_rng(0).integers(0, 20, n),
    }[generator].astype(float)
    arguments = {"mode": "min", "min_resource": 1, "max_resource": 81, "eta": 3}
    fast, slow = build(seed=5, **arguments), Oracle(seed=5, **arguments)
    for score in scores:
        asked = fast.ask()
        assert asked == slow.ask()
        fast.tell(asked.trial, asked.resource, score)
        slow.tell(asked.trial, asked.resource, score)


def told(scheduler, scores):
    """Start a trial for each score, then tell them all."""
    asked = [scheduler.ask() for _ in scores]
    for suggestion, score in zip(asked, scores, strict=True):
        scheduler.tell(suggestion.trial, suggestion.resource, score)
    return scheduler


def test_promotes_the_best_third_one_by_one():
    scheduler = told(build(), [0.5, 0.1, 0.9, 0.2, 0.8, 0.7])
    first, second, third = scheduler.ask(), scheduler.ask(), scheduler.ask()
    assert (first.trial, first.start, first.resource) == (1, 1, 3)
    assert (second.trial, second.start, second.resource) == (3, 1, 3)
    assert third.is_new


def test_the_highest_rung_with_something_to_promote_comes_first():
    scheduler = told(build(), [0.1, 0.2, 0.3, *[0.9] * 6])
    promoted = [scheduler.ask() for _ in range(3)]
    assert [asked.start for asked in promoted] == [1, 1, 1]
    new = [scheduler.ask() for _ in range(3)]
    assert all(asked.is_new for asked in new)
    for asked in (*promoted, *new):  # now both rungs have an entry to promote
        scheduler.tell(asked.trial, asked.resource, asked.trial / 100)
    assert [scheduler.ask().start for _ in range(2)] == [3, 1]


def test_an_entry_that_left_the_top_and_came_back_unseen_is_promoted_once():
    scheduler = build()
    for _ in range(9):
        scheduler.ask()
    scores = [0.5, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9]
    for trial, score in enumerate(scores):  # trial 0 enters, is pushed out by 3, enters again
        scheduler.tell(trial, 1, score)
    assert [scheduler.ask().trial for _ in range(4)] == [3, 0, 1, 9]


def test_ties_go_to_the_lower_trial_number_whatever_the_order_of_arrival():
    for n in (3, 4, 5):
        scheduler = build()
        asked = [scheduler.ask() for _ in range(n)]
        for suggestion in reversed(asked):
            scheduler.tell(suggestion.trial, suggestion.resource, 0.5)
        assert scheduler.ask().trial == 0


def test_an_entry_pushed_out_of_the_top_is_promoted_once_it_is_back():
    scheduler = build()
    for _ in range(6):
        scheduler.ask()
    for trial, score in ((0, 0.5), (1, 0.9), (2, 0.9), (3, 0.1)):
        scheduler.tell(trial, 1, score)  # floor(4 / 3) = 1: trial 3 pushes trial 0 out
    assert scheduler.ask().trial == 3
    assert scheduler.ask().is_new
    for trial in (4, 5):
        scheduler.tell(trial, 1, 0.9)  # floor(6 / 3) = 2: trial 0 is back
    assert scheduler.ask().trial == 0


def test_failed_trials_count_towards_the_rung_but_stay_there():
    scheduler = told(build(mode="max"), [-math.inf, -math.inf, 0.1])
    assert scheduler.ask().trial == 2
    assert told(build(mode="max"), [-math.inf] * 3).ask().is_new
    assert told(build(mode="max"), [math.inf] * 3).ask().is_new


@pytest.mark.parametrize(
    ("settings", "levels"),
    [
        ({"min_resource": 1, "max_resource": 27}, [1, 3, 9, 27]),
        ({"min_resource": 1, "max_resource": 20}, [1, 3, 9, 20]),
        ({"min_resource": 2, "max_resource": 5, "eta": 2}, [2, 4, 5]),
        ({"min_resource": 4, "max_resource": 4}, [4]),
    ],
)
def test_rungs(settings, levels):
    scheduler = build(**settings)
    seen = set()
    for _ in range(400):
        asked = scheduler.ask()
        seen.add(asked.resource)
        scheduler.tell(asked.trial, asked.resource, -asked.trial)
    assert sorted(seen) == levels
    eta = settings.get("eta", 3)
    price = sum((b - a) / eta**k for k, (a, b) in enumerate(pairwise([0, *levels])))
    assert scheduler.expected_resource == pytest.approx(price)


def test_expected_resource_of_the_usual_ladder():
    assert build(max_resource=27).expected_resource == pytest.approx(1 + 2 / 3 + 6 / 9 + 18 / 27)
    assert build(min_resource=9).expected_resource == 9


@pytest.mark.parametrize("eta", [1, 0, -3, 2.5, "3", True, None])
def test_eta_must_be_whole_and_at_least_two(eta):
    with pytest.raises(SettingError, match=r"eta .* at least 2"):
        build(eta=eta)


def test_errors_name_what_was_told_and_what_was_asked():
    scheduler = build()
    scheduler.ask()
    with pytest.raises(SettingError, match="Trial 7 is unknown: 1 trials"):
        scheduler.tell(7, 1, 0.5)
    with pytest.raises(SettingError, match="Trial 0 told at resource 3, but it was asked .* to 1"):
        scheduler.tell(0, 3, 0.5)
    with pytest.raises(SettingError, match="resource 1 with score nan"):
        scheduler.tell(0, 1, math.nan)
    scheduler.tell(0, 1, 0.5)
    with pytest.raises(SettingError, match="Trial 0 told at resource 1, but it is not being"):
        scheduler.tell(0, 1, 0.5)


def test_a_state_of_another_eta_space_or_generator_is_refused():
    state = build().state_dict()
    with pytest.raises(SettingError, match=r"eta 3, this scheduler has 2"):
        build(eta=2).load_state_dict(state)
    other = ASHA(
        Space({"y": Float(0.0, 1.0)}),
        np.random.default_rng(0),
        mode="min",
        min_resource=1,
        max_resource=9,
    )
    with pytest.raises(SettingError, match="space"):
        other.load_state_dict(state)
    twister = ASHA(
        SPACE,
        np.random.Generator(np.random.MT19937(0)),
        mode="min",
        min_resource=1,
        max_resource=9,
    )
    with pytest.raises(SettingError, match="generator"):
        twister.load_state_dict(state)


def test_a_state_shares_nothing_with_its_scheduler():
    scheduler = told(build(), [0.1, 0.2, 0.3])
    state = scheduler.state_dict()
    twin = build()
    twin.load_state_dict(state)
    for data in (state["settings"], state["rng"], *state["configurations"], *state["rungs"]):
        data.clear()
    expected = told(build(), [0.1, 0.2, 0.3])
    for _ in range(2):
        asked = expected.ask()
        assert scheduler.ask() == twin.ask() == asked
    assert twin.state_dict() == scheduler.state_dict() == expected.state_dict()


def test_an_amended_configuration_is_kept_as_python_scalars():
    scheduler = build()
    scheduler.ask()
    scheduler.amend(0, {"x": np.float32(0.25)})
    assert json.loads(json.dumps(scheduler.state_dict()))["configurations"] == [{"x": 0.25}]


@pytest.mark.parametrize("bits", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_resumes_the_stream_of_any_bit_generator(bits):
    def over(seed):
        rng = np.random.Generator(bits(seed))
        return ASHA(SPACE, rng, mode="min", min_resource=1, max_resource=9)

    one, two = over(0), over(1)
    one.ask()
    two.load_state_dict(one.state_dict())
    assert one.ask() == two.ask()


def test_ten_thousand_trials_cost_less_than_a_tenth_of_a_millisecond_each():
    scheduler = build(max_resource=81)
    scores = np.random.default_rng(1).random(20_000).tolist()
    trials = reports = 0
    begin = time.process_time()
    while trials < 10_000:
        asked = scheduler.ask()
        trials += asked.is_new
        scheduler.tell(asked.trial, asked.resource, scores[reports])
        reports += 1
    assert (time.process_time() - begin) / reports < 1e-4
