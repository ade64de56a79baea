"""The probe of a black-box task: what its own `probe` says, or nothing."""

from collections.abc import Callable, Sequence

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


class BlackBoxProbe:
    """Probes a black-box task through its own `probe`, or stands aside where it has none.

    `task.probe(configuration, seed) -> loss` at `task.probe_resource` resource units. Gradients are
    central differences of that loss under one seed; `steps` of a request have no meaning here.
    """

    at_once = 2**31
    width = 0.05  # of a difference, in the unit cube

    def __init__(self, task: BlackBoxTask) -> None:
        self.task = task
        self._look: Callable[[Configuration, int], float] | None = getattr(task, "probe", None)
        self._price = float(getattr(task, "probe_resource", 0.0))
        if self._look is not None and not self._price > 0:
            raise SettingError(
                f"Task {task.name!r} has a probe, but no positive probe_resource "
                f"({self._price!r}): say how many resource units one call is worth."
            )
        self.gradients = self.rollouts = self._look is not None

    def fit_beside(self, lanes: int) -> None:
        """It looks at one configuration at a time."""

    def of(self, configuration: Configuration) -> "BlackBoxProbe":
        return self

    def visible(self, estimator: str, steps: int) -> frozenset[str]:
        return frozenset(self.task.space.continuous)

    def gradient_work(self, estimator: str, steps: int) -> float:
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
        work = self.gradient_work(request.estimator, request.steps)
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
