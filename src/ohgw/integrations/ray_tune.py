"""Ray Tune: a searcher that warm-starts another's proposals, and our schedulers as one of Tune's.

    search_alg = OHGWSearcher(OptunaSearch(seed=0), starter)

    rungs = OHGWScheduler("asha", space, metric="loss", mode="min", max_resource=27, trials=50)
    TuneConfig(search_alg=rungs.searcher, scheduler=rungs, num_samples=-1)

Tune calls searchers and schedulers in the driver's one thread, so a probe there holds everything
up; `warm_start_result` is for probes inside the trainable.
"""

import math
import pickle
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ohgw.core.errors import MissingExtraError, OHGWError, SettingError
from ohgw.core.protocols import Metric, Mode
from ohgw.core.space import Space
from ohgw.core.trial import Suggestion
from ohgw.schedulers import make
from ohgw.warmstart.starter import WarmStart, WarmStarter

try:
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import TrialScheduler
    from ray.tune.search import Searcher
    from ray.tune.utils import flatten_dict
except ImportError:
    raise MissingExtraError("ohgw.integrations.ray_tune", "ray") from None

TIME = "training_iteration"
_KEY = "ohgw/configuration/"


def warm_start_result(found: WarmStart) -> dict[str, Any]:
    """What a trainable adds to each report when it probed by itself and trains x'.

    `OHGWSearcher` reads it and tells the searcher that it wraps of x'.
    """
    return {"ohgw": {"configuration": dict(found.configuration), "work": found.work}}


