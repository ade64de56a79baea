"""`atari`: a game of the Arcade Learning Environment, by PPO.

Environment: Bellemare et al. 2013 through `ale-py`, which brings the games; the extra `atari`.
Four frames of 84 x 84 greys, each the maximum of the last two of four frames; up to 30 idle steps
first, a shot where a game waits for one. In training an episode is a life and rewards are signs
(Mnih et al. 2015); scores are of whole games with their own points, cut at `horizon`.
Model: `_ppo.NatureCNN`, 1.7 million parameters.
Training: `_reinforcement`, eight copies.
"""

from typing import Any

import numpy as np
import torch

from ohgw.core.errors import MissingExtraError, UnknownNameError
from ohgw.tasks._common import check_count
from ohgw.tasks.control._ppo import NatureCNN
from ohgw.tasks.control._reinforcement import ReinforcementTask


class Atari(ReinforcementTask):
    """An Atari game, by PPO; the return is its score."""

    name = "atari"
    small = "atari:game=pong:environments=2:steps=32:updates=1:episodes=2:horizon=200"
    bundled = False

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        game: str = "breakout",
        environments: int = 8,
        steps: int = 128,
        updates: int = 8,
        episodes: int = 8,
        horizon: int = 4500,
    ) -> None:
        """`game` is one of ale-py's; `horizon` in steps of four frames, 4,500 are five minutes.

        Raises `MissingExtraError` where ale-py is not installed.
        """
        try:
            from ale_py import roms
            from ale_py.vector_env import AtariVectorEnv
        except ImportError:
            raise MissingExtraError(f"Task {self.name!r}", "atari") from None
        games = roms.get_all_rom_ids()
        if game not in games:
            raise UnknownNameError("game of task 'atari'", str(game), games)
        check_count(self.name, "horizon", horizon)
        super().__init__(
            device,
            dtype,
            environments=environments,
            steps=steps,
            updates=updates,
            episodes=episodes,
        )
        self.game, self.horizon = game, horizon
        self._library = AtariVectorEnv
        space: Any = self._library(game, 1).single_action_space
        self.policy = NatureCNN(int(space.n))

    def make(self, count: int, rng: np.random.Generator, *, training: bool) -> "Games":
        games = self._library(
            self.game,
            count,
            num_threads=torch.get_num_threads(),
            autoreset_mode="SameStep",
            episodic_life=training,
            reward_clipping=training,
        )
        return Games(games, rng)


class Games:
    """Copies of a game, as `_environments.Environments`."""

    def __init__(self, games: Any, rng: np.random.Generator) -> None:
        self._games = games
        self._seen, _ = games.reset(seed=int(rng.integers(2**31)))

    def observe(self) -> np.ndarray:
        frames: np.ndarray = self._seen
        return frames

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._seen, rewards, over, cut, _ = self._games.step(actions)
        return rewards, over | cut
