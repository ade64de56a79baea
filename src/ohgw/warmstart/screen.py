"""Guarded shared-initialisation screening: draw a few, probe each, train the best one.

Draw `candidates` configurations, train each for `steps` mini-batches from one initialisation and
one batch stream that the whole sweep shares, keep the one with the best loss on one shared
validation mini-batch, and let it go on from there. It is successive halving's own idea at the
smallest scale: an extra rung of a few mini-batches in front of the first, made comparable by
common random numbers.

The guard: how well a probe ranks depends on the initialisation that is shared. If fewer than half
of the first candidates improve on the untrained loss, the initialisation is redrawn, at its cost.

It stands aside, and says so, where a probe is known to mislead or cost too much: where it would
cost more than `max_share` of the work that an admitted trial is expected to take, and where its
steps lie within the learning rate's warm-up, in which a short run rewards learning rates far
above the best ones (short-horizon bias: Wu et al. 2018).

Candidates have the discrete values of the trial that they stand in for, wherever another value is
another program: its loss after as many mini-batches, from other parameters, would not compare. The
guard then asks about the reference, and each proposal's own candidates answer for their variant.
"""

from collections.abc import Generator
from typing import Any

import numpy as np

from ohgw.core.errors import SettingError
from ohgw.core.trial import Configuration
from ohgw.warmstart.method import (
    Method,
    Proposal,
    Request,
    RolloutRequest,
    RolloutResult,
    Sweep,
    check_number,
    check_whole,
    finite_or_none,
)

MAX_REDRAWS = 8  # a task on which no initialisation passes is trained all the same


class Screen(Method):
    """Best of `candidates` after `steps` mini-batches from a shared, guarded initialisation.

    The defaults (3 candidates, 4 mini-batches, 4 %) are those that `docs/method.md` reports on.
    """

    name = "screen"

    def __init__(
        self, *, candidates: int = 3, steps: int = 4, guard: bool = True, max_share: float = 0.04
    ) -> None:
        check_whole(self.name, "candidates", candidates, 2)
        check_whole(self.name, "steps", steps, 1)
        check_number(self.name, "max_share", max_share, lambda x: x > 0, "positive")
        if not isinstance(guard, bool):
            raise SettingError(f"guard={guard!r} of method 'screen' must be true or false.")
        self.candidates, self.steps = candidates, steps
        self.guard, self.max_share = guard, max_share
        self.initialisation = 0
        self.redraw_work = 0.0

    def price(self, sweep: Sweep) -> float:
        if self._stands_aside(sweep):
            return 0.0
        return self.redraw_work + sweep.rollout_work(self.candidates, self.steps)

    def prepare(self, sweep: Sweep) -> Generator[Request, Any, None]:
        """Choose the initialisation that the sweep shares."""
        if not self.guard or self._stands_aside(sweep):
            return
        # Configurations of the guard's own: what it learns of an initialisation must not depend
        # on which trial happens to come first.
        rng = sweep.streams.generator("probe")
        configurations = tuple(sweep.draw(rng) for _ in range(self.candidates))
        for self.initialisation in range(MAX_REDRAWS):
            result: RolloutResult = yield RolloutRequest(
                configurations, self.steps, self.initialisation
            )
            self.redraw_work += result.work
            if self._trusted(result):
                return

    def propose(
        self, sweep: Sweep, trial: int, configuration: Configuration
    ) -> Generator[Request, Any, Proposal]:
        reason = self._stands_aside(sweep)
        if reason:
            return Proposal(configuration, diagnostics={"stood_aside": reason})
        # The guard's work is charged to the sweep's first proposal.
        charge, self.redraw_work = self.redraw_work, 0.0
        rng = sweep.streams.generator("probe", trial)
        candidates = (configuration, *(sweep.draw(rng) for _ in range(self.candidates - 1)))
        result: RolloutResult = yield RolloutRequest(candidates, self.steps, self.initialisation)
        losses = np.where(np.isfinite(result.after), result.after, np.inf)
        best = int(losses.argmin())
        state = result.states[best] if np.isfinite(losses[best]) else None
        diagnostics = {
            "kept": best,
            "losses": [finite_or_none(loss) for loss in result.after],
            "untrained_loss": result.before,
            "initialisation": self.initialisation,
        }
        if sweep.held and self.guard and not self._trusted(result):
            reason = "fewer than half of the candidates improve on the untrained loss"
            return Proposal(
                configuration,
                work=charge + result.work,
                diagnostics=diagnostics | {"kept": 0, "stood_aside": reason},
            )
        return Proposal(
            candidates[best],
            work=charge + result.work,
            diagnostics=diagnostics,
            state=state,
            steps_done=self.steps if state is not None else 0,
        )

    def _trusted(self, result: RolloutResult) -> bool:
        """Whether enough of the candidates improve on the untrained loss."""
        with np.errstate(invalid="ignore"):
            improved = int((result.after < result.before).sum())
        return 2 * improved >= self.candidates

    def _stands_aside(self, sweep: Sweep) -> str:
        """Why screening would not help here, or an empty string."""
        if not sweep.rollouts:
            return "task has no probe"
        if len(sweep.held) == sweep.space.d:
            return "no hyperparameter is continuous"
        if sweep.warmup_steps > self.steps:
            return (
                f"{self.steps} probe steps lie within the learning rate's warm-up "
                f"({sweep.warmup_steps:g} steps)"
            )
        # The winner trains on from its probe; what the others took is lost.
        lost = sweep.rollout_work(self.candidates, self.steps) * (1 - 1 / self.candidates)
        share = lost / (sweep.expected_steps * sweep.step_work)
        if share > self.max_share:
            return f"a probe would cost {share:.1%} of a trial, more than {self.max_share:.1%}"
        return ""

    def state_dict(self) -> dict[str, Any]:
        return {"initialisation": self.initialisation, "redraw_work": self.redraw_work}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.initialisation = state["initialisation"]
        self.redraw_work = state["redraw_work"]
