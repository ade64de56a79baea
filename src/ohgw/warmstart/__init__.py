"""Methods: what happens to a configuration between the scheduler's proposal and its first rung.

A method is one file or a setting of one, and one line in `METHODS`. Options follow the name after
colons: `ohgw:eta=0.01:steps=4`.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.warmstart.method import Method
from ohgw.warmstart.moves import Move
from ohgw.warmstart.screen import Screen

DEFAULT_METHOD = "screen"

METHODS: dict[str, Callable[..., Method]] = {
    "vanilla": Method,
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
    name, *settings = spec.split(":")
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    factory = METHODS[name]
    known = [
        parameter.name
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    options: dict[str, Any] = {}
    for setting in settings:
        option, equals, value = setting.partition("=")
        if not equals:
            raise SettingError(f"{setting!r} in method {spec!r} must read option=value.")
        if option not in known:
            raise UnknownNameError(f"option of method {name!r}", option, known)
        options[option] = _parse(value)
    return factory(**options)


def _parse(text: str) -> Any:
    """A number, a truth value or a word; YAML alone would read 1e-3 as a word."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
