"""Methods: what happens to a configuration between the scheduler's proposal and its first rung.

A method is one file or a setting of one, and one line in `METHODS`. Options follow the name after
colons: `ohgw:eta=0.01:steps=4`.
"""

from collections.abc import Callable
from functools import partial

from ohgw.core.spec import read_spec
from ohgw.warmstart.guided import Guided
from ohgw.warmstart.method import Method
from ohgw.warmstart.moves import Move
from ohgw.warmstart.screen import Screen

DEFAULT_METHOD = "guided"

METHODS: dict[str, Callable[..., Method]] = {
    "vanilla": Method,
    "guided": Guided,
    "screen": Screen,
    "ohgw": partial(Move, "ohgw"),
    "random": partial(Move, "random", direction="random"),
    "null": partial(Move, "null", direction="null"),
    "ohgw-multistep": partial(Move, "ohgw-multistep", steps=4),
    "ohgw-masked": partial(Move, "ohgw-masked", only="learning_rate"),
    "ohgw-normalised": partial(Move, "ohgw-normalised", radius=0.1),
}


def make_method(spec: str) -> Method:
    """A fresh method from `name` or `name:option=value:...`.

    Raises `UnknownNameError` for the name or an option, `SettingError` for a value.
    """
    name, options = read_spec("method", spec, METHODS)
    return METHODS[name](**options)
