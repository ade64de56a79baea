"""Search spaces: named domains, the unit cube, natural coordinates, sampling and text forms.

Three coordinate systems describe one configuration:

- the configuration itself, a dictionary from hyperparameter name to Python scalar;
- the unit cube, (d,): every domain mapped to [0, 1], its low end exactly at 0 and its high end
  exactly at 1. Schedulers and surrogates work here;
- natural coordinates, (c,), over the c continuous (`Float`) hyperparameters only: log10 of the
  value where the domain is logarithmic, the value itself otherwise. Hypergradients live here.

    space = Space({"learning_rate": Float(1e-4, 1.0, log=True), "layers": Int(1, 8)})
    configuration = space.sample(np.random.default_rng(0))
    psi = space.to_natural(configuration)
    moved = space.from_natural(psi - 0.5, configuration)  # half a decade down, clipped
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import yaml

from ohgw.core.domains import Categorical as Categorical
from ohgw.core.domains import Domain as Domain
from ohgw.core.domains import Float as Float
from ohgw.core.domains import Int as Int
from ohgw.core.domains import parse, plain
from ohgw.core.errors import SpaceError, UnknownNameError
from ohgw.core.trial import Configuration

Array: TypeAlias = npt.NDArray[np.float64]


class Space(Mapping[str, Domain]):
    """An ordered, immutable mapping from hyperparameter name to domain.

    Order matters: it decides which uniform number each hyperparameter receives from a generator,
    so two spaces are equal only where their orders are.
    """

    __slots__ = ("_domains",)

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        if not isinstance(domains, Mapping) or not domains:
            raise SpaceError(
                f"A space is a mapping with at least one hyperparameter, not {domains!r}."
            )
        for name, domain in domains.items():
            if not isinstance(name, str) or not name:
                raise SpaceError(f"Hyperparameter name {name!r} must be non-empty text.")
            if not isinstance(domain, Domain):
                raise SpaceError(
                    f"{name}: {domain!r} is not a domain; use Float, Int or Categorical."
                )
        self._domains = dict(domains)

    def __getitem__(self, name: str) -> Domain:
        return self._domains[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        return tuple(self.items()) == tuple(other.items())

    def __hash__(self) -> int:
        return hash(tuple(self.items()))

    def __repr__(self) -> str:
        return f"Space({self._domains!r})"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._domains)

    @property
    def d(self) -> int:
        """The number of hyperparameters."""
        return len(self._domains)

    @property
    def continuous(self) -> tuple[str, ...]:
        """Names of the `Float` hyperparameters, in order: the natural coordinates."""
        return tuple(name for name, domain in self.items() if isinstance(domain, Float))

    @property
    def discrete(self) -> tuple[str, ...]:
        """Names of the `Int` and `Categorical` hyperparameters, in order."""
        return tuple(name for name, domain in self.items() if not isinstance(domain, Float))

    def only(self, names: Iterable[str]) -> "Space":
        """The space of these hyperparameters, in this order; of none, a space with one point."""
        chosen = Space.__new__(Space)
        chosen._domains = {name: self._domains[name] for name in names}
        return chosen

    def validate(self, configuration: Mapping[str, Any]) -> None:
        """Raise `SpaceError` where a key is unknown or missing or a value outside its domain."""
        self._check_keys(configuration)
        for name, domain in self.items():
            _at(name, domain.validate, configuration[name])

    def clip(self, configuration: Mapping[str, Any]) -> Configuration:
        """The configuration with numbers moved to the nearest bound, as Python scalars.

        Infinite values go to their bound; NaN, and choices that do not exist, raise `SpaceError`.
        """
        self._check_keys(configuration)
        return {name: _at(name, domain.clip, configuration[name]) for name, domain in self.items()}

    def sample(self, rng: np.random.Generator) -> Configuration:
        """A uniform draw from the unit cube; consumes exactly d uniform numbers."""
        return self.from_unit(rng.random(self.d))

    def to_unit(self, configuration: Mapping[str, Any]) -> Array:
        """Unit-cube coordinates, (d,). Raises `SpaceError` for an invalid configuration."""
        self.validate(configuration)
        return np.array([domain.to_unit(configuration[name]) for name, domain in self.items()])

    def from_unit(self, u: npt.ArrayLike) -> Configuration:
        """The configuration at unit-cube coordinates `u`, (d,), clipped to the cube."""
        coordinates = _vector("u", u, self.names)
        return {
            name: domain.from_unit(coordinate)
            for (name, domain), coordinate in zip(self.items(), coordinates, strict=True)
        }

    def to_natural(self, configuration: Mapping[str, Any]) -> Array:
        """Natural coordinates (c,) of the continuous hyperparameters."""
        self.validate(configuration)
        return np.array([domain.natural(configuration[name]) for name, domain in self._floats()])

    def from_natural(self, psi: npt.ArrayLike, base: Mapping[str, Any]) -> Configuration:
        """`base` with its continuous values replaced by those at `psi`, (c,), clipped to bounds.

        Discrete values come from `base`. A coordinate that equals that of `base` keeps the value
        of `base` bit for bit, so that a move by zero is no move.
        """
        self.validate(base)
        coordinates = _vector("psi", psi, self.continuous)
        moved = self.clip(base)  # a valid value is not moved, but becomes a Python scalar
        for (name, domain), coordinate in zip(self._floats(), coordinates, strict=True):
            if coordinate != domain.natural(base[name]):
                moved[name] = domain.from_natural(coordinate)
        return moved

    @property
    def natural_bounds(self) -> tuple[Array, Array]:
        """Low and high natural coordinates of the continuous hyperparameters, (c,) each."""
        floats = [domain for _, domain in self._floats()]
        low = np.array([domain.natural(domain.low) for domain in floats])
        high = np.array([domain.natural(domain.high) for domain in floats])
        return low, high

    @property
    def unit_scale(self) -> Array:
        """Natural width of each continuous hyperparameter, (c,): unit step = step / width."""
        low, high = self.natural_bounds
        return high - low

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain data, in order: `{"momentum": {"type": "float", "low": 0.0, ...}, ...}`."""
        return {name: plain(domain) for name, domain in self.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Space":
        """Inverse of `to_dict`. Raises `SpaceError` naming the hyperparameter and the key."""
        if not isinstance(data, Mapping):
            raise SpaceError(
                f"A space is a mapping from hyperparameter name to domain, not {data!r}."
            )
        return cls({name: _at(name, parse, entry) for name, entry in data.items()})

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> "Space":
        """Inverse of `to_json`. Raises `SpaceError` for text that is not JSON or not a space."""
        try:
            data = json.loads(text, object_pairs_hook=_unique)
        except json.JSONDecodeError as error:
            raise SpaceError(f"The space is not valid JSON: {error}.") from None
        return cls.from_dict(data)

    def to_yaml(self) -> str:
        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False)
        return text

    @classmethod
    def from_yaml(cls, text: str) -> "Space":
        """Inverse of `to_yaml`. Raises `SpaceError` for text that is not YAML or not a space."""
        try:
            _refuse_repeats(yaml.compose(text, Loader=yaml.SafeLoader), depth=2)
            data = yaml.safe_load(text)
        except SpaceError:
            raise
        except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date
            raise SpaceError(f"The space is not valid YAML: {error}.") from None
        return cls.from_dict(data)

    def _floats(self) -> list[tuple[str, Float]]:
        return [(name, domain) for name, domain in self.items() if isinstance(domain, Float)]

    def _check_keys(self, configuration: Mapping[str, Any]) -> None:
        known = ", ".join(self.names)
        if not isinstance(configuration, Mapping):
            raise SpaceError(f"A configuration is a mapping with {known}, not {configuration!r}.")
        for name in configuration:
            if name not in self._domains:
                close = get_close_matches(str(name), self.names, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise SpaceError(f"Unknown hyperparameter {name!r}.{hint} Known: {known}.")
        for name in self:
            if name not in configuration:
                raise SpaceError(f"Hyperparameter {name!r} has no value. Needed: {known}.")


def _at(name: str, function: Callable[[Any], Any], value: Any) -> Any:
    """Call `function`, and put the hyperparameter's name in front of what it has to say."""
    try:
        return function(value)
    except SpaceError as error:
        raise SpaceError(f"{name}: {error}") from None


def _vector(what: str, values: npt.ArrayLike, names: tuple[str, ...]) -> list[float]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (len(names),):
        raise SpaceError(
            f"{what} has shape {array.shape}; give ({len(names)},), one number for each of "
            f"{', '.join(names) or 'no hyperparameters'}."
        )
    coordinates: list[float] = array.tolist()
    for name, coordinate in zip(names, coordinates, strict=True):
        if coordinate != coordinate:
            raise SpaceError(f"{name}: the coordinate in {what} is nan.")
    return coordinates


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise SpaceError(f"The key {key!r} appears twice; name it once.")
        data[key] = value
    return data


def _refuse_repeats(node: Any, depth: int) -> None:
    """PyYAML would silently keep the last of two equal keys."""
    if not isinstance(node, yaml.MappingNode) or depth == 0:
        return
    seen = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise SpaceError(f"The key {key.value!r} appears twice; name it once.")
            seen.add(key.value)
        _refuse_repeats(value, depth - 1)


SPACES: dict[str, Space] = {
    "exp-1": Space(
        {
            "learning_rate": Float(1e-4, 1.0, log=True),
            "weight_decay": Float(1e-6, 1e-2, log=True),
            "momentum": Float(0.0, 0.99),
            "augmentation": Float(0.0, 1.0),
            "label_smoothing": Float(0.0, 0.3),
        }
    ),
    "exp-2": Space(
        {
            "learning_rate": Float(1e-5, 1e-1, log=True),
            "weight_decay": Float(1e-4, 1.0, log=True),
            # Not from 0: Gaussian dropout's standard deviation sqrt(p / (1 - p)) has an infinite
            # slope at p = 0, and a hypergradient with respect to p inherits it.
            "attention_dropout": Float(0.01, 0.5),
            "residual_dropout": Float(0.01, 0.5),
            "label_smoothing": Float(0.0, 0.3),
            "warmup_scale": Float(0.1, 10.0, log=True),
        }
    ),
}


def get_space(name: str) -> Space:
    """A space of the table by name. Raises `UnknownNameError`."""
    try:
        return SPACES[name]
    except KeyError:
        raise UnknownNameError("space", name, SPACES) from None
