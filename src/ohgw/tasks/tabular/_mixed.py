"""Tasks that can also be searched over some of their options: `space=mixed`."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from ohgw.core.errors import SettingError, SpaceError, UnknownNameError
from ohgw.core.space import Categorical, Space
from ohgw.core.spec import spec_options
from ohgw.tasks._common import ClassificationTask

CONTINUOUS, MIXED = "continuous", "mixed"


class MixableTask(ClassificationTask):
    """Base of a task whose options in `choices` become hyperparameters under `space=mixed`.

    Then it is a `core.protocols.MixedTask`, and the options as given are its defaults. Under
    `space=continuous` they are options alone: that is the same task with them frozen.

    A subclass keeps each of these options in an attribute of its name, and calls `_mix` with the
    option `space` once all are set.
    """

    choices: ClassVar[Mapping[str, Categorical]]

    def _mix(self, space: str) -> None:
        """Raises `UnknownNameError` for the space, `SettingError` for a default outside it."""
        if space not in (CONTINUOUS, MIXED):
            raise UnknownNameError(f"space of task {self.name!r}", space, (CONTINUOUS, MIXED))
        self._options["space"] = space
        self._variants: dict[tuple[Any, ...], Self] = {}
        if space == CONTINUOUS:
            return
        for name, domain in self.choices.items():
            try:
                domain.validate(getattr(self, name))
            except SpaceError as error:
                raise SettingError(
                    f"{name} of task {self.name!r} under space=mixed: {error} It is the default "
                    "among the values that are searched."
                ) from None
        self.space = Space({**type(self).space, **self.choices})

    @property
    def defaults(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.space.discrete}

    def variant(self, values: Mapping[str, Any]) -> Self:
        key = tuple(values[name] for name in self.space.discrete)
        if key not in self._variants:
            options = {**self._options, **values, "space": CONTINUOUS}
            made = type(self)(self.device, self.dtype, **options)
            usual = spec_options(type(self))
            stated = [f"{k}={value}" for k, value in options.items() if value != usual[k]]
            made.name = ":".join([type(self).name, *stated])
            made.data = self.data
            self._variants[key] = made
        return self._variants[key]
