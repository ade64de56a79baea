"""Syne Tune: a scheduler that warm-starts what another one suggests.

tuner = Tuner(scheduler=OHGWScheduler(ASHA(...), starter), ...)
"""

import math
from typing import Any

from ohgw.core.domains import Categorical, Domain, Float
from ohgw.core.errors import MissingExtraError, SettingError
from ohgw.warmstart.starter import WarmStart, WarmStarter

try:
    from syne_tune import config_space as theirs
    from syne_tune.backend.trial_status import Trial
    from syne_tune.optimizer.scheduler import TrialScheduler, TrialSuggestion
except ImportError:
    raise MissingExtraError("ohgw.integrations.syne_tune", "syne-tune") from None


class OHGWScheduler(TrialScheduler):  # type: ignore[misc]  # Syne Tune has no types
    """Asks `scheduler` for x, and starts new trials at x'.

    Resumed trials, and those that go on from another's checkpoint (PBT), stay what they are.
    Everything that Syne Tune tells a scheduler goes on to `scheduler`, with the configuration that
    was trained: its searcher learns from x'. `warm_starts` has what was found, by the trial's id.
    Methods that learn from the search count `scheduler`'s `time_attr` as resource units; without
    one, a report is of the task's maximum resource.

    Raises `SettingError` where `scheduler` has several metrics, or a hyperparameter of the
    starter's space is missing from its own or has another range there.
    """

    def __init__(self, scheduler: TrialScheduler, starter: WarmStarter) -> None:
        super().__init__(random_seed=scheduler.random_seed)
        self.scheduler, self.starter = scheduler, starter
        self.warm_starts: dict[int, WarmStart] = {}
        self._new = 0  # trials so far: Syne Tune numbers them in the order of suggestions
        self._reached: dict[int, float] = {}  # by trial, the last resource that it reported
        self._sign = -1.0 if scheduler.metric_mode() == "max" else 1.0
        self._time_attr = getattr(scheduler, "time_attr", "")
        names = scheduler.metric_names()
        if len(names) > 1:
            raise SettingError(
                f"{type(scheduler).__name__} has the metrics {', '.join(names)}; OHGWScheduler "
                "needs a scheduler of one."
            )
        self._metric = names[0]
        for name, declared in starter.space.items():
            domain = getattr(scheduler, "config_space", {}).get(name, declared)
            if domain is not declared and not _same(domain, declared):
                raise SettingError(
                    f"{type(scheduler).__name__} suggests {name} from {domain}, but the "
                    f"starter's space has {declared}. Give both the same range."
                )

    def suggest(self) -> TrialSuggestion | None:
        suggestion: TrialSuggestion | None = self.scheduler.suggest()
        if suggestion is None or not suggestion.spawn_new_trial_id:
            return suggestion
        trial, self._new = self._new, self._new + 1
        if suggestion.checkpoint_trial_id is not None:
            return suggestion
        config = suggestion.config
        missing = [name for name in self.starter.space if name not in config]
        if missing:
            raise SettingError(
                f"{type(self.scheduler).__name__} suggests no {', '.join(missing)}, which the "
                "starter's space has. Give both the same names."
            )
        x = {name: config[name] for name in self.starter.space}
        found = self.starter.propose(trial, x)
        self.warm_starts[trial] = found
        suggestion.config = {**config, **found.configuration}
        return suggestion

    def on_trial_result(self, trial: Trial, result: dict[str, Any]) -> str:
        resource = result.get(self._time_attr, self.starter.task.max_resource)
        self._reached[trial.trial_id] = resource
        value = float(result[self._metric])
        self._observe(trial, resource, self._sign * value if math.isfinite(value) else math.inf)
        return str(self.scheduler.on_trial_result(trial, result))

    def on_trial_error(self, trial: Trial) -> None:
        self._observe(trial, self._reached.get(trial.trial_id, 0) + 1, math.inf)
        self.scheduler.on_trial_error(trial)

    def _observe(self, trial: Trial, resource: float, loss: float) -> None:
        configuration = {name: trial.config[name] for name in self.starter.space}
        self.starter.observe(trial.trial_id, configuration, resource, loss)

    def on_trial_add(self, trial: Trial) -> None:
        self.scheduler.on_trial_add(trial)

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


def _same(domain: Any, declared: Domain) -> bool:
    """Whether Syne Tune's domain (or constant) has the declared values, on the same scale."""
    if isinstance(declared, Categorical):
        return isinstance(domain, theirs.Categorical) and (
            set(domain.categories) == set(declared.choices)
        )
    kind = theirs.Float if isinstance(declared, Float) else theirs.Integer
    return (
        isinstance(domain, kind)
        and (domain.lower, domain.upper) == (declared.low, declared.high)
        and theirs.is_log_space(domain) == declared.log
    )
