"""One-shot hyper-gradient warm-starts: cheap probes of the training loop steer a search.

import ohgw

best = ohgw.tune("digits", budget=120)
print(best.configuration, best.test)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ohgw.version import __version__ as __version__

if TYPE_CHECKING:
    from ohgw.api import Tuned as Tuned
    from ohgw.api import compare as compare
    from ohgw.api import tune as tune
    from ohgw.api import warm_start as warm_start
    from ohgw.core.errors import OHGWError as OHGWError
    from ohgw.core.space import Categorical as Categorical
    from ohgw.core.space import Float as Float
    from ohgw.core.space import Int as Int
    from ohgw.core.space import Space as Space
    from ohgw.tasks.module import ModuleTask as ModuleTask
    from ohgw.warmstart.starter import WarmStart as WarmStart
    from ohgw.warmstart.starter import WarmStarter as WarmStarter

# Names load when they are first used: importing torch takes seconds, and a review of code or a
# question to the command line needs none of it.
_HOMES = {
    "Categorical": "ohgw.core.space",
    "Float": "ohgw.core.space",
    "Int": "ohgw.core.space",
    "ModuleTask": "ohgw.tasks.module",
    "OHGWError": "ohgw.core.errors",
    "Space": "ohgw.core.space",
    "Tuned": "ohgw.api",
    "WarmStart": "ohgw.warmstart.starter",
    "WarmStarter": "ohgw.warmstart.starter",
    "compare": "ohgw.api",
    "tune": "ohgw.api",
    "warm_start": "ohgw.api",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
