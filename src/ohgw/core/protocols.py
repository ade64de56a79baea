"""The seams: what a scheduler, a task and an engine must offer. Structural, nothing to inherit.

Shapes: `P` configurations in a population, `d` hyperparameters, `B` examples in a mini-batch,
`K` probe steps, `N` parameters of one model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from ohgw.core.space import Space
from ohgw.core.trial import Configuration, Suggestion

if TYPE_CHECKING:  # core runs without torch; the seams are about tensors all the same
    import numpy as np
    import torch
    from torch import Tensor

Mode = Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a search optimises: a key of a task's metrics, and which way is better."""

    name: str
    mode: Mode = "min"

    @property
    def worst(self) -> float:
        """What a non-finite score is mapped to before a scheduler is told."""
        return float("inf") if self.mode == "min" else float("-inf")

    def loss(self, score: float | None) -> float:
        """The score with a sign that makes smaller better; infinite where there is none."""
        if score is None:
            return float("inf")
        return score if self.mode == "min" else -score

    def better(self, a: float, b: float) -> bool:
        """True where score `a` is strictly better than `b`."""
        return a < b if self.mode == "min" else a > b


class Scheduler(Protocol):
    """Decides what to train next. Pure data: no clock, no files, no framework.

    Draws only from the generator it was given. Same generator and same tells give the same asks,
    bit for bit. `tell` never receives NaN: the caller maps a non-finite score to `Metric.worst`,
    and a trial with the worst score is never promoted.
    """

    space: Space
    mode: Mode
    max_resource: int

    def ask(self) -> Suggestion:
        """The next trial to train, new or promoted. Never blocks: there is always one."""
        ...

    def draw(self, rng: "np.random.Generator") -> Configuration:
        """One more proposal for a new trial, from the caller's generator; registers nothing.

        The scheduler's own stream does not advance, so arms that draw stay paired with arms that
        do not.
        """
        ...

    def amend(self, trial: int, configuration: Configuration) -> None:
        """The trial will be trained at this configuration (x') instead of the one asked (x)."""
        ...

    def tell(self, trial: int, resource: int, score: float) -> None:
        """The trial reached `resource` and scored `score` there."""
        ...

    def ended(self) -> list[int]:
        """Trials that will never be asked for again, since this was last called: each once.

        Their states can go. A trial that might still be promoted is not among them, however long
        ago it paused.
        """
        ...

    @property
    def expected_resource(self) -> float:
        """Resource units an admitted trial is expected to consume; prices a probe."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on, as JSON-able or pickle-able data."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state written by `state_dict` of a scheduler with the same settings."""
        ...


@runtime_checkable
class BlackBoxTask(Protocol):
    """A task that only trains and scores.

    `train` takes a state to `resource` units in total and returns the new state with its metrics
    (which include `metric.name`). States must pickle. An optional method
    `probe(configuration, seed) -> loss`, worth `probe_resource` resource units a call, gives
    methods a cheap look at a configuration; without it all but `vanilla` stand aside.
    """

    name: str
    space: Space
    metric: Metric
    min_resource: int
    max_resource: int

    def initial_state(self, seed: int) -> Any: ...

    def train(
        self, configuration: Configuration, state: Any, resource: int
    ) -> tuple[Any, dict[str, float]]: ...


class Optimizer(Protocol):
    """An optimiser step as a differentiable function of parameters and hyperparameters.

    Parameters come as one flat vector in the last dimension; `slots` are buffers of its shape.
    Hyperparameters are tensors of the leading shape: () with (N,) parameters, (P,) with (P, N).
    """

    @property
    def hyperparameters(self) -> frozenset[str]: ...

    def init(self, theta: "Tensor") -> "tuple[Tensor, ...]": ...

    def update(
        self,
        theta: "Tensor",
        slots: "tuple[Tensor, ...]",
        grad: "Tensor",
        t: "Tensor",
        hp: "Mapping[str, Tensor]",
    ) -> "tuple[Tensor, tuple[Tensor, ...]]":
        """The next parameters and slots; `t` is the number of steps taken before, from 0."""
        ...

    def update_(
        self,
        theta: "Tensor",
        slots: "tuple[Tensor, ...]",
        grad: "Tensor",
        t: "Tensor",
        hp: "Mapping[str, Tensor]",
    ) -> None:
        """The same in place, for training without a graph."""
        ...


@runtime_checkable
class DifferentiableTask(Protocol):
    """A task as pure functions over tensors, so that one code serves 1 or P configurations.

    Every function is written for one configuration: `theta` is a flat vector (N,), `hp` maps each
    hyperparameter to a 0-d tensor, `batch` is a tuple of tensors with B examples first, `noise`
    is a vector (noise_size,) of standard normal numbers. Engines lift them over P configurations
    with `torch.func.vmap`. No function draws random numbers, branches on values, or writes in
    place; a task with an attribute `vectorized = False` may do the latter two, and its
    configurations are computed one after another.
    """

    name: str
    space: Space
    metric: Metric
    min_resource: int  # in epochs
    max_resource: int
    batch_size: int
    noise_size: int

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def optimizer(self) -> Optimizer: ...

    @property
    def data(self) -> "Mapping[str, tuple[Tensor, ...]]":
        """Tensors by split, 'train', 'val' and 'test', examples first.

        Metrics of a further split are reported with those of 'test', its name in front. Tensors
        too large for `device` may lie in the host's memory: mini-batches are moved, and what is
        evaluated the task moves part by part.
        """
        ...

    @property
    def device(self) -> "torch.device": ...

    @property
    def dtype(self) -> "torch.dtype": ...

    def init(self, generator: "torch.Generator") -> "Tensor":
        """Initial parameters (N,), drawn from `generator` (on the CPU) alone."""
        ...

    def train_loss(
        self,
        theta: "Tensor",
        batch: "tuple[Tensor, ...]",
        hp: "Mapping[str, Tensor]",
        noise: "Tensor",
    ) -> "Tensor":
        """Mean training loss of a mini-batch under the hyperparameters, 0-d."""
        ...

    def loss(self, theta: "Tensor", batch: "tuple[Tensor, ...]") -> "Tensor":
        """Mean loss without any hyperparameter's influence, 0-d; what a probe looks at."""
        ...

    def metrics(self, theta: "Tensor", batch: "tuple[Tensor, ...]") -> "dict[str, Tensor]":
        """Mean metrics of a batch or split, each 0-d; includes `metric.name`."""
        ...

    def parameters(self, theta: "Tensor") -> "dict[str, Tensor]":
        """The parameters by name, for a checkpoint."""
        ...


@runtime_checkable
class MixedTask(DifferentiableTask, Protocol):
    """A differentiable task whose space has discrete hyperparameters: width, batch size ...

    What they set has no derivative, and tensors may have another shape for each value, so every
    combination of discrete values is a program of its own: a *variant*. The task's own functions
    are those of its *reference*, the variant at `defaults`, whose training step is the unit of
    work.
    """

    @property
    def defaults(self) -> "Mapping[str, Any]":
        """A value for each discrete hyperparameter."""
        ...

    def variant(self, values: "Mapping[str, Any]") -> DifferentiableTask:
        """The program at `values`, one for each discrete hyperparameter.

        The same object for equal values. Its space is this one without the discrete dimensions, so
        that it is also the task in which they are frozen. It has this task's metric, resources,
        device and dtype and shares the tensors of its data; the layout of its parameters, its
        optimiser, mini-batches and noise are its own.
        """
        ...
