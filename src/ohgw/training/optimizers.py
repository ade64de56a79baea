"""Optimisers as differentiable functions of parameters and hyperparameters.

Each step exists twice: `update`, a pure function through which derivatives flow, and `update_`, a
few in-place operations for training a population without a graph. Shapes: parameters (..., N),
hyperparameters and step count (...), where ... is nothing or P lanes.

Example, SGD whose momentum is fixed instead of searched over:

    SGD(momentum=0.9).hyperparameters == {"learning_rate", "weight_decay"}
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from ohgw.core.errors import SettingError

Slots = tuple[Tensor, ...]
Values = Mapping[str, Tensor]


class DifferentiableOptimizer(ABC):
    """An optimiser that also says which of its hyperparameters an estimator can see.

    Implements `ohgw.core.protocols.Optimizer`. `slots` are buffers of the parameters' shape, zero
    before the first step; `t` is the number of steps taken before, from 0.
    """

    hyperparameters: frozenset[str]
    """Names looked up in `hp`; the others were fixed in the constructor."""

    delayed: frozenset[str] = frozenset()
    """Those that act only through a slot, so that the very first step does not depend on them."""

    persistent: frozenset[str] = frozenset()
    """Those that move the fixed point of training, not only the way there."""

    @abstractmethod
    def init(self, theta: Tensor) -> Slots:
        """Slots before the first step."""

    @abstractmethod
    def update(
        self, theta: Tensor, slots: Slots, grad: Tensor, t: Tensor, hp: Values
    ) -> tuple[Tensor, Slots]:
        """The next parameters and slots; derivatives flow through every argument but `t`."""

    @abstractmethod
    def update_(self, theta: Tensor, slots: Slots, grad: Tensor, t: Tensor, hp: Values) -> None:
        """The same in place on `theta` and `slots`; `grad` is only read. Call without a graph."""

    @abstractmethod
    def plain_step(
        self, theta: Tensor, slots: Slots, grad: Tensor, t: Tensor, hp: Values
    ) -> Tensor:
        """One step of the memoryless map that has the same fixed points, (..., N).

        Momentum averages are replaced by their value at a fixed point, and a preconditioner is
        held constant; implicit differentiation needs nothing else of an optimiser.
        """


class SGD(DifferentiableOptimizer):
    """`torch.optim.SGD` with momentum (dampening 0) and coupled L2 weight decay.

    One slot, the momentum buffer. `weight_decay` and `momentum` are hyperparameters unless fixed
    to a number here; `decay_mask` (N,) multiplies the decay of each parameter, None decays all.
    """

    def __init__(
        self,
        weight_decay: float | None = None,
        momentum: float | None = None,
        decay_mask: Tensor | None = None,
    ) -> None:
        self._mask = decay_mask
        self._fixed = _given(weight_decay=weight_decay, momentum=momentum)
        names = frozenset({"learning_rate", "weight_decay", "momentum"})
        self.hyperparameters = names - self._fixed.keys()
        self.delayed = self.hyperparameters & {"momentum"}
        self.persistent = self.hyperparameters & {"weight_decay"}

    def init(self, theta: Tensor) -> Slots:
        return (torch.zeros_like(theta),)

    def update(
        self, theta: Tensor, slots: Slots, grad: Tensor, t: Tensor, hp: Values
    ) -> tuple[Tensor, Slots]:
        lr, decay, momentum = self._values(hp)
        buffer = momentum * slots[0] + grad + decay * _masked(theta, self._mask)
        return theta - lr * buffer, (buffer,)

    def update_(self, theta: Tensor, slots: Slots, grad: Tensor, t: Tensor, hp: Values) -> None:
        lr, decay, momentum = self._values(hp)
        (buffer,) = slots
        if isinstance(momentum, Tensor):  # one pass over the buffer instead of two
            torch.addcmul(grad, buffer, momentum, out=buffer)
        else:
            torch.add(grad, buffer, alpha=momentum, out=buffer)
        if isinstance(decay, Tensor):
            buffer.addcmul_(_masked(theta, self._mask), decay)
        else:
            buffer.add_(_masked(theta, self._mask), alpha=decay)
        theta.addcmul_(buffer, lr, value=-1)

    def plain_step(
        self, theta: Tensor, slots: Slots, grad: Tensor, t: Tensor, hp: Values
    ) -> Tensor:
        lr, decay, _ = self._values(hp)
        return theta - lr * (grad + decay * _masked(theta, self._mask))

    def _values(self, hp: Values) -> tuple[Tensor, Tensor | float, Tensor | float]:
        return (
            hp["learning_rate"].unsqueeze(-1),
            _value("weight_decay", hp, self._fixed),
            _value("momentum", hp, self._fixed),
        )


class AdamW(DifferentiableOptimizer):
    """`torch.optim.AdamW` with decoupled weight decay, linear warm-up and a cosine schedule.

    Two slots, the first and second moments. The learning rate of step t (from 0) is
    lr * min(1, (t + 1) / (warmup_scale * warmup_steps)), with `cosine_steps` T also times
    (1 + cos(pi * min(1, t / T))) / 2 (Loshchilov & Hutter 2017).

    Epsilon stands inside the square root, sqrt(v + eps^2), where torch adds it outside: the
    derivative of the square root at 0 is infinite, and times a zero derivative of v that is NaN
    for every parameter whose gradient is exactly 0 (an unused embedding row, a dead ReLU). Steps
    differ from torch's by less than eps / sqrt(v) relatively.

    Args:
        beta1, beta2, eps: as in torch.
        decay_mask: (N,), multiplies the decay of each parameter; None decays all.
        warmup_steps: steps at `warmup_scale` 1; 0 is no warm-up and no such hyperparameter.
        weight_decay: a number here takes it out of the hyperparameters.
        cosine_steps: steps after which the learning rate is 0; 0 keeps it.
    """

    def __init__(
        self,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        decay_mask: Tensor | None = None,
        warmup_steps: float = 0.0,
        weight_decay: float | None = None,
        cosine_steps: float = 0.0,
    ) -> None:
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            if not 0 < beta < 1:
                raise SettingError(f"AdamW: {name} is {beta!r}; give a number between 0 and 1.")
        self._log_betas = math.log(beta1), math.log(beta2)
        self._beta1, self._beta2, self._eps2 = beta1, beta2, eps**2
        self._mask, self.warmup_steps = decay_mask, warmup_steps
        self._cosine_steps = cosine_steps
        self._fixed = _given(weight_decay=weight_decay)
        names = frozenset({"learning_rate", "weight_decay"})
        if warmup_steps > 0:
            names |= {"warmup_scale"}
        self.hyperparameters = names - self._fixed.keys()
        self.persistent = self.hyperparameters & {"weight_decay"}

    def init(self, theta: Tensor) -> Slots:
        return torch.zeros_like(theta), torch.zeros_like(theta)

    def update(
        self, theta: Tensor, slots: Slots, grad: Tensor, t: Tensor, hp: Values
    ) -> tuple[Tensor, Slots]:
        lr, decay, c1, c2 = self._factors(theta, t, hp)
        m = slots[0] + (1 - self._beta1) * (grad - slots[0])
        v = self._beta2 * slots[1] + (1 - self._beta2) * grad * grad
        # sqrt(v / c2 + eps^2) with c2 taken out: one operation on (..., N) less
        step = m * (v + c2 * self._eps2).rsqrt()
        return theta - decay * _masked(theta, self._mask) - (lr * c2.sqrt() / c1) * step, (m, v)

    def update_(self, theta: Tensor, slots: Slots, grad: Tensor, t: Tensor, hp: Values) -> None:
        lr, decay, c1, c2 = self._factors(theta, t, hp)
        m, v = slots
        m.lerp_(grad, 1 - self._beta1)
        v.mul_(self._beta2).addcmul_(grad, grad, value=1 - self._beta2)
        step = (v + c2 * self._eps2).rsqrt_().mul_(m)
        theta.addcmul_(_masked(theta, self._mask), decay, value=-1)
        theta.addcmul_(step, lr * c2.sqrt() / c1, value=-1)

    def plain_step(
        self, theta: Tensor, slots: Slots, grad: Tensor, t: Tensor, hp: Values
    ) -> Tensor:
        lr, decay, _, c2 = self._factors(theta, t, hp)
        v = self._beta2 * slots[1] + (1 - self._beta2) * grad * grad
        scale = (v / c2 + self._eps2).rsqrt().detach()
        return theta - decay * _masked(theta, self._mask) - lr * scale * grad

    def _factors(self, theta: Tensor, t: Tensor, hp: Values) -> tuple[Tensor, ...]:
        """Warmed-up learning rate, its product with decay, both bias corrections; (..., 1) each."""
        count = (t + 1).to(theta.dtype).unsqueeze(-1)
        lr = hp["learning_rate"].unsqueeze(-1)
        if self.warmup_steps > 0:
            length = hp["warmup_scale"].unsqueeze(-1) * self.warmup_steps
            # a length below one step changes nothing, so the clamp only keeps zero away
            lr = lr * (count / length.clamp(min=1)).clamp(max=1)
        if self._cosine_steps > 0:
            passed = ((count - 1) / self._cosine_steps).clamp(max=1)
            lr = lr * (1 + torch.cos(math.pi * passed)) / 2
        decay = lr * _value("weight_decay", hp, self._fixed)
        # expm1: 1 - beta^t has no correct digit to spare in float32 when beta is near 1
        c1, c2 = (-torch.expm1(count * log_beta) for log_beta in self._log_betas)
        return lr, decay, c1, c2


def _masked(theta: Tensor, mask: Tensor | None) -> Tensor:
    return theta if mask is None else theta * mask


def _given(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _value(name: str, hp: Values, fixed: Mapping[str, float]) -> Tensor | float:
    return fixed[name] if name in fixed else hp[name].unsqueeze(-1)
