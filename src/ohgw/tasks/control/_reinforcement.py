"""What tasks of reinforcement learning share: a black box that PPO trains, and its probe.

On-policy data are no fixed mini-batches, so the task trains by itself. It answers probes all the
same, by what PPO's loss tells: see `ReinforcementTask.probe`.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ohgw.core.protocols import Metric
from ohgw.core.space import Float, Space
from ohgw.core.trial import Configuration
from ohgw.tasks._common import check_count
from ohgw.tasks.control import _ppo
from ohgw.tasks.control._environments import Environments
from ohgw.training.dynamics import decode

# Seeds of what is drawn besides training; every trial is scored on the same episodes.
PROBE, VALIDATION, TEST = 1, 2, 3
PROBE_STEPS = 64  # of each environment, twice
REFERENCE = {"clip": 0.2, "entropy": 0.01, "gae_lambda": 0.95, "discount": 0.99}


class Trained(NamedTuple):
    """A policy after some resource units."""

    seed: int
    units: int
    learner: _ppo.Learner


class ReinforcementTask:
    """Proximal policy optimisation in one kind of environment; a subclass says which.

    A resource unit is `updates` updates of `steps` steps in each of `environments` copies. Its
    episodes begin with it, so that a pause leaves no trace. Scores are the mean return of greedy
    episodes.
    """

    name: str
    small: str
    bundled = True
    metric = Metric("return", "max")
    min_resource = 1
    max_resource = 27
    space = Space(
        {
            "learning_rate": Float(1e-5, 1e-2, log=True),
            "clip": Float(0.05, 0.5),
            "entropy": Float(1e-5, 0.1, log=True),
            "gae_lambda": Float(0.8, 1.0),
            "discount": Float(0.9, 0.999),
        }
    )
    # The clip range decides which samples count in a step, not how much: it has no derivative.
    probe_gradient_names = ("learning_rate", "entropy", "gae_lambda", "discount")
    horizon = 500  # steps of an episode that is scored, at most
    policy: _ppo.Policy

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        environments: int = 4,
        steps: int = 128,
        updates: int = 8,
        episodes: int = 20,
    ) -> None:
        """`episodes` are those of a score; a resource unit is `updates` updates."""
        options = {
            "environments": environments,
            "steps": steps,
            "updates": updates,
            "episodes": episodes,
        }
        for option, value in options.items():
            check_count(self.name, option, value)
        self.environments, self.steps, self.updates = environments, steps, updates
        self.episodes = episodes
        self.device, self.dtype = torch.device(device), dtype
        # A probe takes 2 * PROBE_STEPS steps and the gradients of an update, of shorter ones.
        # Seconds on a CPU: a look is worth an update, a hypergradient two.
        share = 2 * PROBE_STEPS / (steps * updates)
        self.probe_resource, self.probe_gradient_resource = share, 2 * share

    def make(self, count: int, rng: np.random.Generator, *, training: bool) -> Environments:
        """Copies of the environment, as it is trained in or as it is scored in."""
        raise NotImplementedError

    def initial_state(self, seed: int) -> Trained:
        theta = self.policy.init(torch.Generator().manual_seed(seed))
        return Trained(seed, 0, _ppo.begin(theta.to(self.device, self.dtype)))

    def train(
        self, configuration: Configuration, state: Trained, resource: int
    ) -> tuple[Trained, dict[str, float]]:
        """With the learning rate falling linearly to zero over `max_resource` units."""
        hp = self._values(configuration)
        learner = state.learner
        returns: list[float] = []
        for unit in range(state.units, resource):
            rng = np.random.default_rng([state.seed, unit])
            environments = _Counted(self.make(self.environments, rng, training=True))
            for update in range(self.updates):
                passed = (unit + update / self.updates) / self.max_resource
                now = {**hp, "learning_rate": hp["learning_rate"] * (1 - passed)}
                rollout = _ppo.collect(self.policy, learner.theta, environments, self.steps, rng)
                orders = self._orders(rng, self.environments * self.steps)
                learner = _ppo.improve(self.policy, learner, rollout, now, orders)
            returns = environments.returns
        training = float(np.mean(returns)) if returns else float("nan")
        metrics = {"return": self._score(learner.theta, VALIDATION), "training_return": training}
        return Trained(state.seed, resource, learner), metrics

    def test(self, state: Trained) -> dict[str, float]:
        return {"return": self._score(state.learner.theta, TEST)}

    def probe(self, configuration: Configuration, seed: int) -> float:
        """What one update makes of the first policy, by `_ppo.surrogate` on a second rollout.

        Both rollouts are the first policy's own, equal for all configurations under one seed.
        """
        psi = torch.as_tensor(self.space.to_natural(configuration))
        return float(self.look(psi.to(self.device, self.dtype), *self.rollouts(seed)).detach())

    def probe_gradient(
        self, configuration: Configuration, seed: int
    ) -> tuple[float, dict[str, float]]:
        """The same, and its derivatives with respect to natural coordinates, by name.

        Through all gradient steps of the update.
        """
        psi = torch.as_tensor(self.space.to_natural(configuration)).to(self.device, self.dtype)
        psi.requires_grad_()
        loss = self.look(psi, *self.rollouts(seed), graph=True)
        (gradient,) = torch.autograd.grad(loss, psi)
        slopes = dict(zip(self.space, gradient.tolist(), strict=True))
        return float(loss.detach()), {name: slopes[name] for name in self.probe_gradient_names}

    def rollouts(self, seed: int) -> tuple[_ppo.Learner, _ppo.Rollout, _ppo.Rollout, np.ndarray]:
        """A first policy, what it meets to learn from and to judge by, and the mini-batches."""
        learner = self.initial_state(seed).learner
        rng = np.random.default_rng([seed, 0, PROBE])
        environments = self.make(self.environments, rng, training=True)
        first, second = (
            _ppo.collect(self.policy, learner.theta, environments, PROBE_STEPS, rng)
            for _ in range(2)
        )
        return learner, first, second, self._orders(rng, self.environments * PROBE_STEPS)

    def look(
        self,
        psi: Tensor,
        learner: _ppo.Learner,
        first: _ppo.Rollout,
        second: _ppo.Rollout,
        orders: np.ndarray,
        *,
        graph: bool = False,
    ) -> Tensor:
        """The surrogate after an update at natural coordinates psi (d,), 0-d."""
        after = _ppo.improve(
            self.policy, learner, first, decode(self.space, psi), orders, graph=graph
        )
        return _ppo.surrogate(self.policy, after.theta, second, self._values(REFERENCE))

    def _values(self, configuration: Configuration) -> dict[str, Tensor]:
        return {
            name: torch.tensor(value, device=self.device, dtype=self.dtype)
            for name, value in configuration.items()
        }

    def _orders(self, rng: np.random.Generator, samples: int) -> np.ndarray:
        return np.stack([rng.permutation(samples) for _ in range(_ppo.EPOCHS)])

    def _score(self, theta: Tensor, purpose: int) -> float:
        """Mean return of greedy episodes; NaN where training has diverged."""
        if not theta.isfinite().all():
            return float("nan")
        environments = self.make(self.episodes, np.random.default_rng(purpose), training=False)
        weights, totals = self.policy.layout.split(theta), np.zeros(self.episodes)
        going = np.ones(self.episodes, bool)
        for _ in range(self.horizon):
            with torch.no_grad():
                seen = torch.as_tensor(environments.observe()).to(theta)
                logits, _ = self.policy(weights, seen)
            rewards, ended = environments.step(logits.argmax(-1).cpu().numpy())
            totals += np.where(going, rewards, 0.0)
            going &= ~ended
            if not going.any():
                break
        return float(totals.mean())


class _Counted:
    """Environments that remember the returns of episodes that ended."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self._running: Any = 0.0
        self.returns: list[float] = []

    def observe(self) -> np.ndarray:
        return self._environments.observe()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rewards, ended = self._environments.step(actions)
        self._running = self._running + rewards
        self.returns += self._running[ended].tolist()
        self._running = np.where(ended, 0.0, self._running)
        return rewards, ended
