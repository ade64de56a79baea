"""What a method is told of the search it serves, put together from its task and its probe."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ohgw.core.protocols import BlackBoxTask, DifferentiableTask, MixedTask
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.warmstart.differentiable_probe import DifferentiableProbe
from ohgw.warmstart.method import Sweep
from ohgw.warmstart.probe import Probe


def make_sweep(
    task: DifferentiableTask | BlackBoxTask,
    probe: Probe,
    streams: Streams,
    draw: Callable[[np.random.Generator], Configuration],
    expected_resource: float,
    steps_per_unit: int,
) -> Sweep:
    """What a method may use of a search of `task` that `probe` answers for.

    `expected_resource` is what an admitted trial is expected to take, in units of
    `steps_per_unit` training steps of the reference.
    """
    sweep = Sweep(
        space=task.space,
        streams=streams,
        draw=draw,
        expected_steps=expected_resource * steps_per_unit,
        gradients=probe.gradients,
        rollouts=probe.rollouts,
        warmup_steps=_warmup_steps(task),
        visible=probe.visible,
        gradient_work=probe.gradient_work,
        rollout_work=probe.rollout_work,
        steps_per_unit=steps_per_unit,
    )
    if not isinstance(probe, DifferentiableProbe) or not isinstance(task, MixedTask):
        return sweep
    held = task.space.discrete

    def variant(configuration: Configuration) -> Sweep:
        own = probe.of(configuration)
        values = {name: configuration[name] for name in held}
        return replace(
            sweep,
            draw=lambda rng: {**draw(rng), **values},
            expected_steps=expected_resource * own.task.steps_per_epoch,
            warmup_steps=_warmup_steps(own.task),
            visible=own.visible,
            gradient_work=own.gradient_work,
            rollout_work=own.rollout_work,
            steps_per_unit=own.task.steps_per_epoch,
            step_work=own.step_work,
            held=held,
            variant=variant,
        )

    return variant(dict(task.defaults)) if held else sweep


def _warmup_steps(task: DifferentiableTask | BlackBoxTask) -> float:
    return float(getattr(getattr(task, "optimizer", None), "warmup_steps", 0.0))
