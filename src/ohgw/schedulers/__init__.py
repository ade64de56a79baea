"""Schedulers: what to train next, asked and told, over plain data.

A scheduler satisfies `ohgw.core.protocols.Scheduler`, reads no clock and draws only from the
generator it was given. Adding one takes a file here and a line in `SCHEDULERS`; the conformance
suite (`ohgw.testing.schedulers`) runs over this table. Options follow the name after colons:
`asha:eta=4`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ohgw.core.protocols import Mode, Scheduler
from ohgw.core.space import Space
from ohgw.core.spec import read_spec, spec_options
from ohgw.schedulers.asha import ASHA as ASHA
from ohgw.schedulers.asha_stopping import StoppingASHA as StoppingASHA
from ohgw.schedulers.bohb import BOHB as BOHB
from ohgw.schedulers.boil import BOIL as BOIL
from ohgw.schedulers.dyhpo import DyHPO as DyHPO
from ohgw.schedulers.hyperband import Hyperband as Hyperband
from ohgw.schedulers.hyperband_async import AsyncHyperband as AsyncHyperband
from ohgw.schedulers.pasha import PASHA as PASHA
from ohgw.schedulers.random import RandomSearch as RandomSearch

# Every entry is called as (space, rng, *, mode, min_resource, max_resource, **options).
SCHEDULERS: dict[str, Callable[..., Scheduler]] = {
    "random": RandomSearch,
    "asha": ASHA,
    "asha-stopping": StoppingASHA,
    "hyperband": Hyperband,
    "hyperband-async": AsyncHyperband,
    "bohb": BOHB,
    "pasha": PASHA,
    "boil": BOIL,
    "dyhpo": DyHPO,
}
_COMMON = frozenset({"mode", "min_resource", "max_resource"})


def options(name: str) -> dict[str, Any]:
    """What may be set of the named scheduler, with the defaults."""
    return spec_options(SCHEDULERS[name], _COMMON)


def check_spec(spec: str) -> None:
    """Raise `UnknownNameError` or `SettingError` where `make` would, as far as names go."""
    read_spec("scheduler", spec, SCHEDULERS, _COMMON)


def make(
    spec: str,
    space: Space,
    rng: np.random.Generator,
    *,
    mode: Mode,
    min_resource: int,
    max_resource: int,
) -> Scheduler:
    """A fresh scheduler from `name` or `name:option=value:...`, over `space`.

    It draws from `rng` and from nothing else. Resources are in the task's units (epochs). Raises
    `UnknownNameError` for a name that is not in `SCHEDULERS` or an option that the scheduler does
    not have, and `SettingError` for a value.
    """
    name, options = read_spec("scheduler", spec, SCHEDULERS, _COMMON)
    return SCHEDULERS[name](
        space, rng, mode=mode, min_resource=min_resource, max_resource=max_resource, **options
    )
