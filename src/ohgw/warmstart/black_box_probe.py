"""The probe of a black-box task: what its own `probe` says, or nothing."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ohgw.core.errors import SettingError
from ohgw.core.protocols import BlackBoxTask
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.warmstart.method import (
    GradientRequest,
    GradientResult,
    Result,
    RolloutRequest,
    RolloutResult,
)
from ohgw.warmstart.probe import Asked

Slope = Callable[[Configuration, int], tuple[float, Mapping[str, float]]]


class BlackBoxProbe:
    """Probes a black-box task through its own `probe`, or stands aside where it has none.

    `task.probe(configuration, seed) -> loss` at `task.probe_resource` resource units. Gradients are
    what `task.probe_gradient(configuration, seed) -> (loss, {name: derivative})` says at
    `task.probe_gradient_resource`, in natural coordinates, for `task.probe_gradient_names`;
    central differences of the loss under one seed where a task has no such thing. `steps` of a
    request have no meaning here.
    """

    at_once = 2**31
    width = 0.05  # of a difference, in the unit cube

    def __init__(self, task: BlackBoxTask) -> None:
        self.task = task
        self._look: Callable[[Configuration, int], float] | None = getattr(task, "probe", None)
        self._slope: Slope | None = getattr(task, "probe_gradient", None)
        self._price = self._read_price("probe", self._look)
        self._gradient_price = self._read_price("probe_gradient", self._slope)
        self.gradients = self.rollouts = self._look is not None

    def _read_price(self, name: str, call: object) -> float:
        price = float(getattr(self.task, f"{name}_resource", 0.0))
        if call is not None and not price > 0:
            raise SettingError(
                f"Task {self.task.name!r} has a {name}, but no positive {name}_resource "
                f"({price!r}): say how many resource units one call is worth."
            )
        return price

    def fit_beside(self, lanes: int) -> None:
        """It looks at one configuration at a time."""

    def of(self, configuration: Configuration) -> "BlackBoxProbe":
        return self

    def visible(self, estimator: str, steps: int) -> frozenset[str]:
        names = self.task.space.continuous
        if self._slope is not None:
            names = getattr(self.task, "probe_gradient_names", names)
        return frozenset(names)

    def gradient_work(self, estimator: str, steps: int) -> float:
        if self._slope is not None:
            return self._gradient_price
        return (2 * len(self.task.space.continuous) + 1) * self._price

    def rollout_work(self, configurations: int, steps: int) -> float:
        return configurations * self._price

    def answer(self, asked: Sequence[Asked]) -> list[Result]:
        return [
            self._gradient(streams, request)
            if isinstance(request, GradientRequest)
            else self._rollout(streams, request)
            for streams, request in asked
        ]

    def _gradient(self, streams: Streams, request: GradientRequest) -> GradientResult:
        assert self._look is not None  # methods ask only where `gradients` holds
        space = self.task.space
        seed = streams.integer("probe", request.trial)
        work = self.gradient_work(request.estimator, request.steps)
        if self._slope is not None:
            loss, slopes = self._slope(request.configuration, seed)
            own = np.array([slopes.get(name, 0.0) for name in space.continuous])
            return GradientResult(own, loss, work, "task")
        base = self._look(request.configuration, seed)
        psi = space.to_natural(request.configuration)
        gradient = np.zeros(len(psi))
        for k, step in enumerate(self.width * space.unit_scale):
            ends, losses = [], []
            for sign in (-1, 1):
                end = psi.copy()
                end[k] += sign * step
                configuration = space.from_natural(end, request.configuration)
                losses.append(self._look(configuration, seed))
                ends.append(space.to_natural(configuration)[k])  # bounds clip an end
            gradient[k] = (losses[1] - losses[0]) / (ends[1] - ends[0])
        return GradientResult(gradient, base, work, "finite-difference")

    def _rollout(self, streams: Streams, request: RolloutRequest) -> RolloutResult:
        assert self._look is not None  # methods ask only where `rollouts` holds
        seed = streams.integer("probe", 2, request.initialisation)
        losses = [self._look(configuration, seed) for configuration in request.configurations]
        return RolloutResult(
            before=float("inf"),  # an untrained loss is not to be had: the guard always passes
            after=np.array(losses),
            states=(None,) * len(losses),
            work=self.rollout_work(len(losses), request.steps),
        )