class OHGWSearcher(Searcher):
    """Asks `searcher` for x and proposes x'; tells it what x' scored.

    A trial that moved is reported through the searcher's `add_evaluated_point`, and its own
    suggestion as failed, since no other way says that something else was trained. Searchers
    without it are refused, `SettingError`. Trials whose x' is x are passed through untouched.

    Without a `starter`, x' is what the trainable reports (`warm_start_result`). What was found is
    in `warm_starts`, by Tune's id of the trial.
    """

    def __init__(
        self, searcher: Searcher, starter: WarmStarter | None = None, *, time_attr: str = TIME
    ) -> None:
        if isinstance(searcher.metric, list):
            raise SettingError("OHGWSearcher needs a searcher of one metric, not of several.")
        if type(searcher).add_evaluated_point is Searcher.add_evaluated_point:
            raise SettingError(
                f"{type(searcher).__name__} has no add_evaluated_point: it cannot be told that x' "
                "was trained instead of x. Wrap OptunaSearch, HyperOptSearch or another that has."
            )
        super().__init__(metric=searcher.metric, mode=searcher.mode)
        self.searcher, self.starter = searcher, starter
        self.warm_starts: dict[str, WarmStart] = {}
        self._asked: dict[str, dict[str, Any]] = {}  # x, with all else that was suggested
        self._seen: dict[str, float] = {}  # resource that was observed last
        self._time = time_attr

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        done = bool(self.searcher.set_search_properties(metric, mode, config, **spec))
        self._metric, self._mode = self.searcher.metric, self.searcher.mode
        return done

    def suggest(self, trial_id: str) -> Any:
        asked = self.searcher.suggest(trial_id)
        if not isinstance(asked, dict):
            return asked  # nothing now, or nothing any more
        self._asked[trial_id] = asked
        if self.starter is None:
            return asked
        missing = [name for name in self.starter.space if name not in asked]
        if missing:
            raise SettingError(
                f"{type(self.searcher).__name__} proposes no {', '.join(missing)}, which the "
                "starter's space has. Give both the same names, outside of nested dictionaries."
            )
        x = {name: asked[name] for name in self.starter.space}
        try:
            found = self.starter.propose(len(self._asked) - 1, x)
        except OHGWError as error:  # raised here, it would end the run with its trials incomplete
            warnings.warn(f"Trial {trial_id} starts cold: {error}", stacklevel=2)
            return asked
        self.warm_starts[trial_id] = found
        return asked if found.configuration == x else {**asked, **found.configuration}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._observe(trial_id, result)
        self.searcher.on_trial_result(trial_id, result)

    def _observe(self, trial_id: str, result: dict[str, Any]) -> None:
        found = self.warm_starts.get(trial_id)
        resource = result.get(self._time, 0)
        if found is None or self.starter is None or self.metric not in result:
            return
        if resource > self._seen.get(trial_id, 0):
            self._seen[trial_id] = resource
            score = float(result[self.metric])
            aim = Metric(self.metric, "max" if self.mode == "max" else "min")
            loss = aim.loss(score if math.isfinite(score) else None)
            number = list(self._asked).index(trial_id)
            self.starter.observe(number, found.configuration, resource, loss)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        flat = flatten_dict(result) if result else {}
        self._observe(trial_id, flat)
        x = self._asked.get(trial_id, {})
        found = self.warm_starts.get(trial_id)
        if found is None:
            moved = {k.removeprefix(_KEY): v for k, v in flat.items() if k.startswith(_KEY)}
        else:
            moved = found.configuration
        trained = {**x, **moved}
        if error or trained == x or self.metric not in flat:
            self.searcher.on_trial_complete(trial_id, result=result, error=error)
            return
        self.searcher.on_trial_complete(trial_id, result=None, error=True)
        self.searcher.add_evaluated_point(trained, flat[self.metric])

    def save(self, checkpoint_path: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            inner = Path(folder) / "searcher"
            self.searcher.save(str(inner))
            content = {
                "searcher": inner.read_bytes(),
                "starter": self.starter.state_dict() if self.starter else None,
                "warm_starts": self.warm_starts,
                "asked": self._asked,
                "seen": self._seen,
            }
        Path(checkpoint_path).write_bytes(pickle.dumps(content))

    def restore(self, checkpoint_path: str) -> None:
        content = pickle.loads(Path(checkpoint_path).read_bytes())
        with tempfile.TemporaryDirectory() as folder:
            inner = Path(folder) / "searcher"
            inner.write_bytes(content["searcher"])
            self.searcher.restore(str(inner))
        if self.starter is not None:
            self.starter.load_state_dict(content["starter"])
        self.warm_starts, self._asked = content["warm_starts"], content["asked"]
        self._seen = content["seen"]


class OHGWScheduler(TrialScheduler):
    """One of this package's schedulers: trials pause at rungs and are promoted from there.

    scheduler
        As `ohgw tune --scheduler`: "asha", "pasha:eta=4" ... It draws configurations and decides
        on promotions, so it comes with a searcher of its own, `self.searcher`.
    space, metric, mode, min_resource, max_resource
        What is searched, by which key of the reports, in which unit: `time_attr`.
    trials
        Configurations that are started; then what is promotable is trained to its end.
    workers
        Trials that run side by side. Not TuneConfig's `max_concurrent_trials`, whose limiter
        counts paused trials too and stops everything once they are as many.
    starter
        Warm-starts each new trial, in the driver; x' is what is trained, recorded and modelled.

    A trainable must report a checkpoint at each unit and begin from `tune.get_checkpoint()`. What
    was asked and told is in `log`. State is saved with the searcher's, where Tune keeps it.
    """

    _supports_buffered_results = False  # a report at a rung pauses its trial there

    def __init__(
        self,
        scheduler: str,
        space: Space,
        *,
        metric: str,
        mode: Mode,
        max_resource: int,
        trials: int,
        min_resource: int = 1,
        workers: int = 4,
        starter: WarmStarter | None = None,
        seed: int = 0,
        time_attr: str = TIME,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if trials < 1 or workers < 1:
            raise SettingError(f"trials={trials!r} and workers={workers!r} must be at least 1.")
        self.scheduler = make(
            scheduler,
            space,
            np.random.default_rng(seed),
            mode=mode,
            min_resource=min_resource,
            max_resource=max_resource,
        )
        self.starter, self._aim, self._time = starter, Metric(metric, mode), time_attr
        self._metric = metric
        self._trials, self._workers = trials, workers
        self.searcher = _Proposals(self)
        self.log: list[tuple[Any, ...]] = []  # ("ask", trial, start, resource) or ("tell", ...)
        self.warm_starts: dict[int, WarmStart] = {}
        self._number: dict[str, int] = {}  # of a trial, by Tune's id
        self._target: dict[int, int] = {}  # resource that a trial now trains to
        self._next: Suggestion | None = None  # asked, and not begun yet
        self._handed = False  # to Tune, to be resumed
        self._idle = False  # nothing to begin before somebody reports

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return metric is None and mode is None

    def _peek(self) -> Suggestion | None:
        """What to begin next, if a worker is free; the same until it has begun."""
        waiting = int(self._next is not None and self._next.is_new)
        if self._next is not None or self._idle or len(self._target) + waiting >= self._workers:
            return self._next
        before = self.scheduler.state_dict()
        asked = self.scheduler.ask()
        if asked.is_new and len(self._number) == self._trials:
            self.scheduler.load_state_dict(before)  # as if it had not been asked
            self._idle = True
            return None
        self._next, self._handed = asked, False
        self.log.append(("ask", asked.trial, asked.start, asked.resource))
        if not asked.is_new:
            self._target[asked.trial] = asked.resource
        return asked

    def propose(self, trial_id: str) -> Any:
        """For the searcher: the next new configuration, if it is a new one's turn."""
        if len(self._number) == self._trials:
            return str(Searcher.FINISHED)
        asked = self._peek()
        if asked is None or not asked.is_new:
            return None
        configuration = asked.configuration
        if self.starter is not None:
            found = self.warm_starts[asked.trial] = self.starter.propose(asked.trial, configuration)
            configuration = found.configuration
            if configuration != asked.configuration:
                self.scheduler.amend(asked.trial, configuration)
        self._number[trial_id] = asked.trial
        self._target[asked.trial] = asked.resource
        self._next = None
        return dict(configuration)

    def on_trial_result(self, controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        number = self._number[trial.trial_id]
        target = self._target.get(number)
        if target is None:
            return self.PAUSE  # a report beyond its rung, sent before the pause
        if result[self._time] < target:
            return self.CONTINUE
        self._tell(number, float(result[self._aim.name]), trial)
        return self.STOP if target == self.scheduler.max_resource else self.PAUSE

    def _tell(self, number: int, value: float, trial: Trial) -> None:
        resource = self._target.pop(number)
        score = value if math.isfinite(value) else self._aim.worst
        self.scheduler.tell(number, resource, score)
        self.log.append(("tell", number, resource, score))
        if number in self.warm_starts and self.starter is not None:
            trained = self.warm_starts[number].configuration
            loss = self._aim.loss(value if math.isfinite(value) else None)
            self.starter.observe(number, trained, resource, loss)
        self._idle = False

    def choose_trial_to_run(self, controller: Any) -> Trial | None:
        asked = self._peek()
        trials: list[Trial] = controller.get_trials()
        if asked is not None and not asked.is_new:
            ids = {number: trial_id for trial_id, number in self._number.items()}
            (trial,) = (t for t in trials if t.trial_id == ids[asked.trial])
            if trial.status == Trial.PAUSED:
                self._handed = True
                return trial
            if self._handed:
                self._next = None  # it has begun
        if asked is None and self._idle and not self._target:
            for trial in trials:
                if trial.status == Trial.PAUSED:
                    controller.stop_trial(trial)
        pending = [t for t in trials if t.status == Trial.PENDING]
        return pending[0] if pending else None

    def on_trial_add(self, controller: Any, trial: Trial) -> None:
        """A new trial is known since it was proposed; a restored one goes on as it was.

        Tune queues all that had not ended, those among them that wait at a rung.
        """
        number = self._number[trial.trial_id]
        if trial.status == Trial.PENDING and number not in self._target:
            trial.set_status(Trial.PAUSED)  # type: ignore[no-untyped-call]
        if self._next is not None and self._next.trial == number:
            self._handed = True  # a promotion: it is queued already

    def on_trial_error(self, controller: Any, trial: Trial) -> None:
        self._failed(trial)

    def on_trial_complete(self, controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._failed(trial)  # it ended before its rung; one that was stopped there has no target

    def on_trial_remove(self, controller: Any, trial: Trial) -> None:
        self._failed(trial)

    def _failed(self, trial: Trial) -> None:
        number = self._number[trial.trial_id]
        if number in self._target:
            self._tell(number, math.nan, trial)

    def debug_string(self) -> str:
        reached: dict[int, int] = {}
        for kind, _, *rest in self.log:
            if kind == "tell":
                reached[rest[0]] = reached.get(rest[0], 0) + 1
        rungs = ", ".join(f"{n} at {resource}" for resource, n in sorted(reached.items()))
        return f"Using {type(self.scheduler).__name__} of ohgw: {rungs or 'no reports yet'}"

    _KEPT = ("log", "warm_starts", "_number", "_target", "_next", "_handed", "_idle")

    def save(self, checkpoint_path: str) -> None:
        content = {name: getattr(self, name) for name in self._KEPT}
        content["scheduler"] = self.scheduler.state_dict()
        content["starter"] = self.starter.state_dict() if self.starter else None
        Path(checkpoint_path).write_bytes(pickle.dumps(content))

    def restore(self, checkpoint_path: str) -> None:
        content = pickle.loads(Path(checkpoint_path).read_bytes())
        for name in self._KEPT:
            setattr(self, name, content[name])
        self.scheduler.load_state_dict(content["scheduler"])
        if self.starter is not None:
            self.starter.load_state_dict(content["starter"])


class _Proposals(Searcher):
    """The searcher's side of an `OHGWScheduler`; Tune saves and restores searchers alone."""

    def __init__(self, owner: OHGWScheduler) -> None:
        super().__init__(metric=owner._aim.name, mode=owner._aim.mode)
        self.owner = owner

    def set_search_properties(self, *given: Any, **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        return self.owner.propose(trial_id)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The scheduler hears of it."""

    def save(self, checkpoint_path: str) -> None:
        self.owner.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        self.owner.restore(checkpoint_path)
