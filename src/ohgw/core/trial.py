"""What passes between a scheduler and whoever runs its trials."""

from dataclasses import dataclass
from typing import Any

Configuration = dict[str, Any]
"""A point of the search space: hyperparameter name to value."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Train `trial` at `configuration` from `start` until `resource`, both in resource units.

    `start` is 0 for a new trial, else the resource that the trial reached before.
    """

    trial: int
    configuration: Configuration
    start: int
    resource: int

    @property
    def is_new(self) -> bool:
        """True where the trial has not been trained yet."""
        return self.start == 0
