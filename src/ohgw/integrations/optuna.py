"""Optuna: a sampler that warm-starts what another one proposes.

study = optuna.create_study(sampler=OHGWSampler(TPESampler(seed=0), starter))
"""

import math
from collections.abc import Sequence
from copy import copy
from threading import RLock
from typing import Any

from ohgw.core.errors import MissingExtraError, SettingError, SpaceError
from ohgw.core.space import Categorical, Domain, Float, Int, Space
from ohgw.core.trial import Configuration
from ohgw.warmstart.starter import WarmStarter

try:
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.samplers import BaseSampler
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, TrialState
except ImportError:
    raise MissingExtraError("ohgw.integrations.optuna", "optuna") from None

KEY = "ohgw"  # of a trial's system attribute
FIXED = "_fixed_params"  # of a PartialFixedSampler
SEEN = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """What `suggest_float`, `suggest_int` and `suggest_categorical` must ask for."""
    return {name: _distribution(space[name]) for name in space}


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Float):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    if isinstance(domain, Int):
        return IntDistribution(domain.low, domain.high, log=domain.log)
    assert isinstance(domain, Categorical)
    return CategoricalDistribution(domain.choices)


class OHGWSampler(BaseSampler):
    """Asks `sampler` for x when a trial's first hyperparameter is suggested, and answers with x'.

    Warm-started are the hyperparameters of the starter's space, which `sampler` proposes in that
    space's order, or at once if it is one that does (multivariate TPE, CMA-ES, GP). All others are
    `sampler`'s own. A trial's recorded parameters are x', which is what samplers learn from. Its
    system attribute `ohgw` has `proposed` (x), `configuration` (x'), the probe's `work` in
    mini-batches and its `diagnostics`.

    A trial with fixed parameters (`enqueue_trial`) is left alone. Methods that learn from the
    search are told what the study knows, also of trials of other processes; steps that are reported
    count as resource units. One sampler serves one study.

    Raises `SettingError` where the objective or the study does not fit the starter: another range,
    parameters that a `PartialFixedSampler` holds, several objectives.
    """

    def __init__(self, sampler: BaseSampler, starter: WarmStarter) -> None:
        self.sampler, self.starter = sampler, starter
        self._distributions = distributions(starter.space)
        self._check_free(sampler)
        self._relative: dict[int, Configuration] = {}  # by running trial, what `sampler` relates
        self._found: dict[int, Configuration] = {}  # by running trial, x'
        self._told: dict[int, float] = {}  # by trial, the last step that the method was told of
        self._lock = RLock()  # threads of `optimize(n_jobs=...)` share one sampler

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=RLock())

    def reseed_rng(self) -> None:
        self.sampler.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """`sampler`'s, less what is to be warm-started.

        For that, Optuna then asks `sample_independent`, which learns what range was asked for.
        """
        relative = dict(self.sampler.sample_relative(study, trial, search_space))
        own = {name: relative.pop(name) for name in self._distributions if name in relative}
        self._relative[trial._trial_id] = own
        return relative

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        declared = self._distributions.get(param_name)
        if declared is None:
            return self.sampler.sample_independent(study, trial, param_name, param_distribution)
        if param_distribution != declared:
            raise SettingError(
                f"The objective asks for {param_name} from {param_distribution}, but the "
                f"starter's space has {declared}. Give both the same range."
            )
        with self._lock:
            found = self._found.get(trial._trial_id)
            if found is None:
                if self._distributions.keys() & trial.system_attrs.get("fixed_params", {}).keys():
                    return self._propose(study, trial, param_name)
                found = self._found[trial._trial_id] = self._warm_start(study, trial)
            return found[param_name]

    def _propose(self, study: Study, trial: FrozenTrial, name: str) -> Any:
        """What `sampler` alone would suggest."""
        relative, distribution = self._relative.get(trial._trial_id, {}), self._distributions[name]
        if name in relative and distribution._contains(
            distribution.to_internal_repr(relative[name])
        ):
            return relative[name]
        return self.sampler.sample_independent(study, trial, name, distribution)

    def _warm_start(self, study: Study, trial: FrozenTrial) -> Configuration:
        if KEY in trial.system_attrs:  # a failed trial that is run again
            return dict(trial.system_attrs[KEY]["configuration"])
        if len(study.directions) > 1:
            raise SettingError("OHGWSampler needs a study of one objective, not of several.")
        self._check_free(study.sampler)
        x: Configuration = {}
        asked = copy(trial)
        for name, distribution in self._distributions.items():
            x[name] = self._propose(study, asked, name)
            # As if it were suggested: the next may depend on it.
            asked.params = {**asked.params, name: x[name]}
            asked.distributions = {**asked.distributions, name: distribution}
        self._observe(study, trial.number)
        found = self.starter.propose(trial.number, x)
        record: dict[str, Any] = {
            "proposed": x,
            "configuration": found.configuration,
            "work": found.work,
            "diagnostics": found.diagnostics,
        }
        study._storage.set_trial_system_attr(trial._trial_id, KEY, record)
        return found.configuration

    def _check_free(self, sampler: BaseSampler) -> None:
        """A `PartialFixedSampler`, inside or around this one, would fix what is moved."""
        fixed = [name for name in self._distributions if name in getattr(sampler, FIXED, {})]
        if fixed:
            raise SettingError(
                f"{type(sampler).__name__} fixes {', '.join(fixed)}, which the starter's space "
                "moves. Leave it out of that space."
            )

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.sampler.before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self._relative.pop(trial._trial_id, None)
        self._found.pop(trial._trial_id, None)
        self.sampler.after_trial(study, trial, state, values)

    def _observe(self, study: Study, current: int) -> None:
        """Tell the method what is new in the study, in the order of trials and steps.

        From the storage: what Optuna hands to a sampler under Hyperband is one bracket's trials.
        """
        if not self.starter.learns:
            return
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        for trial in study._storage.get_all_trials(study._study_id, deepcopy=False, states=SEEN):
            told = self._told.get(trial.number, -1)
            if trial.number == current or told == math.inf:
                continue
            configuration = self._configuration(trial)
            if configuration is not None:
                for step, value in self._reports(trial).items():
                    if step > told:
                        loss = sign * value if math.isfinite(value) else math.inf
                        self.starter.observe(trial.number, configuration, max(step, 1), loss)
                        self._told[trial.number] = step
            if trial.state.is_finished():
                self._told[trial.number] = math.inf

    def _configuration(self, trial: FrozenTrial) -> Configuration | None:
        """What it was trained at; None where it is no point of the space.

        What x' has and the objective did not ask for made no difference.
        """
        known = {**trial.system_attrs.get(KEY, {}).get("configuration", {}), **trial.params}
        configuration = {name: known[name] for name in self._distributions if name in known}
        try:
            self.starter.space.validate(configuration)
        except SpaceError:
            return None
        return configuration

    def _reports(self, trial: FrozenTrial) -> dict[int, float]:
        """Values by step; a trial without reports has its value at the task's maximum resource."""
        reports = dict(sorted(trial.intermediate_values.items()))
        if trial.state == TrialState.FAIL:
            reports[max(reports, default=0) + 1] = math.inf
        elif not reports and trial.value is not None:
            reports[self.starter.task.max_resource] = trial.value
        return reports
