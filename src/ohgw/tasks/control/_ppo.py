"""Proximal policy optimisation (Schulman et al. 2017), as CleanRL's reference has it.

Its details (Huang et al. 2022): advantages by GAE, normalised in each mini-batch; clipped values;
orthogonal initialisation; Adam with epsilon 1e-5 whose learning rate falls linearly; gradients cut
to norm 0.5. What training computes from a rollout is a function of tensors, so that everything has
derivatives in learning rate, clip range, entropy coefficient, GAE's lambda and the discount.

Shapes: T steps of E environments, B = T * E samples, A actions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ohgw.tasks._common import Layout
from ohgw.tasks.control._environments import Environments
from ohgw.training.optimizers import AdamW

Values = Mapping[str, Tensor]

VALUE_WEIGHT = 0.5
MAX_NORM = 0.5
EPOCHS, MINIBATCHES = 4, 4
OPTIMIZER = AdamW(eps=1e-5, weight_decay=0.0)


class Policy(Protocol):
    """An actor and its critic, as functions of one flat vector."""

    @property
    def layout(self) -> Layout: ...

    def init(self, generator: torch.Generator) -> Tensor: ...

    def __call__(self, weights: dict[str, Tensor], seen: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, A) and values (B,) of observations (B, ...)."""
        ...


@dataclass(frozen=True, slots=True)
class Perceptrons:
    """Two of them with two hidden layers of tanh, for a few numbers; they share nothing."""

    observations: int
    actions: int
    width: int = 64

    @property
    def _sizes(self) -> dict[str, Sequence[int]]:
        hidden = (self.observations, self.width, self.width)
        return {"actor": (*hidden, self.actions), "critic": (*hidden, 1)}

    @property
    def layout(self) -> Layout:
        shapes: dict[str, tuple[int, ...]] = {}
        for part, sizes in self._sizes.items():
            for k in range(3):
                shapes[f"{part}.{k}.weight"] = (sizes[k + 1], sizes[k])
                shapes[f"{part}.{k}.bias"] = (sizes[k + 1],)
        return Layout(shapes)

    def init(self, generator: torch.Generator) -> Tensor:
        gains = {"actor.2.weight": 0.01, "critic.2.weight": 1.0}
        return orthogonal(self.layout, gains, generator)

    def __call__(self, weights: dict[str, Tensor], seen: Tensor) -> tuple[Tensor, Tensor]:
        found = []
        for part in ("actor", "critic"):
            h = seen
            for k in range(3):
                h = F.linear(h, weights[f"{part}.{k}.weight"], weights[f"{part}.{k}.bias"])
                h = torch.tanh(h) if k < 2 else h
            found.append(h)
        return found[0], found[1].squeeze(-1)


@dataclass(frozen=True, slots=True)
class NatureCNN:
    """Three convolutions and a layer of 512 on four frames of 84 x 84 (Mnih et al. 2015)."""

    actions: int

    @property
    def layout(self) -> Layout:
        matrices: dict[str, tuple[int, ...]] = {
            "0": (32, 4, 8, 8),
            "1": (64, 32, 4, 4),
            "2": (64, 64, 3, 3),
            "3": (512, 64 * 7 * 7),
            "actor": (self.actions, 512),
            "critic": (1, 512),
        }
        shapes: dict[str, tuple[int, ...]] = {}
        for name, shape in matrices.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        return Layout(shapes)

    def init(self, generator: torch.Generator) -> Tensor:
        gains = {"actor.weight": 0.01, "critic.weight": 1.0}
        return orthogonal(self.layout, gains, generator)

    def __call__(self, weights: dict[str, Tensor], seen: Tensor) -> tuple[Tensor, Tensor]:
        h = seen / 255
        for k, stride in enumerate((4, 2, 1)):
            h = F.relu(F.conv2d(h, weights[f"{k}.weight"], weights[f"{k}.bias"], stride))
        h = F.relu(F.linear(h.flatten(1), weights["3.weight"], weights["3.bias"]))
        logits = F.linear(h, weights["actor.weight"], weights["actor.bias"])
        value = F.linear(h, weights["critic.weight"], weights["critic.bias"])
        return logits, value.squeeze(-1)


def orthogonal(layout: Layout, gains: Mapping[str, float], generator: torch.Generator) -> Tensor:
    """Orthogonal matrices times a gain, sqrt(2) where none is given; biases of zero."""
    parts = {}
    for name, shape in layout.shapes.items():
        part = torch.zeros(shape)
        if name.endswith("weight"):
            gain = gains.get(name, math.sqrt(2))
            torch.nn.init.orthogonal_(part, gain, generator=generator)
        parts[name] = part
    return layout.flatten(parts)


class Rollout(NamedTuple):
    """What a policy met, steps first; none of it depends on any hyperparameter."""

    seen: Tensor  # (T, E, ...)
    actions: Tensor  # (T, E), int64
    log_p: Tensor  # (T, E), of the actions as they were taken
    values: Tensor  # (T + 1, E), the last of what came after
    rewards: Tensor  # (T, E)
    going: Tensor  # (T, E), 0 where an episode ended with the step


