"""Schedulers: what to train next, asked and told, over plain data.

A scheduler satisfies `ohgw.core.protocols.Scheduler`, reads no clock and draws only from the
generator it was given. Adding one takes a file here, a line in `SCHEDULERS`, and nothing in the
tests: the conformance suite (`ohgw.testing.schedulers`) runs over this table.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.protocols import Mode, Scheduler
from ohgw.core.space import Space
from ohgw.schedulers.asha import ASHA as ASHA
from ohgw.schedulers.random import RandomSearch as RandomSearch

# Every entry is called as (space, rng, *, mode, min_resource, max_resource, **options).
SCHEDULERS: dict[str, Callable[..., Scheduler]] = {
    "random": RandomSearch,
    "asha": ASHA,
}
_COMMON = frozenset({"space", "rng", "mode", "min_resource", "max_resource"})


def make(
    name: str,
    space: Space,
    rng: np.random.Generator,
    *,
    mode: Mode,
    min_resource: int,
    max_resource: int,
    **options: Any,
) -> Scheduler:
    """The scheduler of that name, over `space`, drawing from `rng` and from nothing else.

    Resources are in the task's units (epochs). Raises `UnknownNameError` for a name that is not
    in `SCHEDULERS` and `SettingError` for an option that the scheduler does not have.
    """
    if name not in SCHEDULERS:
        raise UnknownNameError("scheduler", name, SCHEDULERS)
    factory = SCHEDULERS[name]
    known = [key for key in signature(factory).parameters if key not in _COMMON]
    for option, value in options.items():
        if option not in known:
            raise SettingError(
                f"Scheduler {name!r} has no option {option!r} (given {value!r}). "
                f"It has: {', '.join(known) or 'none'}."
            )
    return factory(
        space, rng, mode=mode, min_resource=min_resource, max_resource=max_resource, **options
    )
