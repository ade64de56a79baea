"""Environments for reinforcement learning: copies of one that step together, in NumPy.

Step for step those of gymnasium's classic control (CartPole-v1, Acrobot-v1), which are too slow
one at a time: a policy looks at all copies at once. A copy that ends begins anew at once, with a
state drawn from the generator that the environments were made with.
"""

from typing import ClassVar, Protocol

import numpy as np

Array = np.ndarray


class Environments(Protocol):
    """`count` copies; all arrays have one entry for each."""

    def observe(self) -> Array:
        """What a policy sees now, (count, ...)."""
        ...

    def step(self, actions: Array) -> tuple[Array, Array]:
        """Rewards and which copies ended with them, by the goal or by time; both (count,)."""
        ...


class Classic:
    """Copies of one system with a state of four numbers and a limit of steps."""

    observations: ClassVar[int]
    actions: ClassVar[int]
    limit = 500  # steps of an episode
    spread: ClassVar[float]  # of initial states, either way

    def __init__(self, count: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self.state = self._draw(count)
        self._taken = np.zeros(count, int)

    def observe(self) -> Array:
        raise NotImplementedError

    def step(self, actions: Array) -> tuple[Array, Array]:
        self.state, rewards, ended = self.advance(self.state, actions)
        self._taken += 1
        ended = ended | (self._taken >= self.limit)
        fresh = np.flatnonzero(ended)
        if fresh.size:
            self.state[fresh] = self._draw(len(fresh))
            self._taken[fresh] = 0
        return rewards, ended

    def advance(self, state: Array, actions: Array) -> tuple[Array, Array, Array]:
        """The next states (count, 4), the rewards, and which of them end an episode."""
        raise NotImplementedError

    def _draw(self, count: int) -> Array:
        return self._rng.uniform(-self.spread, self.spread, (count, 4))


class CartPoles(Classic):
    """A pole on a cart that is pushed left or right (Barto, Sutton & Anderson 1983).

    State: position (m), velocity, angle (rad), angular velocity. One point a step until the pole
    leans 12 degrees or the cart is 2.4 m away.
    """

    observations, actions, spread = 4, 2, 0.05
    gravity, cart, pole, half_length, force, seconds = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
    furthest, steepest = 2.4, np.deg2rad(12)

    def observe(self) -> Array:
        return self.state.astype(np.float32)

    def advance(self, state: Array, actions: Array) -> tuple[Array, Array, Array]:
        _, v, angle, spin = state.T
        sine, cosine = np.sin(angle), np.cos(angle)
        mass = self.cart + self.pole
        moment = self.pole * self.half_length
        push = (np.where(actions == 1, self.force, -self.force) + moment * spin**2 * sine) / mass
        turning = (self.gravity * sine - cosine * push) / (
            self.half_length * (4 / 3 - self.pole * cosine**2 / mass)
        )
        going = push - moment * turning * cosine / mass
        after = state + self.seconds * np.stack([v, going, spin, turning], axis=1)
        ended = (np.abs(after[:, 0]) > self.furthest) | (np.abs(after[:, 2]) > self.steepest)
        return after, np.ones(len(after)), ended


class Acrobots(Classic):
    """Two links that hang from a joint, driven at the elbow (Sutton & Barto 2018, section 11.3).

    State: both angles (rad, from hanging; the second relative to the first) and their velocities.
    Minus one a step until the tip is one link above the joint. Links of 1 m and 1 kg with their
    mass in the middle and a moment of inertia of 1, torque -1, 0 or 1, Runge-Kutta of order four
    over 0.2 s.
    """

    observations, actions, spread = 6, 3, 0.1
    gravity, seconds = 9.8, 0.2
    fastest = np.array([4 * np.pi, 9 * np.pi])

    def observe(self) -> Array:
        first, second, *spins = self.state.astype(np.float32).T
        angles = np.cos(first), np.sin(first), np.cos(second), np.sin(second)
        return np.stack([*angles, *spins], axis=1)

    def advance(self, state: Array, actions: Array) -> tuple[Array, Array, Array]:
        torque, h = actions - 1.0, self.seconds
        k1 = self._slope(state, torque)
        k2 = self._slope(state + h / 2 * k1, torque)
        k3 = self._slope(state + h / 2 * k2, torque)
        k4 = self._slope(state + h * k3, torque)
        after = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        after[:, :2] = (after[:, :2] + np.pi) % (2 * np.pi) - np.pi
        after[:, 2:] = np.clip(after[:, 2:], -self.fastest, self.fastest)
        ended = -np.cos(after[:, 0]) - np.cos(after[:, 0] + after[:, 1]) > 1.0
        return after, np.where(ended, 0.0, -1.0), ended

    def _slope(self, state: Array, torque: Array) -> Array:
        """Time derivatives: the manipulator's equations solved for both accelerations."""
        first, second, w1, w2 = state.T
        middle, inertia = 0.5, 1.0
        sine, cosine = np.sin(second), np.cos(second)
        d1 = middle**2 + 1 + middle**2 + 2 * middle * cosine + 2 * inertia
        d2 = middle**2 + middle * cosine + inertia
        pull2 = middle * self.gravity * np.cos(first + second - np.pi / 2)
        pull1 = (
            -middle * w2**2 * sine
            - 2 * middle * w1 * w2 * sine
            + (middle + 1) * self.gravity * np.cos(first - np.pi / 2)
            + pull2
        )
        a2 = (torque + d2 / d1 * pull1 - middle * w1**2 * sine - pull2) / (
            middle**2 + inertia - d2**2 / d1
        )
        a1 = -(d2 * a2 + pull1) / d1
        return np.stack([w1, w2, a1, a2], axis=1)
