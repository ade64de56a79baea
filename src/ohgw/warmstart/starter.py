"""A method at the service of anybody's scheduler: a proposed configuration in, x' out.

Trials are trained elsewhere, from their owner's initialisation: nothing of a probe's states is
handed over, and a method's `prepare`, which chooses what trials start from, is not run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ohgw.core.protocols import BlackBoxTask, DifferentiableTask
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.training.feed import Feed
from ohgw.warmstart import make_method
from ohgw.warmstart.black_box_probe import BlackBoxProbe
from ohgw.warmstart.differentiable_probe import DifferentiableProbe
from ohgw.warmstart.probe import Probe, converse
from ohgw.warmstart.sweep import make_sweep


@dataclass(frozen=True, slots=True)
class WarmStart:
    """x' beside x, and what finding it cost, in training mini-batches (of the task's reference)."""

    configuration: Configuration
    proposed: Configuration
    work: float
    diagnostics: dict[str, Any]


class WarmStarter:
    """Answers each new trial of a search that somebody else schedules and trains.

    task
        What to probe: a `ModuleTask` around your own model, or any other task. Its space is the
        one that proposals come from.
    method
        As `ohgw tune --method`. One that learns from the search (`guided`) needs `observe`.
    expected_resource
        Resource units (epochs) that a trial takes on average, the task's maximum by default; a
        probe that would cost too much of it stands aside. `units` says how many training steps a
        unit has, those of the task's epoch by default.
    draw
        Further proposals, from the caller's generator: uniform over the space by default.

    Answers depend on `seed`, the trial's number and what was observed before alone. Raises
    `OHGWError` subclasses where the method's settings do not fit the task.
    """

    def __init__(
        self,
        task: DifferentiableTask | BlackBoxTask,
        *,
        method: str = "screen",
        expected_resource: float | None = None,
        units: int | None = None,
        draw: Callable[[np.random.Generator], Configuration] | None = None,
        seed: int = 0,
    ) -> None:
        self.task, self.space = task, task.space
        self._probe: Probe
        if isinstance(task, DifferentiableTask):
            self._probe, steps = DifferentiableProbe(task, Feed(task)), task.steps_per_epoch
        else:
            self._probe, steps = BlackBoxProbe(task), 1
        self._method = make_method(method)
        self._sweep = make_sweep(
            task,
            self._probe,
            Streams(seed),
            draw or task.space.sample,
            task.max_resource if expected_resource is None else expected_resource,
            steps_per_unit=steps if units is None else units,
        )
        self._method.check(self._sweep)

    def propose(self, trial: int, configuration: Configuration) -> WarmStart:
        """What to train instead of `configuration`, which must be a point of the space."""
        self.space.validate(configuration)
        x = dict(configuration)
        conversation = self._method.propose(self._sweep.at(x), trial, x)
        (proposal,) = converse(self._probe, [(self._sweep.streams, conversation)])
        return WarmStart(proposal.configuration, x, proposal.work, proposal.diagnostics)

    def observe(
        self, trial: int, configuration: Configuration, resource: float, score: float | None
    ) -> None:
        """A trial, trained at `configuration` (x'), scored after `resource` units; None: failed.

        The score is one of the task's metric, better where that metric says so.
        """
        self._method.observe(trial, configuration, resource, self.task.metric.loss(score))

    def state_dict(self) -> dict[str, Any]:
        return self._method.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._method.load_state_dict(state)
