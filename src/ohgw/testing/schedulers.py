"""What every scheduler must do, checked against the contract in `ohgw.core.protocols.Scheduler`.

A factory is called as make(space, rng, *, mode, min_resource, max_resource). In a test file:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_scheduler(check):
        check(MyScheduler)

Every check raises `AssertionError`, with a sentence, where the scheduler breaks the contract; an
error of the scheduler's own goes through. The searches that the checks run are watched by a
`Referee`, which also serves on its own as a harness.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from ohgw.core.errors import SettingError, SpaceError
from ohgw.core.protocols import Mode, Scheduler
from ohgw.core.space import Categorical, Float, Int, Space
from ohgw.core.trial import Configuration, Suggestion

Factory: TypeAlias = Callable[..., Scheduler]
Losses: TypeAlias = Callable[[int, int], float]
"""Loss of a trial at a resource; smaller is better, infinity where the trial has failed."""

SPACE = Space(
    {
        "learning_rate": Float(1e-4, 1.0, log=True),
        "momentum": Float(0.0, 0.99),
        "layers": Int(1, 4),
        "activation": Categorical(("relu", "gelu", "tanh")),
    }
)
MIN_RESOURCE, MAX_RESOURCE = 1, 27


def scattered(trial: int, resource: int) -> float:
    """A loss that follows no order, the same on every call."""
    return float(np.random.default_rng([7, trial, resource]).random())


def tied(trial: int, resource: int) -> float:
    """One of three losses, so that most comparisons are ties."""
    return round(2 * scattered(trial, resource)) / 2


def partly_failing(trial: int, resource: int) -> float:
    """As `tied`, but every third trial fails at once, and every fifth after its first report."""
    failed = trial % 3 == 0 or (trial % 5 == 0 and resource > MIN_RESOURCE)
    return math.inf if failed else tied(trial, resource)


@dataclass
class Referee:
    """Runs a search with several workers and asserts the contract at every step.

    `trace` holds every suggestion in the order asked. Workers finish in an order drawn from a
    generator of the referee's own, so tells arrive out of order as soon as there are two.
    """

    scheduler: Scheduler
    losses: Losses = scattered
    workers: int = 1
    after_ask: Callable[[Suggestion], None] = lambda suggestion: None
    running: list[Suggestion] = field(default_factory=list)
    reached: dict[int, int] = field(default_factory=dict)  # trial -> resource of its last report
    last_loss: dict[int, float] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    trace: list[Suggestion] = field(default_factory=list)
    order: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    def run(self, reports: int) -> list[Suggestion]:
        """Go on until `reports` more tells; returns the trace so far."""
        for _ in range(reports):
            while len(self.running) < self.workers:
                self.ask()
            self.tell(int(self.order.integers(self.workers)))
        return self.trace

    def ask(self) -> Suggestion:
        suggestion = self.scheduler.ask()
        self._check(suggestion)
        self.running.append(suggestion)
        self.trace.append(suggestion)
        self.after_ask(suggestion)
        return suggestion

    def tell(self, worker: int) -> None:
        done = self.running.pop(worker)
        loss = self.losses(done.trial, done.resource)
        self.reached[done.trial] = done.resource
        self.last_loss[done.trial] = loss
        score = loss if self.scheduler.mode == "min" else -loss
        self.scheduler.tell(done.trial, done.resource, score)
        for trial in self.scheduler.ended():
            assert trial in self.reached, f"trial {trial} ended before it reported"
            assert trial not in self.ended, f"trial {trial} ended twice"
            assert all(trial != other.trial for other in self.running), (
                f"trial {trial} ended while it is being trained"
            )
            self.ended.add(trial)
        if done.resource == self.scheduler.max_resource or not math.isfinite(loss):
            assert done.trial in self.ended, f"trial {done.trial} cannot go on, and did not end"

    def _check(self, suggestion: Suggestion) -> None:
        trial = suggestion.trial
        try:
            self.scheduler.space.validate(suggestion.configuration)
        except SpaceError as error:
            raise AssertionError(f"{suggestion} is outside the space: {error}") from None
        assert 0 <= suggestion.start < suggestion.resource <= self.scheduler.max_resource, (
            f"{suggestion} does not lie within 0 .. {self.scheduler.max_resource}"
        )
        assert all(trial != other.trial for other in self.running), (
            f"{suggestion} was asked while the trial is being trained"
        )
        assert trial not in self.ended, f"{suggestion} goes on with a trial that ended"
        if suggestion.is_new:
            assert trial not in self.reached, f"{suggestion} starts a trial that exists"
            return
        assert trial in self.reached, f"{suggestion} promotes a trial that never reported"
        assert suggestion.start == self.reached[trial], (
            f"{suggestion} does not start where the trial paused, at {self.reached[trial]}"
        )
        assert math.isfinite(self.last_loss[trial]), f"{suggestion} promotes a failed trial"


def _build(
    make: Factory,
    seed: int = 0,
    mode: Mode = "min",
    low: int = MIN_RESOURCE,
    high: int = MAX_RESOURCE,
) -> Scheduler:
    return make(SPACE, np.random.default_rng(seed), mode=mode, min_resource=low, max_resource=high)


def _same(first: list[Suggestion], second: list[Suggestion], what: str) -> None:
    assert len(first) == len(second), f"{what}: {len(first)} and {len(second)} decisions"
    for k, (a, b) in enumerate(zip(first, second, strict=True)):
        assert a == b, f"{what}: decision {k} is {a} in one search and {b} in the other"


def _refuses(error: type[Exception], what: str, call: Callable[[], object]) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError(f"{what} was not refused with {error.__name__}")


def _through_json(state: dict[str, Any]) -> Any:
    return json.loads(json.dumps(state, allow_nan=False))


def check_attributes(make: Factory) -> None:
    """The scheduler shows its settings, and a trial's price lies between the resources."""
    for mode in ("min", "max"):
        scheduler = _build(make, mode=mode)
        assert scheduler.space == SPACE
        assert scheduler.mode == mode
        assert scheduler.max_resource == MAX_RESOURCE
        assert MIN_RESOURCE <= scheduler.expected_resource <= MAX_RESOURCE


