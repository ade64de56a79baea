"""Probes: answer a method's requests by looking at the task, many requests in one batch.

Every answer carries its work, which is always charged. The probe draws from streams of its own,
so training sees the same initialisations, mini-batches and noise with it and without it.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from ohgw.core.errors import SettingError
from ohgw.core.protocols import BlackBoxTask, DifferentiableTask
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.hypergrad import get_estimator
from ohgw.training.cost import count_flops
from ohgw.training.dynamics import State, decode, initial_state, population_step_, step_
from ohgw.training.feed import Feed, initial_parameters
from ohgw.warmstart.method import (
    GradientRequest,
    GradientResult,
    Request,
    Result,
    RolloutRequest,
    RolloutResult,
    Sweep,
)

MAX_LANES = 256  # rollouts in one batch; bounds memory
MAX_GRADIENT_LANES = 64  # a gradient holds K steps of activations for every lane
FALLBACK = "finite-difference"

Asked = tuple[Streams, Request]
T = TypeVar("T")


class Probe(Protocol):
    """Answers requests about one task, and says what it can answer and at which price."""

    gradients: bool
    rollouts: bool

    def visible(self, estimator: str, steps: int) -> frozenset[str]: ...

    def gradient_work(self, estimator: str, steps: int) -> float: ...

    def rollout_work(self, configurations: int, steps: int) -> float: ...

    def answer(self, asked: Sequence[Asked]) -> list[Result]: ...


def converse(
    probe: Probe, conversations: Sequence[tuple[Streams, Generator[Request, Any, T]]]
) -> list[T]:
    """Run generators of requests to their ends, answering those that wait together."""
    returned: dict[int, T] = {}
    inbox: dict[int, Any] = dict.fromkeys(range(len(conversations)))
    while inbox:
        waiting: list[tuple[int, Request]] = []
        for index, message in inbox.items():
            try:
                waiting.append((index, conversations[index][1].send(message)))
            except StopIteration as stop:
                returned[index] = stop.value
        results = probe.answer([(conversations[index][0], request) for index, request in waiting])
        inbox = {index: result for (index, _), result in zip(waiting, results, strict=True)}
    return [returned[index] for index in range(len(conversations))]


def make_sweep(
    task: DifferentiableTask | BlackBoxTask,
    probe: Probe,
    streams: Streams,
    draw: Callable[[np.random.Generator], Configuration],
    expected_steps: float,
) -> Sweep:
    """What a method may use of a search of `task` that `probe` answers for."""
    return Sweep(
        space=task.space,
        streams=streams,
        draw=draw,
        expected_steps=expected_steps,
        gradients=probe.gradients,
        rollouts=probe.rollouts,
        warmup_steps=getattr(getattr(task, "optimizer", None), "warmup_steps", 0.0),
        visible=probe.visible,
        gradient_work=probe.gradient_work,
        rollout_work=probe.rollout_work,
    )


class DifferentiableProbe:
    """Probes a differentiable task: every request becomes lanes of a vmapped program."""

    gradients = True
    rollouts = True

    def __init__(self, task: DifferentiableTask, feed: Feed) -> None:
        self.task, self.feed = task, feed
        self._price = cache(self._count)  # per instance: a price belongs to a task

    def visible(self, estimator: str, steps: int) -> frozenset[str]:
        return get_estimator(estimator).visible(self.task, steps)

    def gradient_work(self, estimator: str, steps: int) -> float:
        """Work of one hypergradient, in training steps; the fall-back's where it is needed."""
        try:
            flops = self._price(estimator, steps)
        except RuntimeError:  # NotImplementedError among them
            flops = self._price(FALLBACK, steps)
        return flops / self.step_flops

    def rollout_work(self, configurations: int, steps: int) -> float:
        """Work of one rollout request: its steps, and a look at each model and the first."""
        look = self._price("look", 0) / self.step_flops
        return configurations * (steps + look) + look

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
            for chunk in _chunks({index: 1 for index in ours}, MAX_GRADIENT_LANES):
                part = self._gradients([ours[index] for index in chunk])
                results |= dict(zip(chunk, part, strict=True))
        for theirs in rollouts.values():
            lanes = {index: len(request.configurations) for index, (_, request) in theirs.items()}
            for chunk in _chunks(lanes, MAX_LANES):
                part = self._rollouts([theirs[index] for index in chunk])
                results |= dict(zip(chunk, part, strict=True))
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
            self._psi([request.configuration for _, request in asked]),
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
            loss, gradient = self._vmapped(name, inputs)
        except RuntimeError:  # NotImplementedError among them
            # A layer without the derivatives that the estimator needs: differences need none.
            name = FALLBACK
            loss, gradient = self._vmapped(name, inputs)
        work = self.gradient_work(name, request.steps)
        return [
            GradientResult(row, float(value), work, name)
            for row, value in zip(gradient.cpu().double().numpy(), loss.cpu(), strict=True)
        ]

    def _vmapped(self, name: str, inputs: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
        psi, state, batches, noise, validation = inputs
        estimator = get_estimator(name)

        def single(*lane: Any) -> tuple[Tensor, Tensor]:
            return estimator.gradient(self.task, *lane)

        loss, gradient = vmap(single)(state, psi, batches, noise, validation)
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
        before = vmap(task.loss)(start, looks)
        state = initial_state(task, start[lanes])
        hp = decode(
            task.space, self._psi([c for _, request in asked for c in request.configurations])
        )
        for k in range(steps):
            batch = feed.batch(order[:, k])
            noise = feed.noise(offset[:, k])
            population_step_(task, state, tuple(t[lanes] for t in batch), hp, noise[lanes])
        with torch.no_grad():
            after = vmap(task.loss)(state.theta, tuple(t[lanes] for t in looks)).cpu().numpy()
        results: list[Result] = []
        first = 0
        for index, count in enumerate(counts):
            rows = range(first, first + count)
            states = tuple(
                State(state.theta[row], tuple(slot[row] for slot in state.slots), state.t[row])
                for row in rows
            )
            results.append(
                RolloutResult(
                    float(before[index]), after[rows], states, self.rollout_work(count, steps)
                )
            )
            first += count
        return results

    def _psi(self, configurations: Sequence[Configuration]) -> Tensor:
        space = self.task.space
        psi = np.stack([space.to_natural(configuration) for configuration in configurations])
        return torch.as_tensor(psi, dtype=self.task.dtype, device=self.task.device)

    def _index(self, arrays: Sequence[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.stack(arrays), device=self.task.device)


class BlackBoxProbe:
    """Probes a black-box task through its own `probe`, or stands aside where it has none.

    `task.probe(configuration, seed) -> loss` at `task.probe_resource` resource units. Gradients are
    central differences of that loss under one seed; `steps` of a request have no meaning here.
    """

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
        return GradientResult(gradient, base, work, FALLBACK)

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


def _centre(task: DifferentiableTask) -> Configuration:
    return task.space.from_unit(np.full(task.space.d, 0.5))


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
