"""ohgw's schedulers, with their defaults."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from _serve import MAX_RESOURCE, MIN_RESOURCE, loss, serve

from ohgw.core.space import get_space
from ohgw.schedulers import SCHEDULERS, make


def decisions(name: str, seed: int) -> Iterator[bool]:
    scheduler = make(
        name,
        get_space("exp-1"),
        np.random.default_rng(seed),
        mode="min",
        min_resource=MIN_RESOURCE,
        max_resource=MAX_RESOURCE,
    )
    while True:
        asked = scheduler.ask()
        scheduler.tell(asked.trial, asked.resource, loss(asked.configuration, asked.resource))
        yield asked.is_new


if __name__ == "__main__":
    serve("ohgw", {name: partial(decisions, name) for name in SCHEDULERS})
