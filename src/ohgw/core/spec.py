"""What a user writes to name a plug-in and set its options: `name` or `name:option=value:...`.

A value `hf:NAME`, a data set of Hugging Face, keeps its colon.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from ohgw.core.errors import SettingError, UnknownNameError


def read_spec(
    kind: str,
    spec: str,
    table: Mapping[str, Callable[..., Any]],
    common: frozenset[str] = frozenset(),
) -> tuple[str, dict[str, Any]]:
    """The name and the options that `spec` gives, both checked against a table of factories.

    Raises `UnknownNameError` for the name or an option and `SettingError` for a
    setting that does not read option=value.
    """
    name, *settings = split_spec(spec)
    if name not in table:
        raise UnknownNameError(kind, name, table)
    known = spec_options(table[name], common)
    options: dict[str, Any] = {}
    for setting in settings:
        option, equals, value = setting.partition("=")
        if not equals:
            raise SettingError(f"{setting!r} in {kind} {spec!r} must read option=value.")
        if option not in known:
            raise UnknownNameError(f"option of {kind} {name!r}", option, known)
        if option in options:
            raise SettingError(f"{kind.capitalize()} {spec!r} sets {option} twice.")
        options[option] = _value(value)
    return name, options


def split_spec(spec: str) -> list[str]:
    """The name and each `option=value`, unchecked."""
    return re.split("(?<!=hf):", spec)


def spec_options(
    factory: Callable[..., Any], common: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Options that a user may set, with their defaults.

    They are the keyword-only parameters but the `common` ones, which the caller sets itself.
    """
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in common
    }


def _value(text: str) -> Any:
    """A number, a truth value or a word; YAML alone would read 1e-3 as a word."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
