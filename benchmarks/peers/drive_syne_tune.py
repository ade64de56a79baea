"""Syne Tune's schedulers through the methods of `TrialScheduler`, as its tuner calls them.

(Its ask-and-tell wrapper raises KeyError with schedulers that stop trials early.) Scores are
reported at the rungs, where these schedulers decide.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from itertools import count

from _serve import ETA, MAX_RESOURCE, MIN_RESOURCE, RUNGS, SPACE, loss, serve
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import loguniform, uniform
from syne_tune.optimizer.baselines import ASHA, BOHB
from syne_tune.optimizer.scheduler import SchedulerDecision


def decisions(kind: type[ASHA] | type[BOHB], seed: int) -> Iterator[bool]:
    scheduler = kind(
        {
            name: (loguniform if log else uniform)(low, high)
            for name, (low, high, log) in SPACE.items()
        },
        metric="loss",
        time_attr="epoch",
        max_t=MAX_RESOURCE,
        grace_period=MIN_RESOURCE,
        reduction_factor=ETA,
        random_seed=seed,
    )
    for number in count():
        suggestion = scheduler.suggest()
        trial = Trial(number, suggestion.config, datetime.now())
        scheduler.on_trial_add(trial)
        for rung in RUNGS:
            result = {"loss": loss(trial.config, rung), "epoch": rung}
            decision = scheduler.on_trial_result(trial, result)
            if rung == MAX_RESOURCE:
                scheduler.on_trial_complete(trial, result)
            elif decision == SchedulerDecision.STOP:
                scheduler.on_trial_remove(trial)
            yield rung == RUNGS[0]
            if decision == SchedulerDecision.STOP:
                break


if __name__ == "__main__":
    serve("syne-tune", {"ASHA": partial(decisions, ASHA), "BOHB": partial(decisions, BOHB)})
