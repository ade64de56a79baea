"""Conformance suite for hypergradient estimators, and small tasks to run it on.

    @pytest.mark.parametrize("check", estimators.CHECKS, ids=lambda check: check.__name__)
    @pytest.mark.parametrize("kind", estimators.SMALL_TASKS)
    def test_my_estimator(check, kind):
        check(MyEstimator(), estimators.small_task(kind))

An estimator that claims the exact gradient of the lookahead also passes `check_lookahead`. Every
check runs on any differentiable task; those that compare numbers want one in float64.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from ohgw.core.errors import InvisibleHyperparameterError
from ohgw.core.protocols import DifferentiableTask, Metric
from ohgw.core.space import Float, Space
from ohgw.hypergrad.estimator import Estimator, hypergradient, lookahead
from ohgw.training.dynamics import State, initial_state
from ohgw.training.optimizers import SGD, AdamW, DifferentiableOptimizer

FEATURES, HIDDEN, BATCH = 5, 4, 6


class SmallTask:
    """Two classes from five features by a tanh network, of 29 parameters; data is random.

    One hyperparameter acts through multiplicative noise on the inputs, one through the targets,
    the others through the optimiser. Everything is smooth.
    """

    metric = Metric("loss", "min")
    min_resource, max_resource = 1, 9
    device = torch.device("cpu")

    def __init__(
        self,
        name: str,
        optimizer: DifferentiableOptimizer,
        own: Mapping[str, Float],
        dtype: torch.dtype = torch.float64,
        *,
        hidden: int = HIDDEN,
        batch_size: int = BATCH,
    ) -> None:
        self.name, self.optimizer, self.dtype = name, optimizer, dtype
        self.hidden, self.batch_size = hidden, batch_size
        self.noise_size = batch_size * FEATURES
        self.sizes = _sizes(hidden)
        # not in the order of the optimiser's names, so that a mix-up shows
        self.space = Space(
            {
                "dropout": Float(0.0, 0.9),
                "learning_rate": Float(1e-3, 1.0, log=True),
                "smoothing": Float(0.0, 0.4),
                "weight_decay": Float(1e-4, 1e-1, log=True),
                **own,
            }
        )
        generator = torch.Generator().manual_seed(11)
        teacher = torch.randn(FEATURES, generator=generator, dtype=dtype)
        self.data = {}
        for split, count in (("train", 24), ("val", 16), ("test", 16)):
            x = torch.randn(count, FEATURES, generator=generator, dtype=dtype)
            blur = torch.randn(count, generator=generator, dtype=dtype)
            self.data[split] = (x, (x @ teacher + blur > 0).long())

    @property
    def steps_per_epoch(self) -> int:
        return len(self.data["train"][0]) // self.batch_size

    def init(self, generator: torch.Generator) -> Tensor:
        return torch.randn(sum(self.sizes), generator=generator, dtype=self.dtype) / 2

    def train_loss(
        self, theta: Tensor, batch: tuple[Tensor, ...], hp: Mapping[str, Tensor], noise: Tensor
    ) -> Tensor:
        x, y = batch
        x = x * (1 + hp["dropout"] * noise.reshape(x.shape))
        return self._cross_entropy(theta, x, (1 - hp["smoothing"]) * y + hp["smoothing"] / 2)

    def loss(self, theta: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
        x, y = batch
        return self._cross_entropy(theta, x, y.to(x.dtype))

    def metrics(self, theta: Tensor, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return {"loss": self.loss(theta, batch)}

    def parameters(self, theta: Tensor) -> dict[str, Tensor]:
        return dict(zip("wbvc", torch.split(theta, self.sizes), strict=True))

    def _cross_entropy(self, theta: Tensor, x: Tensor, target: Tensor) -> Tensor:
        w, b, v, c = torch.split(theta, self.sizes)
        logit: Tensor = torch.tanh(x @ w.reshape(FEATURES, self.hidden) + b) @ v + c
        return (F.softplus(logit) - target * logit).mean()


def _sizes(hidden: int) -> list[int]:
    """Parameters of the weights and biases of both layers."""
    return [FEATURES * hidden, hidden, hidden, 1]


def _small_sgd(dtype: torch.dtype) -> SmallTask:
    return SmallTask("small-sgd", SGD(), {"momentum": Float(0.0, 0.99)}, dtype)


def _small_adamw(dtype: torch.dtype) -> SmallTask:
    mask = torch.cat([torch.full((n,), float(n > 4), dtype=dtype) for n in _sizes(HIDDEN)])
    optimizer = AdamW(decay_mask=mask, warmup_steps=10.0)
    own = {"warmup_scale": Float(0.2, 10.0, log=True)}
    return SmallTask("small-adamw", optimizer, own, dtype)


SMALL_TASKS: dict[str, Callable[[torch.dtype], SmallTask]] = {
    "sgd": _small_sgd,
    "adamw": _small_adamw,
}


def small_task(kind: str, dtype: torch.dtype = torch.float64) -> SmallTask:
    """A small task by the optimiser it trains with: 'sgd' or 'adamw' (with warm-up and mask)."""
    return SMALL_TASKS[kind](dtype)


class Probe(NamedTuple):
    """The arguments of `Estimator.gradient` after the task, in its order."""

    state: State
    psi: Tensor  # (d,)
    batches: tuple[Tensor, ...]  # (K, B, ...)
    noise: Tensor  # (K, noise_size)
    validation: tuple[Tensor, ...]  # (Bv, ...)


def draw_probe(task: DifferentiableTask, steps: int, seed: int = 0) -> Probe:
    """A fresh initialisation, K mini-batches, and a configuration well inside the space."""
    generator = torch.Generator().manual_seed(seed)
    low, high = (torch.from_numpy(bound) for bound in task.space.natural_bounds)
    u = 0.2 + 0.6 * torch.rand(len(low), generator=generator, dtype=torch.float64)
    rows = torch.randint(len(task.data["train"][0]), (steps, task.batch_size), generator=generator)
    some = torch.randint(len(task.data["val"][0]), (2 * task.batch_size,), generator=generator)
    noise = torch.randn(steps, task.noise_size, generator=generator, dtype=torch.float64)
    return Probe(
        initial_state(task, task.init(generator)),
        (low + u * (high - low)).to(task.device, task.dtype),
        tuple(part[rows.to(task.device)] for part in task.data["train"]),
        noise.to(task.device, task.dtype),
        tuple(part[some.to(task.device)] for part in task.data["val"]),
    )


def stack(items: Sequence[Any]) -> Any:
    """Equal (nested) tuples of tensors as one, with a leading dimension for the items."""
    first = items[0]
    if isinstance(first, Tensor):
        return torch.stack(list(items))
    parts = [stack(part) for part in zip(*items, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


class Differences(NamedTuple):
    """Derivatives by central differences, and how far they can be trusted."""

    gradient: Tensor  # (d,)
    error: Tensor  # (d,), estimated


def central_differences(
    function: Callable[[Tensor], Tensor], psi: Tensor, width: Tensor
) -> Differences:
    """Gradient of a scalar function at psi (d,), in float64.

    Steps of 1e-5 and a quarter of that of `width` (d,) are extrapolated to zero (Richardson); the
    two differ where the function bends within a step, as AdamW's normalised first step does for
    gradients of epsilon's size, and rectified networks do at a kink.
    """
    slopes, errors = [], []
    for i in range(len(psi)):
        coarse, fine = (_slope(function, psi, i, h * width[i]) for h in (1e-5, 0.25e-5))
        slopes.append((16 * fine - coarse) / 15)
        errors.append((fine - coarse).abs())
    return Differences(torch.stack(slopes), torch.stack(errors))


def _slope(function: Callable[[Tensor], Tensor], psi: Tensor, i: int, h: Tensor) -> Tensor:
    offset = torch.zeros_like(psi)
    offset[i] = h
    return (function(psi + offset) - function(psi - offset)) / (2 * h)


def assert_agrees(
    gradient: Tensor, reference: Differences, rtol: float = 1e-4, atol: float = 1e-8
) -> None:
    """Fail unless `gradient` (d,) is as close to `reference` as that is known; which must be well.

    A coordinate's error counts beside the largest coordinate: that is what a move can feel.
    """
    scale = reference.gradient.abs().max()
    assert (reference.error <= 1e-3 * scale + atol).all(), f"no reference: {reference}"
    distance = (gradient - reference.gradient).abs()
    allowed = atol + rtol * reference.gradient.abs() + reference.error
    assert (distance <= allowed).all(), f"{gradient} is not {reference}"


def check_result(estimator: Estimator, task: DifferentiableTask) -> None:
    """Shapes, dtype and device; finite; the same again; arguments are left alone."""
    probe = draw_probe(task, 1)
    copy = stack([probe])
    loss, gradient = estimator.gradient(task, *probe)
    assert loss.shape == () and gradient.shape == (len(task.space.continuous),)
    for result in (loss, gradient):
        assert result.dtype == task.dtype and result.device.type == task.device.type
        assert result.isfinite().all() and not result.requires_grad
    assert_close(estimator.gradient(task, *probe), (loss, gradient), rtol=0, atol=0)
    assert_close(stack([probe]), copy, rtol=0, atol=0)


def check_blind_spots(estimator: Estimator, task: DifferentiableTask) -> None:
    """What is out of sight is refused by name and 0 in the gradient; what is seen is answered."""
    assert estimator.visible(task, 0) == frozenset()
    for started in (False, True):
        probe = draw_probe(task, 1)
        if started:
            probe = probe._replace(state=_started(probe.state))
        visible = estimator.visible(task, 1, started)
        _, gradient = estimator.gradient(task, *probe)
        for i, name in enumerate(task.space.continuous):
            if name in visible:
                _, own = hypergradient(estimator, task, *probe, names=[name])
                assert_close(own, gradient[i : i + 1])
            else:
                assert gradient[i] == 0
                _refuses(estimator, task, probe, name)
    order = sorted(visible, reverse=True)
    _, several = hypergradient(estimator, task, *probe, names=order)
    assert_close(several, gradient[[task.space.continuous.index(name) for name in order]])


def _started(state: State) -> State:
    """A later state; its slots are positive, as a second moment must be."""
    slots = tuple(slot + 0.01 for slot in state.slots)
    return State(state.theta, slots, state.t + 3)


def _refuses(estimator: Estimator, task: DifferentiableTask, probe: Probe, name: str) -> None:
    try:
        hypergradient(estimator, task, *probe, names=[name])
    except InvisibleHyperparameterError as error:
        assert repr(name) in str(error) and repr(estimator.name) in str(error)
    else:
        raise AssertionError(f"{estimator.name!r} answers about {name!r}, which it cannot see")


def check_lanes(estimator: Estimator, task: DifferentiableTask) -> None:
    """Of many at once, each configuration gets what it gets alone."""
    probes = [draw_probe(task, 1, seed) for seed in range(3)]
    losses, gradients = estimator.gradients(task, *stack(probes))
    for i, probe in enumerate(probes):
        alone = estimator.gradient(task, *probe)
        assert_close((losses[i], gradients[i]), alone, rtol=1e-6, atol=1e-9)


def check_lookahead(estimator: Estimator, task: DifferentiableTask) -> None:
    """Equal to central differences of the lookahead, in float64, wherever it claims sight.

    Tried at K = 1 and K = 3, from a fresh state and from a later one.
    """
    low, high = task.space.natural_bounds
    width = torch.as_tensor(high - low, device=task.device)
    for steps in (1, 3):
        for started in (False, True):
            visible = estimator.visible(task, steps, started)
            if not visible:
                continue
            probe = draw_probe(task, steps, seed=steps)
            if started:
                probe = probe._replace(state=_started(probe.state))
            state, psi, *rest = probe

            def loss(psi: Tensor, state: State = state, rest: Any = rest) -> Tensor:
                return lookahead(task, state, psi, *rest)

            value, gradient = estimator.gradient(task, *probe)
            assert_close(value, loss(psi))
            seen = [i for i, name in enumerate(task.space.continuous) if name in visible]
            expected = central_differences(loss, psi, width)
            assert_agrees(gradient[seen], Differences(*(part[seen] for part in expected)))


CHECKS: tuple[Callable[[Estimator, DifferentiableTask], None], ...] = (
    check_result,
    check_blind_spots,
    check_lanes,
)
