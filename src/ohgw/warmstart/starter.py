"""A method at the service of anybody's scheduler: a proposed configuration in, x' out.

Trials are trained elsewhere, from their owner's initialisation: nothing of a probe's states is
handed over, and a method's `prepare`, which chooses what trials start from, is not run.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ohgw.core.protocols import BlackBoxTask, DifferentiableTask
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.training.feed import Feed
from ohgw.warmstart import make_method
from ohgw.warmstart.black_box_probe import BlackBoxProbe
from ohgw.warmstart.differentiable_probe import DifferentiableProbe
from ohgw.warmstart.method import Method
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
    warmup_steps
        Training steps of a learning-rate warm-up that the caller's loop has and the task has not.
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
        warmup_steps: float | None = None,
        draw: Callable[[np.random.Generator], Configuration] | None = None,
        seed: int = 0,
    ) -> None:
        self._arguments = {
            "task": task,
            "method": method,
            "expected_resource": expected_resource,
            "units": units,
            "warmup_steps": warmup_steps,
            "draw": draw,
            "seed": seed,
        }
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
        if warmup_steps is not None:
            self._sweep = replace(self._sweep, warmup_steps=warmup_steps)
        self._method.check(self._sweep)

    def __getstate__(self) -> dict[str, Any]:
        """What it was made of, as it travels to workers and into snapshots of other libraries."""
        return {"arguments": self._arguments, "method": self.state_dict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        WarmStarter.__init__(self, **state["arguments"])
        self.load_state_dict(state["method"])

    def propose(self, trial: int, configuration: Configuration) -> WarmStart:
        """What to train instead of `configuration`, which must be a point of the space."""
        self.space.validate(configuration)
        x = dict(configuration)
        conversation = self._method.propose(self._sweep.at(x), trial, x)
        (proposal,) = converse(self._probe, [(self._sweep.streams, conversation)])
        return WarmStart(proposal.configuration, x, proposal.work, proposal.diagnostics)

    @property
    def learns(self) -> bool:
        """Whether the method makes anything of `observe`."""
        return type(self._method).observe is not Method.observe

    def observe(
        self, trial: int, configuration: Configuration, resource: float, loss: float
    ) -> None:
        """A trial, trained at `configuration` (x'), has this loss after `resource` units.

        Whatever the search minimises; infinite where the trial failed.
        """
        self._method.observe(trial, configuration, resource, loss)

    def state_dict(self) -> dict[str, Any]:
        return self._method.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._method.load_state_dict(state)
