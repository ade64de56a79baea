"""The probe of a differentiable task: requests of many trials as lanes of vmapped programs."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ohgw.core.errors import SettingError
from ohgw.core.protocols import DifferentiableTask, MixedTask
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.hypergrad import get_estimator
from ohgw.training.cost import count_flops
from ohgw.training.dynamics import (
    State,
    decode,
    initial_state,
    natural,
    over_lanes,
    population_step_,
    step_,
    variant_of,
)
from ohgw.training.feed import Feed, initial_parameters
from ohgw.warmstart.method import (
    GradientRequest,
    GradientResult,
    Result,
    RolloutRequest,
    RolloutResult,
)
from ohgw.warmstart.probe import Asked

MAX_LANES = 256  # configurations in one batch
GRADIENT_LANES = 4  # a hypergradient through one step takes the memory of so many that train
FALLBACK = "finite-difference"


class DifferentiableProbe:
    """Probes a differentiable task: every request becomes lanes of a vmapped program.

    For a task with discrete hyperparameters, each variant has a probe of its own, made when first
    asked for; `unit_flops` are those of a training step of the reference.

    Raises `SettingError` where such a task cannot give its variants.
    """

    gradients = True
    rollouts = True

    def __init__(
        self, task: DifferentiableTask, feed: Feed, unit_flops: float | None = None
    ) -> None:
        if task.space.discrete and not isinstance(task, MixedTask):
            raise SettingError(
                f"Task {task.name!r} has discrete hyperparameters "
                f"({', '.join(task.space.discrete)}), but no variant(values) that gives its "
                "program at a combination of them; see ohgw.core.protocols.MixedTask. Offer that, "
                "or leave them out of the space."
            )
        self.task, self.feed = task, feed
        self._unit_flops = unit_flops
        self.lanes = MAX_LANES
        self._price = cache(self._count)  # per instance: a price belongs to a task
        self._variants: dict[tuple[Any, ...], DifferentiableProbe] = {}

    def fit_beside(self, lanes: int) -> None:
        self.lanes = max(1, min(lanes, MAX_LANES))
        for variant in self._variants.values():
            variant.fit_beside(self.lanes)

    @property
    def at_once(self) -> int:
        return max(1, self.lanes // GRADIENT_LANES)

    def of(self, configuration: Configuration) -> "DifferentiableProbe":
        """The probe of the configuration's variant; itself for a task without variants."""
        discrete = self.task.space.discrete
        if not discrete:
            return self
        values = tuple(configuration[name] for name in discrete)
        if values not in self._variants:
            variant = variant_of(self.task, configuration)
            feed = Feed(variant, self.feed.table)
            self._variants[values] = DifferentiableProbe(variant, feed, self.step_flops)
            self._variants[values].fit_beside(self.lanes)
        return self._variants[values]

    def visible(self, estimator: str, steps: int) -> frozenset[str]:
        return get_estimator(estimator).visible(self.task, steps)

    def gradient_work(self, estimator: str, steps: int) -> float:
        """Work of one hypergradient, in training steps; the fall-back's where it is needed."""
        try:
            flops = self._price(estimator, steps)
        except RuntimeError:  # NotImplementedError among them
            flops = self._price(FALLBACK, steps)
        return flops / self.unit_flops

    def rollout_work(self, configurations: int, steps: int) -> float:
        """Work of one rollout request: its steps, and a look at each model and the first."""
        look = self._price("look", 0) / self.unit_flops
        return configurations * (steps * self.step_work + look) + look

    @property
    def step_work(self) -> float:
        """Work of one training step; 1 for the reference."""
        return self.step_flops / self.unit_flops

    @property
    def unit_flops(self) -> float:
        """FLOPs of a unit of work: one training step of the reference."""
        return self.step_flops if self._unit_flops is None else self._unit_flops

    @property
    def step_flops(self) -> float:
        """FLOPs of one training step of one configuration. Raises `SettingError` for none."""
        flops = self._price("step", 0)
        if flops == 0:
            raise SettingError(
                f"A training step of task {self.task.name!r} has no matrix product or convolution, "
                "so its work cannot be counted. Offer it as a black-box task instead."
            )
        return flops

    def _count(self, what: str, steps: int) -> float:
        task = self.task
        streams = Streams(0)
        psi, state, batches, noise, validation = self._inputs(
            [(streams, GradientRequest(0, _centre(task), max(steps, 1), what))]
        )
        one = State(state.theta[0], tuple(slot[0] for slot in state.slots), state.t[0])
        first = tuple(part[0] for part in batches)
        seen = tuple(part[0] for part in validation)
        if what == "step":
            step = tuple(part[0] for part in first)
            hp = decode(task.space, psi[0])
            return count_flops(lambda: step_(task, one, step, hp, noise[0, 0]))
        if what == "look":
            return count_flops(lambda: task.loss(one.theta, seen))
        estimator = get_estimator(what)
        return count_flops(lambda: estimator.gradient(task, one, psi[0], first, noise[0], seen))

    def answer(self, asked: Sequence[Asked]) -> list[Result]:
        if self.task.space.discrete:
            return self._answered_by_variants(asked)
        gradients: dict[tuple[str, int], dict[int, tuple[Streams, GradientRequest]]]
        rollouts: dict[int, dict[int, tuple[Streams, RolloutRequest]]]
        gradients, rollouts = defaultdict(dict), defaultdict(dict)
        for index, (streams, request) in enumerate(asked):
            if isinstance(request, GradientRequest):
                gradients[request.estimator, request.steps][index] = (streams, request)
            else:
                rollouts[request.steps][index] = (streams, request)
        results: dict[int, Result] = {}
        for ours in gradients.values():
            for chunk in _chunks({index: 1 for index in ours}, self.at_once):
                part = self._gradients([ours[index] for index in chunk])
                results |= dict(zip(chunk, part, strict=True))
        for theirs in rollouts.values():
            lanes = {index: len(request.configurations) for index, (_, request) in theirs.items()}
            for chunk in _chunks(lanes, self.lanes):
                part = self._rollouts([theirs[index] for index in chunk])
                results |= dict(zip(chunk, part, strict=True))
        return [results[index] for index in range(len(asked))]

    def _answered_by_variants(self, asked: Sequence[Asked]) -> list[Result]:
        by_probe: dict[DifferentiableProbe, dict[int, Asked]] = defaultdict(dict)
        for index, (streams, request) in enumerate(asked):
            several: tuple[Configuration, ...]
            if isinstance(request, RolloutRequest):
                several = request.configurations
            else:
                several = (request.configuration,)
            probe, *others = {self.of(configuration): None for configuration in several}
            if others:
                raise SettingError(
                    f"A method asked to compare {', '.join(self.task.space.discrete)} of task "
                    f"{self.task.name!r}, but variants start from other parameters; let all "
                    "configurations of a rollout have the values that were proposed."
                )
            by_probe[probe][index] = (streams, request)
        results: dict[int, Result] = {}
        for probe, theirs in by_probe.items():
            results |= dict(zip(theirs, probe.answer(list(theirs.values())), strict=True))
        return [results[index] for index in range(len(asked))]

    def _inputs(
        self, asked: Sequence[tuple[Streams, GradientRequest]]
    ) -> tuple[Tensor, State, tuple[Tensor, ...], Tensor, tuple[Tensor, ...]]:
        """psi (P, d), state, batches (P, K, B, ...), noise (P, K, n), validation (P, B, ...)."""
        task, feed = self.task, self.feed
        theta = torch.stack(
            [
                initial_parameters(task, streams.integer("initialisation", request.trial))
                for streams, request in asked
            ]
        )
        drawn = [feed.probe(streams, request.steps, request.trial) for streams, request in asked]
        order, offsets, validation = (self._index(part) for part in zip(*drawn, strict=True))
        steps = asked[0][1].steps
        return (
            natural(task, [request.configuration for _, request in asked]),
            initial_state(task, theta),
            feed.batch(order),
            feed.noise(offsets.reshape(-1)).reshape(len(asked), steps, -1),
            feed.batch(validation, "val"),
        )

    def _gradients(self, asked: Sequence[tuple[Streams, GradientRequest]]) -> list[Result]:
        request = asked[0][1]
        inputs = self._inputs(asked)
        name = request.estimator
        try:
            loss, gradient = self._estimate(name, inputs)
        except RuntimeError:  # NotImplementedError among them
            # A layer without the derivatives that the estimator needs: differences need none.
            name = FALLBACK
            loss, gradient = self._estimate(name, inputs)
        work = self.gradient_work(name, request.steps)
        return [
            GradientResult(row, float(value), work, name)
            for row, value in zip(gradient.cpu().double().numpy(), loss.cpu(), strict=True)
        ]

    def _estimate(self, name: str, inputs: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
        psi, state, batches, noise, validation = inputs
        estimator = get_estimator(name)
        loss, gradient = estimator.gradients(self.task, state, psi, batches, noise, validation)
        return loss.detach(), gradient.detach()

    def _rollouts(self, asked: Sequence[tuple[Streams, RolloutRequest]]) -> list[Result]:
        task, feed = self.task, self.feed
        counts = [len(request.configurations) for _, request in asked]
        steps = asked[0][1].steps
        starts, drawn = [], []
        for streams, request in asked:
            # One initialisation, one batch stream and one validation batch for the whole sweep:
            # what differs between candidates is then the configuration alone.
            key = request.initialisation
            starts.append(initial_parameters(task, streams.integer("probe", 2, key)))
            drawn.append(feed.probe(streams, steps, 3, key))
        lanes = torch.repeat_interleave(torch.tensor(counts)).to(task.device)
        start = torch.stack(starts)
        order, offset, validation = (self._index(part) for part in zip(*drawn, strict=True))
        looks = feed.batch(validation, "val")
        look = over_lanes(task, task.loss)
        before = look(start, looks)
        state = initial_state(task, start[lanes])
        configurations = [c for _, request in asked for c in request.configurations]
        hp = decode(task.space, natural(task, configurations))
        for k in range(steps):
            batch = feed.batch(order[:, k])
            noise = feed.noise(offset[:, k])
            population_step_(task, state, tuple(t[lanes] for t in batch), hp, noise[lanes])
        with torch.no_grad():
            after = look(state.theta, tuple(t[lanes] for t in looks)).cpu().numpy()
        results: list[Result] = []
        first = 0
        for index, count in enumerate(counts):
            rows = range(first, first + count)
            states = tuple(_lane(state, row) for row in rows)
            results.append(
                RolloutResult(
                    float(before[index]), after[rows], states, self.rollout_work(count, steps)
                )
            )
            first += count
        return results

    def _index(self, arrays: Sequence[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.stack(arrays), device=self.task.device)


def _centre(task: DifferentiableTask) -> Configuration:
    return task.space.from_unit(np.full(task.space.d, 0.5))


def _lane(state: State, row: int) -> State:
    """A copy of one row, so that what is not trained on is freed with its answer."""
    slots = tuple(slot[row].clone() for slot in state.slots)
    return State(state.theta[row].clone(), slots, state.t[row].clone())


def _chunks(lanes: dict[int, int], most: int) -> list[list[int]]:
    """Split requests, by index, into chunks of at most `most` lanes (or of one request)."""
    chunks: list[list[int]] = []
    room = 0
    for index, need in lanes.items():
        if not chunks or need > room:
            chunks.append([])
            room = most
        chunks[-1].append(index)
        room -= need
    return chunks
