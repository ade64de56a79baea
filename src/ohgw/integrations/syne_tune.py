"""Syne Tune: a scheduler that warm-starts what another one suggests.

tuner = Tuner(scheduler=OHGWScheduler(ASHA(...), starter), ...)
"""

import math
from typing import Any

from ohgw.core.errors import MissingExtraError, SettingError
from ohgw.warmstart.starter import WarmStart, WarmStarter

try:
    from syne_tune.backend.trial_status import Trial
    from syne_tune.optimizer.scheduler import TrialScheduler, TrialSuggestion
except ImportError:
    raise MissingExtraError("ohgw.integrations.syne_tune", "syne-tune") from None


class OHGWScheduler(TrialScheduler):  # type: ignore[misc]  # Syne Tune has no types
    """Asks `scheduler` for x, and starts new trials at x'; resumed ones stay what they are.

    Everything that Syne Tune tells a scheduler goes on to `scheduler`, with the configuration that
    was trained: its searcher learns from x'. `warm_starts` has what was found, by the trial's id.
    Methods that learn from the search count `time_attr`, as the scheduler does.

    Raises `SettingError` where `scheduler` suggests no value for a name of the starter's space.
    """

    def __init__(self, scheduler: TrialScheduler, starter: WarmStarter) -> None:
        super().__init__(random_seed=scheduler.random_seed)
        self.scheduler, self.starter = scheduler, starter
        self.warm_starts: dict[int, WarmStart] = {}
        self._metric = scheduler.metric_names()[0]
        self._sign = -1.0 if scheduler.metric_mode() == "max" else 1.0
        self._time_attr = getattr(scheduler, "time_attr", "")

    def suggest(self) -> TrialSuggestion | None:
        suggestion: TrialSuggestion | None = self.scheduler.suggest()
        if suggestion is None or not suggestion.spawn_new_trial_id or suggestion.config is None:
            return suggestion
        missing = [name for name in self.starter.space if name not in suggestion.config]
        if missing:
            raise SettingError(
                f"{type(self.scheduler).__name__} suggests no {', '.join(missing)}, which the "
                "starter's space has. Give both the same names."
            )
        trial = len(self.warm_starts)  # Syne Tune numbers new trials in this order
        x = {name: suggestion.config[name] for name in self.starter.space}
        found = self.starter.propose(trial, x)
        self.warm_starts[trial] = found
        suggestion.config = {**suggestion.config, **found.configuration}
        return suggestion

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        self._observe(trial, result)
        return str(self.scheduler.on_trial_result(trial, result))

    def _observe(self, trial: Trial, result: dict[str, Any]) -> None:
        configuration = {name: trial.config[name] for name in self.starter.space}
        resource = result.get(self._time_attr, self.starter.task.max_resource)
        value = float(result[self._metric])
        loss = self._sign * value if math.isfinite(value) else math.inf
        self.starter.observe(trial.trial_id, configuration, resource, loss)

    def on_trial_add(self, trial: Trial) -> None:
        self.scheduler.on_trial_add(trial)

    def on_trial_error(self, trial: Trial) -> None:
        self.scheduler.on_trial_error(trial)

    def on_trial_complete(self, trial: Trial, result: dict[str, Any]) -> None:
        self.scheduler.on_trial_complete(trial, result)

    def on_trial_remove(self, trial: Trial) -> None:
        self.scheduler.on_trial_remove(trial)

    def metric_names(self) -> list[str]:
        return list(self.scheduler.metric_names())

    def metric_mode(self) -> str:
        return str(self.scheduler.metric_mode())

    def metadata(self) -> dict[str, Any]:
        return {**self.scheduler.metadata(), "ohgw": True}