def collect(
    policy: Policy,
    theta: Tensor,
    environments: Environments,
    steps: int,
    rng: np.random.Generator,
) -> Rollout:
    """Let the policy act for some steps, by draws from `rng`."""
    weights = policy.layout.split(theta)
    rows = []
    with torch.no_grad():
        for _ in range(steps):
            seen = torch.as_tensor(environments.observe()).to(theta)
            logits, values = policy(weights, seen)
            log_p = logits.log_softmax(-1)
            drawn = (log_p.cpu().numpy() + rng.gumbel(size=tuple(logits.shape))).argmax(-1)
            rewards, ended = (torch.as_tensor(part).to(theta) for part in environments.step(drawn))
            actions = torch.as_tensor(drawn).to(theta.device)
            chosen = log_p.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
            rows.append((seen, actions, chosen, values, rewards, 1 - ended))
        _, last = policy(weights, torch.as_tensor(environments.observe()).to(theta))
    seen, actions, log_p, values, rewards, going = map(torch.stack, zip(*rows, strict=True))
    return Rollout(seen, actions, log_p, torch.cat([values, last[None]]), rewards, going)


def advantages(rollout: Rollout, discount: Tensor, gae_lambda: Tensor) -> Tensor:
    """Generalised advantage estimates (T, E) (Schulman et al. 2016, equation 16)."""
    values, going = rollout.values, rollout.going
    errors = rollout.rewards + discount * values[1:] * going - values[:-1]
    found, after = [], torch.zeros_like(errors[0])
    for t in reversed(range(len(errors))):
        after = errors[t] + discount * gae_lambda * going[t] * after
        found.append(after)
    return torch.stack(found[::-1])


class Samples(NamedTuple):
    """A rollout as PPO learns from it, samples first."""

    seen: Tensor
    actions: Tensor
    log_p: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor

    @classmethod
    def of(cls, rollout: Rollout, hp: Values) -> "Samples":
        found = advantages(rollout, hp["discount"], hp["gae_lambda"])
        values = rollout.values[:-1]
        parts = (rollout.seen, rollout.actions, rollout.log_p, values, found, found + values)
        return cls(*(part.flatten(0, 1) for part in parts))


def loss(policy: Policy, theta: Tensor, batch: Samples, hp: Values) -> Tensor:
    """PPO's loss of a mini-batch, 0-d (equation 9 with a clipped value loss)."""
    logits, values = policy(policy.layout.split(theta), batch.seen)
    log_p = logits.log_softmax(-1)
    chosen = log_p.gather(-1, batch.actions.unsqueeze(-1)).squeeze(-1)
    ratio, clip = (chosen - batch.log_p).exp(), hp["clip"]
    gain = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
    acting = torch.maximum(-gain * ratio, -gain * between(ratio, 1 - clip, 1 + clip)).mean()
    moved = batch.values + between(values - batch.values, -clip, clip)
    error = torch.maximum((values - batch.returns) ** 2, (moved - batch.returns) ** 2).mean()
    entropy = -(log_p.exp() * log_p).sum(-1).mean()
    return acting - hp["entropy"] * entropy + VALUE_WEIGHT * error / 2


def between(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`clamp` with derivatives in its bounds, which torch's own has for tensors of x's shape."""
    return torch.minimum(torch.maximum(x, low), high)


class Learner(NamedTuple):
    """Parameters (N,) and Adam's moments; `t` steps were taken."""

    theta: Tensor
    slots: tuple[Tensor, ...]
    t: Tensor


def begin(theta: Tensor) -> Learner:
    return Learner(theta, OPTIMIZER.init(theta), torch.zeros((), dtype=torch.int64))


def improve(
    policy: Policy,
    learner: Learner,
    rollout: Rollout,
    hp: Values,
    orders: np.ndarray,
    *,
    graph: bool = False,
) -> Learner:
    """Some epochs of mini-batches on a rollout; `orders` (epochs, B) shuffles each.

    With `graph` the result is a differentiable function of `hp`.
    """
    samples = Samples.of(rollout, hp)
    for order in orders:
        for rows in np.array_split(order, MINIBATCHES):
            index = torch.as_tensor(rows).to(learner.theta.device)
            batch = Samples(*(part[index] for part in samples))
            theta = learner.theta
            if not (graph and theta.requires_grad):
                theta = theta.detach().requires_grad_()
            (g,) = torch.autograd.grad(loss(policy, theta, batch, hp), theta, create_graph=graph)
            g = g * (MAX_NORM / (g.norm() + 1e-6)).clamp(max=1)
            with torch.set_grad_enabled(graph):
                theta, slots = OPTIMIZER.update(theta, learner.slots, g, learner.t, hp)
            learner = Learner(theta, slots, learner.t + 1)
    return learner


def surrogate(policy: Policy, theta: Tensor, rollout: Rollout, reference: Values) -> Tensor:
    """What a changed policy is worth on a rollout of the old one, 0-d; smaller is better.

    The advantage that it would have (Kakade & Langford 2002), less the divergence that makes this
    an estimate to be believed (Schulman et al. 2017, section 4, with a coefficient of 1), plus the
    values' error beside the size of returns. Advantages are those of the `reference`
    hyperparameters and normalised; neither clipping nor entropy is in it. So no hyperparameter can
    make it smaller but by what it did to the policy.
    """
    samples = Samples.of(rollout, reference)
    logits, values = policy(policy.layout.split(theta), samples.seen)
    chosen = logits.log_softmax(-1).gather(-1, samples.actions.unsqueeze(-1)).squeeze(-1)
    difference = chosen - samples.log_p
    ratio = difference.exp()
    gain = (samples.advantages - samples.advantages.mean()) / (samples.advantages.std() + 1e-8)
    divergence = (ratio - 1 - difference).mean()  # of the old policy from the new, unbiased
    scale = samples.returns.square().mean() + 1e-8
    error = ((values - samples.returns) ** 2).mean() / scale
    return divergence - (ratio * gain).mean() + VALUE_WEIGHT * error
