"""Moves: shift a configuration along a hypergradient, or along a control direction.

The paper's rule is psi <- psi - eta * dL/dpsi in the space's natural coordinates (log10 of the
learning rate, not the rate), with eta = 1e-3 from the range 1e-4 to 1e-2. Taken at the first
mini-batch, dL/dpsi of every optimiser hyperparameter is zero, so the gradient is that of the
loss one lookahead step later: see `docs/hypergradients.md`.

Guards: a dimension whose gradient is not finite stays where it was and is counted; the result is
clipped to the space; discrete dimensions never move.
"""

from collections.abc import Generator
from typing import Any, Literal, get_args

import numpy as np

from ohgw.core.errors import (
    InvisibleHyperparameterError,
    SettingError,
    SpaceError,
    UnknownNameError,
)
from ohgw.core.space import Space
from ohgw.core.trial import Configuration
from ohgw.hypergrad import get_estimator
from ohgw.warmstart.method import (
    GradientRequest,
    GradientResult,
    Method,
    Proposal,
    Request,
    Sweep,
    check_number,
)

Direction = Literal["gradient", "random", "null"]


class Move(Method):
    """One gradient step on a configuration before it is trained.

    eta
        Step size of the paper's rule, in natural coordinates. Ignored where `radius` is set.
    steps
        Training steps of the lookahead, K >= 1.
    estimator
        A name of `ohgw.hypergrad.ESTIMATORS`.
    radius
        Move this far in the unit cube along the normalised gradient instead of eta times it.
    only
        Hyperparameters that may move, joined by '+'; all continuous ones by default.
    direction
        'gradient', or a control at the same cost: 'random' moves equally far in a random
        direction, 'null' not at all.
    """

    def __init__(
        self,
        name: str = "ohgw",
        *,
        eta: float = 1e-3,
        steps: int = 1,
        estimator: str = "reverse",
        radius: float | None = None,
        only: str | None = None,
        direction: Direction = "gradient",
    ) -> None:
        check_number(name, "eta", eta, lambda x: 0 < x < np.inf, "positive and finite")
        if radius is not None:
            check_number(name, "radius", radius, lambda x: 0 < x <= 1, "in (0, 1]")
        if only is not None and not isinstance(only, str):
            raise SettingError(f"only={only!r} of method {name!r} must be names joined by '+'.")
        if direction not in get_args(Direction):
            raise UnknownNameError(f"direction of method {name!r}", direction, get_args(Direction))
        get_estimator(estimator)
        if not isinstance(steps, int) or steps < 1:
            raise SettingError(
                f"steps={steps!r} of method {name!r} must be a whole number from 1: the loss at "
                "the first mini-batch does not depend on the optimiser's hyperparameters."
            )
        self.name = name
        self.eta, self.steps, self.estimator = eta, steps, estimator
        self.radius, self.direction = radius, direction
        self.only = None if only is None else tuple(only.split("+"))

    def check(self, sweep: Sweep) -> None:
        visible = sweep.visible(self.estimator, self.steps)
        for name in self.only or ():
            if name not in sweep.space.continuous:
                raise SpaceError(
                    f"only={name!r} of method {self.name!r} is not a continuous hyperparameter; "
                    f"the space has {', '.join(sweep.space.continuous)}."
                )
            if name not in visible:
                raise InvisibleHyperparameterError(
                    f"only={name!r} of method {self.name!r}: estimator {self.estimator!r} cannot "
                    f"see it with steps={self.steps}, its derivative would be zero. Visible are "
                    f"{', '.join(sorted(visible))}; more steps or 'reverse' may see more."
                )

    def price(self, sweep: Sweep) -> float:
        if self._stands_aside(sweep):
            return 0.0
        return sweep.gradient_work(self.estimator, self.steps)

    def propose(
        self, sweep: Sweep, trial: int, configuration: Configuration
    ) -> Generator[Request, Any, Proposal]:
        if reason := self._stands_aside(sweep):
            return Proposal(configuration, diagnostics={"stood_aside": reason})
        moving = self._moving(sweep)
        result: GradientResult = yield GradientRequest(
            trial, configuration, self.steps, self.estimator
        )
        names = sweep.space.continuous
        may_move = np.array([name in moving for name in names])
        finite = np.isfinite(result.gradient)
        gradient = np.where(finite & may_move, result.gradient, 0.0)
        step = self._step(sweep.space, gradient)
        if self.direction == "random":
            step = _random_step(sweep.streams.generator("probe", trial, 1), step, may_move)
        elif self.direction == "null":
            step = np.zeros_like(step)
        psi = sweep.space.to_natural(configuration)
        return Proposal(
            sweep.space.from_natural(psi + step, configuration),
            work=result.work,
            diagnostics={
                **result.diagnostics(names),
                "non_finite": int((~finite & may_move).sum()),
                "held": [name for name in names if name not in moving],
            },
        )

    def _stands_aside(self, sweep: Sweep) -> str:
        """Why there is nothing to move, or an empty string."""
        if not sweep.gradients:
            return "task has no probe"
        return "" if sweep.space.continuous else "no hyperparameter is continuous"

    def _moving(self, sweep: Sweep) -> frozenset[str]:
        """Hyperparameters that move: those asked for, or all that the estimator can see."""
        visible = sweep.visible(self.estimator, self.steps)
        return visible if self.only is None else frozenset(self.only)

    def _step(self, space: Space, gradient: np.ndarray) -> np.ndarray:
        """The step (d,) in natural coordinates."""
        if self.radius is None:
            return -self.eta * gradient
        in_cube = gradient * space.unit_scale  # dL/du, u in the unit cube
        largest = np.abs(in_cube).max(initial=0.0)
        if largest == 0.0:
            return np.zeros_like(gradient)
        in_cube = in_cube / largest  # gradients span orders of magnitude: squares may overflow
        return np.asarray(-self.radius * in_cube / np.linalg.norm(in_cube) * space.unit_scale)


def _random_step(rng: np.random.Generator, step: np.ndarray, may_move: np.ndarray) -> np.ndarray:
    """A step as long as `step`, in a uniformly random direction of the same dimensions."""
    direction = rng.standard_normal(step.shape) * may_move
    norm, largest = np.linalg.norm(direction), np.abs(step).max(initial=0.0)
    if norm == 0 or largest == 0:
        return np.zeros_like(step)
    length = largest * np.linalg.norm(step / largest)  # squares of a huge step would overflow
    return np.asarray(direction * (length / norm))
