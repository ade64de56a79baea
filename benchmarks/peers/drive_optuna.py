"""Optuna's samplers and pruner, asked and told as its tutorial on that interface has it.

The study is in memory. Scores are reported at the rungs, where the pruner decides.
"""

from collections.abc import Iterator
from functools import partial

import optuna
from _serve import ETA, MAX_RESOURCE, MIN_RESOURCE, RUNGS, SPACE, loss, serve


def unpruned(sampler: type[optuna.samplers.BaseSampler], seed: int) -> Iterator[bool]:
    study = optuna.create_study(sampler=sampler(seed=seed))
    while True:
        trial = study.ask()
        study.tell(trial, loss(suggested(trial), MAX_RESOURCE))
        yield True


def hyperband(seed: int) -> Iterator[bool]:
    pruner = optuna.pruners.HyperbandPruner(
        min_resource=MIN_RESOURCE, max_resource=MAX_RESOURCE, reduction_factor=ETA
    )
    sampler = optuna.samplers.TPESampler(seed=seed)
    # A trial's bracket is drawn from a hash of the study's name, which is random by default.
    study = optuna.create_study(sampler=sampler, pruner=pruner, study_name=f"study-{seed}")
    while True:
        trial = study.ask()
        configuration = suggested(trial)
        for rung in RUNGS:
            score = loss(configuration, rung)
            trial.report(score, rung)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                yield rung == RUNGS[0]
                break
            if rung == MAX_RESOURCE:
                study.tell(trial, score)
            yield rung == RUNGS[0]


def suggested(trial: optuna.Trial) -> dict[str, float]:
    return {
        name: trial.suggest_float(name, low, high, log=log)
        for name, (low, high, log) in SPACE.items()
    }


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    contenders = {
        "random": partial(unpruned, optuna.samplers.RandomSampler),
        "TPE": partial(unpruned, optuna.samplers.TPESampler),
        "TPE + Hyperband": hyperband,
    }
    serve("optuna", contenders)
