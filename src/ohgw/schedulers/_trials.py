"""What every scheduler keeps of its trials: configurations, what is being trained, the stream."""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from ohgw.core.errors import SettingError
from ohgw.core.protocols import Mode
from ohgw.core.space import Space
from ohgw.core.trial import Configuration, Suggestion


def whole(name: str, value: Any, least: int) -> int:
    """The setting as a Python integer. Raises `SettingError` unless it is whole and >= least."""
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        raise SettingError(f"{name} {value!r} must be a whole number of at least {least}.")
    return int(value)


def real(name: str, value: Any, low: float, high: float) -> float:
    """The setting as a float. Raises `SettingError` unless it is a number from low to high."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not low <= number <= high:  # NaN fails both
        raise SettingError(f"{name} {value!r} must be a number from {low:g} to {high:g}.")
    return number


def resources(min_resource: Any, max_resource: Any) -> tuple[int, int]:
    """Both as Python integers. Raises `SettingError` unless 1 <= min_resource <= max_resource."""
    low, high = whole("min_resource", min_resource, 1), whole("max_resource", max_resource, 1)
    if low > high:
        raise SettingError(f"min_resource {low!r} is above max_resource {high!r}; swap them.")
    return low, high


class Trials:
    """Numbers trials from 0, hands out suggestions and checks what is told about them.

    A trial ends where it fails and at `max_resource`; a scheduler ends those that it stops.
    `settings` are what a state must agree on to be taken over; they are JSON-able.
    """

    def __init__(
        self,
        space: Space,
        rng: np.random.Generator,
        mode: Mode,
        max_resource: int,
        settings: Mapping[str, Any],
    ) -> None:
        if mode not in ("min", "max"):
            raise SettingError(f"mode {mode!r} is neither 'min' nor 'max'.")
        self.space = space
        self._rng = rng
        self._max_resource = max_resource
        self._sign = 1.0 if mode == "min" else -1.0
        self._settings = {**settings, "mode": mode, "space": space.to_json()}
        self._configurations: list[Configuration] = []
        self._running: dict[int, int] = {}  # trial -> the resource it is being trained to
        self._ended: list[int] = []

    def start(self, resource: int, configuration: Configuration | None = None) -> Suggestion:
        """A new trial; without a configuration, one draw from the scheduler's own stream."""
        self._configurations.append(configuration or self.space.sample(self._rng))
        return self.resume(len(self._configurations) - 1, 0, resource)

    def configuration(self, trial: int) -> Configuration:
        """The configuration the trial was last amended to; not to be changed."""
        return self._configurations[trial]

    def resume(self, trial: int, start: int, resource: int) -> Suggestion:
        """Train a paused trial on, at the configuration it was last amended to."""
        self._running[trial] = resource
        return Suggestion(trial, dict(self._configurations[trial]), start, resource)

    def amend(self, trial: int, configuration: Mapping[str, Any]) -> None:
        self._check_known(trial)
        self.space.validate(configuration)
        self._configurations[trial] = self.space.clip(configuration)  # as Python scalars

    def finish(self, trial: int, resource: int, score: float) -> float:
        """The score as a loss: smaller is better, and infinity where it is not finite."""
        self._check_known(trial)
        expected = self._running.get(trial)
        if expected is None:
            raise SettingError(
                f"Trial {trial} told at resource {resource}, but it is not being trained; "
                "tell each suggestion once."
            )
        if resource != expected:
            raise SettingError(
                f"Trial {trial} told at resource {resource}, but it was asked to train to "
                f"{expected}; tell it at {expected}."
            )
        if math.isnan(score):
            raise SettingError(
                f"Trial {trial} told at resource {resource} with score nan; "
                "map a score that is not finite to Metric.worst first."
            )
        del self._running[trial]
        loss = self._sign * float(score) if math.isfinite(score) else math.inf
        if resource == self._max_resource or loss == math.inf:
            self.end(trial)
        return loss

    def end(self, trial: int) -> None:
        """The trial will never be resumed."""
        self._ended.append(trial)

    def ended(self) -> list[int]:
        """Those that ended since this was last called."""
        found, self._ended = self._ended, []
        return found

    def state_dict(self) -> dict[str, Any]:
        return {
            "settings": dict(self._settings),
            "rng": _plain(self._rng.bit_generator.state),
            "configurations": [dict(configuration) for configuration in self._configurations],
            "running": [[trial, resource] for trial, resource in self._running.items()],
            "over": list(self._ended),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        theirs = state["settings"]
        for key in sorted({*theirs, *self._settings}):
            if theirs.get(key) != self._settings.get(key):
                raise SettingError(
                    f"The state was written with {key} {theirs.get(key)!r}, this scheduler has "
                    f"{self._settings.get(key)!r}; make it with the settings of the state."
                )
        try:
            self._rng.bit_generator.state = state["rng"]
        except ValueError as error:
            raise SettingError(
                f"The state's generator does not fit this scheduler's: {error}."
            ) from None
        self._configurations = [dict(configuration) for configuration in state["configurations"]]
        self._running = {trial: resource for trial, resource in state["running"]}
        self._ended = list(state.get("over", ()))  # older states lack it

    def _check_known(self, trial: int) -> None:
        if not 0 <= trial < len(self._configurations):
            raise SettingError(
                f"Trial {trial!r} is unknown: {len(self._configurations)} trials were asked for, "
                "numbered from 0."
            )


def _plain(value: Any) -> Any:
    """Some bit generators keep arrays in their state, and take lists back."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value