def check_contract(make: Factory) -> None:
    """Every suggestion is valid, new or promoted from where it paused, never beyond the end."""
    for losses in (scattered, tied, partly_failing):
        for high in (1, 2, 10, 27):
            Referee(_build(make, high=high), losses).run(150)


def check_out_of_order(make: Factory) -> None:
    """The same with many workers, whose reports arrive in any order."""
    for losses in (scattered, tied, partly_failing):
        Referee(_build(make), losses, workers=17).run(300)


def check_more_workers_than_trials(make: Factory) -> None:
    """Before any report, every worker gets a trial of its own; then the search goes on."""
    referee = Referee(_build(make), tied, workers=100)
    for _ in range(referee.workers):
        assert referee.ask().is_new, f"{referee.trace[-1]} was asked before any report"
    referee.run(150)


def check_ties(make: Factory) -> None:
    """Scores that are all the same, as those of a model that predicts one class, hold nobody up."""
    for loss in (0.0, 1e12):
        for workers in (1, 5):
            Referee(_build(make), partial(_constant, loss), workers).run(60)


def _constant(loss: float, trial: int, resource: int) -> float:
    return loss


def check_budget(make: Factory) -> None:
    """Whatever the resources, a trial is first told at min_resource or later, all its training
    adds up to at most max_resource, and the price of a trial is the same all along.
    """
    for low, high in ((2, 54), (4, 10), (7, 7)):
        scheduler = _build(make, low=low, high=high)
        price = scheduler.expected_resource
        assert low <= price <= high, f"a trial is expected to take {price} of {low} .. {high}"
        spent: dict[int, int] = {}
        for suggestion in Referee(scheduler, workers=3).run(80):
            trial = suggestion.trial
            assert suggestion.resource >= low, f"{suggestion} is told before {low}"
            spent[trial] = spent.get(trial, 0) + suggestion.resource - suggestion.start
            assert spent[trial] <= high, f"trial {trial} has been trained for {spent[trial]}"
        assert scheduler.expected_resource == price, "the price of a trial has changed"


def check_determinism(make: Factory) -> None:
    """Equal generators and equal tells give equal asks; another generator gives others."""
    for losses in (scattered, tied):
        first = Referee(_build(make, seed=1), losses, workers=4).run(150)
        again = Referee(_build(make, seed=1), losses, workers=4).run(150)
        other = Referee(_build(make, seed=2), losses, workers=4).run(150)
        _same(first, again, "two searches with one seed")
        configurations = [suggestion.configuration for suggestion in first]
        assert configurations != [suggestion.configuration for suggestion in other], (
            "two seeds gave one sequence: the generator is not used"
        )


def check_resume(make: Factory) -> None:
    """A state that went through JSON goes on exactly as the search it was taken from."""
    for cut in (0, 1, 20, 75):
        whole = Referee(_build(make), partly_failing, workers=4)
        whole.run(cut)
        state = whole.scheduler.state_dict()
        text = json.dumps(state, allow_nan=False)
        future = whole.run(80)
        assert json.dumps(state, allow_nan=False) == text, (
            "the state changed while the search went on: it shares data with the scheduler"
        )
        resumed = _build(make, seed=99)
        resumed.load_state_dict(json.loads(text))
        assert _through_json(resumed.state_dict()) == json.loads(text), (
            "a state that was loaded is not the state that is saved"
        )
        second = Referee(_build(make), partly_failing, workers=4)
        second.run(cut)
        second.scheduler = resumed
        _same(future, second.run(80), f"resumed after {cut} reports")


def check_foreign_state(make: Factory) -> None:
    """A state of other settings is refused."""
    state = _build(make).state_dict()
    for other in (_build(make, mode="max"), _build(make, high=MAX_RESOURCE - 1)):
        _refuses(
            SettingError,
            "taking over a state written with another mode or max_resource",
            partial(other.load_state_dict, state),
        )


def check_failed_trials(make: Factory) -> None:
    """Trials with the worst score are never promoted, in either mode, and the search goes on."""
    for mode in ("min", "max"):
        trace = Referee(_build(make, mode=mode), partly_failing, workers=3).run(200)
        assert sum(suggestion.is_new for suggestion in trace) > 1


