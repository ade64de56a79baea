"""Domains: the values that one hyperparameter may take, and their map to the unit interval.

A domain validates itself at construction, maps its low end exactly to 0 and its high end exactly
to 1, and gives back Python scalars. Discrete domains survive the way to the unit interval and
back without loss.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from ohgw.core.errors import SpaceError

# Every integer up to here survives the way through log10 and back in double precision.
_LARGEST_INT = 2**40


@dataclass(frozen=True, slots=True)
class Float:
    """Real numbers from `low` to `high`, both included; uniform in log10 where `log` is set."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", _real("low", self.low))
        object.__setattr__(self, "high", _real("high", self.high))
        _check_order(self.low, self.high, self.log)
        width = self.natural(self.high) - self.natural(self.low)
        if not 0.0 < width < math.inf:
            raise SpaceError(
                f"low {self.low!r} and high {self.high!r} are too "
                f"{'close together' if width == 0.0 else 'far apart'} for double precision."
            )

    def natural(self, value: float) -> float:
        """log10 of the value where the domain is logarithmic, the value otherwise."""
        return math.log10(value) if self.log else float(value)

    def from_natural(self, coordinate: float) -> float:
        """Inverse of `natural`, clipped to the bounds, which are met exactly."""
        if coordinate <= self.natural(self.low):
            return self.low
        if coordinate >= self.natural(self.high):
            return self.high
        value = 10.0**coordinate if self.log else float(coordinate)
        return min(max(value, self.low), self.high)  # the power may round past a bound

    def to_unit(self, value: float) -> float:
        low, high = self.natural(self.low), self.natural(self.high)
        return (self.natural(value) - low) / (high - low)

    def from_unit(self, u: float) -> float:
        if u >= 1.0:  # low + 1 * (high - low) may miss high by a rounding
            return self.high
        low, high = self.natural(self.low), self.natural(self.high)
        return self.from_natural(low + u * (high - low))

    def clip(self, value: Any) -> float:
        if not _is_real(value) or value != value:
            raise SpaceError(f"{value!r} cannot be clipped; give a number.")
        return float(min(max(value, self.low), self.high))

    def validate(self, value: Any) -> None:
        if not _is_real(value):
            raise SpaceError(f"{value!r} is not a number.{_yaml_hint(value)}")
        if not self.low <= value <= self.high:  # NaN fails both
            raise SpaceError(f"{value!r} is outside [{self.low!r}, {self.high!r}].")


@dataclass(frozen=True, slots=True)
class Int:
    """Whole numbers from `low` to `high`, both included.

    The unit interval is cut into one bin for each value, of equal width, or reaching from
    log10(value - 1/2) to log10(value + 1/2) where `log` is set. A value maps to the centre of its
    bin, except that `low` maps to 0 and `high` to 1.
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", _whole("low", self.low))
        object.__setattr__(self, "high", _whole("high", self.high))
        _check_order(self.low, self.high, self.log)

    def _edges(self) -> tuple[float, float]:
        low, high = self.low - 0.5, self.high + 0.5
        return (math.log10(low), math.log10(high)) if self.log else (low, high)

    def to_unit(self, value: int) -> float:
        if value == self.low:
            return 0.0
        if value == self.high:
            return 1.0
        low, high = self._edges()
        return ((math.log10(value) if self.log else value) - low) / (high - low)

    def from_unit(self, u: float) -> int:
        low, high = self._edges()
        position = low + min(max(u, 0.0), 1.0) * (high - low)
        value = math.floor((10.0**position if self.log else position) + 0.5)
        return min(max(value, self.low), self.high)

    def clip(self, value: Any) -> int:
        if not _is_whole(value):
            raise SpaceError(f"{value!r} cannot be clipped; give a whole number.")
        return min(max(int(value), self.low), self.high)

    def validate(self, value: Any) -> None:
        if not _is_whole(value):
            raise SpaceError(f"{value!r} is not a whole number.{_yaml_hint(value)}")
        if not self.low <= value <= self.high:
            raise SpaceError(f"{value!r} is outside [{self.low!r}, {self.high!r}].")


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of `choices`: text, whole numbers, finite numbers, booleans or None, without order.

    The unit interval is cut into one bin of equal width for each choice, in the order given.
    A choice maps to the centre of its bin, except that the first maps to 0 and the last to 1.
    """

    choices: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.choices, list | tuple):
            raise SpaceError(f"choices must be a list of values, not {self.choices!r}.")
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices:
            raise SpaceError("choices is empty; name at least one value.")
        for k, choice in enumerate(self.choices):
            # Exact types, so that JSON and YAML give back what was written.
            if type(choice) not in (str, int, float, bool, type(None)) or choice in (
                math.inf,
                -math.inf,
            ):
                raise SpaceError(
                    f"choice {choice!r} ({type(choice).__name__}) cannot be stored as text and "
                    "read back; use text, a finite number, a boolean or None."
                )
            if choice != choice:
                raise SpaceError("choice nan equals nothing, not even itself; leave it out.")
            if choice in self.choices[:k]:
                first = self.choices[self.choices.index(choice)]
                raise SpaceError(f"choice {choice!r} repeats {first!r}; name each value once.")

    def _index(self, value: Any) -> int:
        # `True == 1` in Python, and a configuration file that confuses them is wrong.
        for k, choice in enumerate(self.choices):
            if type(choice) is type(value) and choice == value:
                return k
        raise SpaceError(f"{value!r} is not one of {', '.join(map(repr, self.choices))}.")

    def to_unit(self, value: Any) -> float:
        k, n = self._index(value), len(self.choices)
        if k == 0:
            return 0.0
        return 1.0 if k == n - 1 else (k + 0.5) / n

    def from_unit(self, u: float) -> Any:
        n = len(self.choices)
        return self.choices[math.floor(min(max(u * n, 0.0), n - 1.0))]

    def clip(self, value: Any) -> Any:
        return self.choices[self._index(value)]

    def validate(self, value: Any) -> None:
        self._index(value)


