"""NePS's bracket optimisers through its in-memory `AskAndTell`.

Hyperband is what NePS chooses for a space with a fidelity and no prior. PriorBand needs a prior,
here the centre of every interval.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import neps
import numpy as np
import torch
from _serve import MAX_RESOURCE, MIN_RESOURCE, SPACE, loss, serve


def space(priors: bool) -> neps.PipelineSpace:
    def interval(low: float, high: float, log: bool) -> neps.Float:
        prior: dict[str, Any] = {}
        if priors:
            centre = (low * high) ** 0.5 if log else (low + high) / 2
            prior = {"prior": centre, "prior_confidence": "medium"}
        return neps.Float(low, high, log=log, **prior)

    members: dict[str, Any] = {name: interval(*bounds) for name, bounds in SPACE.items()}
    members["epochs"] = neps.IntegerFidelity(MIN_RESOURCE, MAX_RESOURCE)
    return type("Space", (neps.PipelineSpace,), members)()


def decisions(algorithm: Callable[..., Any], priors: bool, seed: int) -> Iterator[bool]:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    optimizer = neps.AskAndTell(algorithm(space(priors)))
    while True:
        trial = optimizer.ask()
        optimizer.tell(trial, loss(trial.config, trial.config["epochs"]))
        yield trial.metadata.previous_trial_id is None


if __name__ == "__main__":
    torch.set_num_threads(1)
    contenders = {
        "Hyperband": partial(decisions, neps.algorithms.hyperband, False),
        "async Hyperband": partial(decisions, neps.algorithms.async_hb, False),
        "PriorBand": partial(decisions, neps.algorithms.priorband, True),
    }
    serve("neural-pipeline-search", contenders)
