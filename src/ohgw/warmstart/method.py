"""The seam between a method and whoever trains: draw configurations, probe them, propose one.

A method is written as a generator: it *yields* probe requests, is sent their results, and returns
a `Proposal`. The engine behind it answers requests of many trials, and of many searches, in one
fused batch; the method's code stays that of a single trial. `prepare` runs once before a search's
first proposal; after it, proposals are independent of each other.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ohgw.core.errors import SettingError
from ohgw.core.space import Space
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration


@dataclass(frozen=True, slots=True)
class GradientRequest:
    """Hypergradient of the validation loss after `steps` mini-batches, at a trial's own start."""

    trial: int
    configuration: Configuration
    steps: int
    estimator: str


@dataclass(frozen=True, slots=True)
class GradientResult:
    """`gradient` (d,) in natural coordinates over the continuous names; work in training steps."""

    gradient: np.ndarray
    loss: float
    work: float
    estimator: str  # the one that answered: finite differences where the asked one failed

    def diagnostics(self, names: Sequence[str]) -> dict[str, Any]:
        """As a record keeps it, by hyperparameter; None for what is not finite."""
        return {
            "loss": finite_or_none(self.loss),
            "gradient": {
                name: finite_or_none(value)
                for name, value in zip(names, self.gradient, strict=True)
            },
            "estimator": self.estimator,
        }


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """Train each configuration for `steps` mini-batches from one shared initialisation.

    All have the same values of `Sweep.held`: other variants have other parameters to start from.
    `initialisation` numbers the sweep's shared initialisations, so that a bad one can be redrawn.
    """

    configurations: tuple[Configuration, ...]
    steps: int
    initialisation: int


@dataclass(frozen=True, slots=True)
class RolloutResult:
    """Losses on one shared validation mini-batch; `states` can be trained on."""

    before: float
    after: np.ndarray  # (configurations,), non-finite where one diverged
    states: tuple[Any, ...]  # None where the task cannot hand a state over
    work: float


Request = GradientRequest | RolloutRequest
Result = GradientResult | RolloutResult


@dataclass(frozen=True, slots=True)
class Proposal:
    """The configuration to train (x'), what the probe cost and what it saw.

    The values of `Sweep.held` are those that were proposed.
    `state` is where training goes on; None means the trial's own initialisation. `work` is all
    work done for this proposal, in training steps of the reference. `steps_done` training steps
    are already contained in `state`: they are training, the rest is the probe's overhead.
    """

    configuration: Configuration
    work: float = 0.0
    diagnostics: dict[str, Any] = field(default_factory=dict)
    state: Any = None
    steps_done: int = 0


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a method may know and use of the search it serves.

    Where the task has variants, everything is said of one: that of the trial a method is asked
    about, whose discrete values `draw` gives too; of the reference in `prepare`.
    """

    space: Space
    streams: Streams
    draw: Callable[[np.random.Generator], Configuration]
    expected_steps: float  # training steps an admitted trial is expected to take
    gradients: bool  # whether the task answers a GradientRequest
    rollouts: bool  # whether it answers a RolloutRequest
    warmup_steps: float  # of the task's learning-rate schedule; 0 without one
    visible: Callable[[str, int], frozenset[str]]  # (estimator, steps) -> hyperparameters seen
    gradient_work: Callable[[str, int], float]  # (estimator, steps) -> work of one request
    rollout_work: Callable[[int, int], float]  # (configurations, steps) -> work of one request
    steps_per_unit: int = 1  # training steps of a resource unit
    step_work: float = 1.0  # of a training step, in those of the reference
    held: tuple[str, ...] = ()  # hyperparameters that make the variant: x' has those of x
    variant: "Callable[[Configuration], Sweep] | None" = None

    def at(self, configuration: Configuration) -> "Sweep":
        """The same search as a trial of this configuration sees it."""
        return self if self.variant is None else self.variant(configuration)


class Method:
    """Base of all methods: proposes what the scheduler asked for.

    `prepare` and `propose` are generators of requests. A method instance serves one search;
    `state_dict` must hold what `prepare` decided, so that a resumed search goes on the same way.
    """

    name = "vanilla"

    def check(self, sweep: Sweep) -> None:
        """Raise an `OHGWError` where the method's settings do not fit the search."""

    def price(self, sweep: Sweep) -> float:
        """Work that the next proposal will cost, in training steps; never less than it does."""
        return 0.0

    def prepare(self, sweep: Sweep) -> Generator[Request, Any, None]:
        """Once per search, before its first proposal."""
        return
        yield

    def propose(
        self, sweep: Sweep, trial: int, configuration: Configuration
    ) -> Generator[Request, Any, Proposal]:
        """Return the configuration to train instead of `configuration`."""
        return Proposal(configuration)
        yield

    def observe(
        self, trial: int, configuration: Configuration, resource: float, loss: float
    ) -> None:
        """A trial was scored after `resource` units; the loss is infinite where it diverged.

        Smaller is better: a score to be maximised comes with its sign turned.
        """

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        return None


def check_number(
    method: str, option: str, value: Any, fits: Callable[[Any], bool], wanted: str
) -> None:
    """Raise `SettingError` unless an option is a number that fits."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not fits(value):
        raise SettingError(f"{option}={value!r} of method {method!r} must be {wanted}.")


def check_whole(method: str, option: str, value: Any, least: int) -> None:
    """Raise `SettingError` unless an option is a whole number from `least`."""
    fits = isinstance(value, int) and value >= least
    check_number(method, option, value, lambda _: fits, f"a whole number from {least}")


def finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