def check_all_failed(make: Factory) -> None:
    """Where every trial fails, every ask is a new trial."""
    trace = Referee(_build(make), lambda trial, resource: math.inf, workers=3).run(100)
    assert all(suggestion.is_new for suggestion in trace)


def check_single_trial(make: Factory) -> None:
    """One trial and one report are enough to go on, also where there is but one rung."""
    for low, high in ((1, 27), (1, 1), (5, 5)):
        referee = Referee(_build(make, low=low, high=high))
        assert referee.ask().is_new
        referee.tell(0)
        if low == high:
            assert referee.ask().is_new, "a trial at the top was asked for again"
        else:
            referee.ask()


def check_mirror(make: Factory) -> None:
    """Minimising a score and maximising its negative are the same search."""
    for losses in (scattered, tied, partly_failing):
        low = Referee(_build(make, mode="min"), losses, workers=4).run(150)
        high = Referee(_build(make, mode="max"), losses, workers=4).run(150)
        _same(low, high, "minimised and maximised")


def check_draw(make: Factory) -> None:
    """`draw` proposes from the caller's generator and leaves no trace in the scheduler."""
    plain = _build(make)
    drawing = _build(make)
    seen: list[Configuration] = []

    def draw(suggestion: Suggestion) -> None:
        seen.append(drawing.draw(np.random.default_rng(suggestion.trial)))
        again = drawing.draw(np.random.default_rng(suggestion.trial))
        assert seen[-1] == again, "draw does not depend on the caller's generator alone"

    first = Referee(plain, workers=4).run(100)
    second = Referee(drawing, workers=4, after_ask=draw).run(100)
    _same(first, second, "without and with draws")
    for configuration in seen:
        SPACE.validate(configuration)
    assert seen[0] != seen[1], "every draw is the same"


def check_amend(make: Factory) -> None:
    """Promotions carry the configuration a trial was amended to, and only a valid one."""
    scheduler = _build(make)
    amended: dict[int, Configuration] = {}

    def amend(suggestion: Suggestion) -> None:
        if suggestion.is_new:
            amended[suggestion.trial] = SPACE.sample(np.random.default_rng(suggestion.trial + 50))
            given = dict(amended[suggestion.trial])
            scheduler.amend(suggestion.trial, given)
            given["momentum"] = -1.0
            suggestion.configuration["momentum"] = -1.0
        else:
            assert suggestion.configuration == amended[suggestion.trial], (
                f"{suggestion} does not carry {amended[suggestion.trial]}"
            )

    referee = Referee(scheduler, workers=4, after_ask=amend)
    referee.run(60)
    resumed = _build(make)
    resumed.load_state_dict(_through_json(scheduler.state_dict()))
    referee.scheduler = scheduler = resumed
    referee.run(60)
    _refuses(
        SpaceError,
        "amending to a value outside the space",
        lambda: scheduler.amend(0, {**SPACE.sample(np.random.default_rng(0)), "layers": 9}),
    )
    for trial in (10**6, -1):
        _refuses(
            SettingError,
            f"amending the unknown trial {trial}",
            partial(scheduler.amend, trial, SPACE.sample(np.random.default_rng(0))),
        )


def check_bad_tells(make: Factory) -> None:
    """NaN, an unknown trial, a wrong resource and a second tell are refused without a trace."""
    scheduler = _build(make)
    referee = Referee(scheduler, workers=2)
    referee.run(20)
    done, running = referee.trace[0], referee.ask()
    bad = {
        "NaN": (running.trial, running.resource, math.nan),
        "an unknown trial": (10**6, running.resource, 0.5),
        "a negative trial": (-1, running.resource, 0.5),
        "a resource that was not asked for": (running.trial, running.resource + 1, 0.5),
        "a second report": (done.trial, done.resource, 0.5),
    }
    for what, (trial, resource, score) in bad.items():
        before = scheduler.state_dict()
        _refuses(SettingError, f"telling {what}", partial(scheduler.tell, trial, resource, score))
        assert scheduler.state_dict() == before, f"telling {what} left a trace"


def check_bad_settings(make: Factory) -> None:
    """Resources that cannot work and modes that do not exist are refused."""
    bad: list[tuple[Any, Any, Any]] = [
        ("min", 9, 3),
        ("min", 0, 3),
        ("min", 1, 0),
        ("min", 1, 2.5),
        ("min", True, 3),
        ("least", 1, 3),
    ]
    for mode, low, high in bad:
        _refuses(
            SettingError,
            f"mode {mode!r} with resources {low!r} to {high!r}",
            partial(_build, make, mode=mode, low=low, high=high),
        )


CHECKS: tuple[Callable[[Factory], None], ...] = (
    check_attributes,
    check_contract,
    check_out_of_order,
    check_more_workers_than_trials,
    check_ties,
    check_budget,
    check_determinism,
    check_resume,
    check_foreign_state,
    check_failed_trials,
    check_all_failed,
    check_single_trial,
    check_mirror,
    check_draw,
    check_amend,
    check_bad_tells,
    check_bad_settings,
)