Domain: TypeAlias = Float | Int | Categorical
_TYPES: dict[str, type[Float] | type[Int] | type[Categorical]] = {
    "float": Float,
    "int": Int,
    "categorical": Categorical,
}
_TYPE_NAMES = {domain: name for name, domain in _TYPES.items()}


def plain(domain: Domain) -> dict[str, Any]:
    """The domain as plain data: its type and its fields."""
    fields = asdict(domain)
    if isinstance(domain, Categorical):
        fields["choices"] = list(domain.choices)  # JSON and YAML know lists, not tuples
    return {"type": _TYPE_NAMES[type(domain)], **fields}


def parse(entry: Any) -> Domain:
    """Inverse of `plain`. Raises `SpaceError` naming the key that is unknown or missing."""
    if not isinstance(entry, Mapping):
        raise SpaceError(f"{entry!r} is not a domain; write its type, low and high.")
    if "type" not in entry:
        raise SpaceError(f"key 'type' is missing; use one of {', '.join(_TYPES)}.")
    kind = entry["type"]
    if not isinstance(kind, str) or kind not in _TYPES:
        raise SpaceError(f"type {kind!r} is unknown; use one of {', '.join(_TYPES)}.")
    required = {"choices"} if kind == "categorical" else {"low", "high"}
    allowed = {"type"} | required | (set() if kind == "categorical" else {"log"})
    for key in entry:
        if key not in allowed:
            raise SpaceError(
                f"key {key!r} is unknown for type {kind!r}; use {', '.join(sorted(allowed))}."
            )
    missing = sorted(required - set(entry))
    if missing:
        raise SpaceError(f"key {missing[0]!r} is missing for type {kind!r}.")
    return _TYPES[kind](**{key: value for key, value in entry.items() if key != "type"})


def _is_real(value: Any) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _real(key: str, value: Any) -> float:
    if not _is_real(value):
        raise SpaceError(f"{key} {value!r} is not a number.{_yaml_hint(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SpaceError(f"{key} {value!r} is not finite; bounds are finite numbers.")
    return number


def _whole(key: str, value: Any) -> int:
    if not _is_whole(value):
        raise SpaceError(f"{key} {value!r} is not a whole number.{_yaml_hint(value)}")
    if abs(int(value)) > _LARGEST_INT:
        raise SpaceError(f"{key} {value!r} is beyond +-2**40; use Float for such a range.")
    return int(value)


def _check_order(low: float, high: float, log: Any) -> None:
    if not isinstance(log, bool):
        raise SpaceError(f"log {log!r} is not true or false.")
    if low == high:
        raise SpaceError(
            f"low and high are both {low!r}; a hyperparameter that cannot vary is left out."
        )
    if low > high:
        raise SpaceError(f"low {low!r} is above high {high!r}; swap them.")
    if log and low <= 0:
        raise SpaceError(f"low {low!r} has no logarithm; raise it above 0 or drop log.")


def _yaml_hint(value: Any) -> str:
    """YAML 1.1 reads `1e-3` as text: a number with an exponent needs a point and a sign."""
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    mantissa, _, exponent = f"{number:e}".partition("e")
    mantissa = mantissa.rstrip("0")
    pointed = f"{mantissa}{'0' if mantissa.endswith('.') else ''}e{exponent[0]}{int(exponent[1:])}"
    plain = np.format_float_positional(number, trim="0")
    return f" It was read as text: in YAML, write {pointed} or {plain}."
