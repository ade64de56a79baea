"""The exception tree. Every error that a user can cause derives from `OHGWError`.

OHGWError
├── SpaceError                 a search space, or a configuration against its space, is wrong
├── UnknownNameError           a task, method, scheduler, recipe, engine or option is unknown
├── SettingError               a setting cannot work: a budget of zero, no workers ...
├── MissingExtraError          a feature needs a library that an extra of this package brings
├── HypergradError
│   └── InvisibleHyperparameterError   an estimator cannot see a hyperparameter it was asked about
├── DivergedError              every trial of a search diverged
├── RecordError                a record is corrupted, half-written, or of another schema
├── PlanMismatchError          a store was written by a different plan
├── StorageError               a directory cannot be created, read or written
│   └── HeldError              another process writes there
├── DataError                  a task's data are not there, or not what they should be
├── WorkerError                a process of a study ended before its work did
├── NotReadyError              experiment code was reviewed and is not ready for a full run
└── Interrupted                a run was stopped and can be resumed

A message names the value (`!r`), the place and the remedy. The command line prints it in one
panel and exits with status 2; it never prints a traceback for an `OHGWError`.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class OHGWError(Exception):
    """Base of all errors that this package raises on purpose."""


class SpaceError(OHGWError, ValueError):
    """A search space is malformed, or a configuration does not belong to it."""


class UnknownNameError(OHGWError, LookupError):
    """A name is not in the table it was looked up in."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known) or 'none'}.")
        self.kind, self.name, self.known = kind, name, known

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, self.name, self.known)  # as it travels between processes


class SettingError(OHGWError, ValueError):
    """A setting has a value that cannot work."""


class MissingExtraError(OHGWError):
    """A feature needs a library that an extra of this package brings."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra: pip install 'ohgw[{extra}]'.")
        self.feature, self.extra = feature, extra

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.feature, self.extra)


class HypergradError(OHGWError):
    """A hypergradient cannot be computed as asked."""


class InvisibleHyperparameterError(HypergradError):
    """An estimator was asked about a hyperparameter whose effect it cannot see."""


class DivergedError(OHGWError):
    """Every trial of a search produced a non-finite score."""


class RecordError(OHGWError):
    """A record cannot be read: corrupted, half-written, or of another schema."""


class PlanMismatchError(OHGWError):
    """A results directory was written by a different plan."""


class StorageError(OHGWError, OSError):
    """A directory or file cannot be created, read or written."""


class HeldError(StorageError):
    """Another process is writing to a directory."""


class WorkerError(OHGWError):
    """A process of a study ended before its work did."""


class DataError(OHGWError, OSError):
    """The data of a task cannot be had, or are not what they should be."""


class NotReadyError(OHGWError):
    """Experiment code was reviewed and is not ready for a full run."""


class Interrupted(OHGWError):
    """The user stopped a run; everything computed is on disk."""

    def __init__(self, directory: Path) -> None:
        super().__init__(f"Stopped. Everything computed so far is kept in {directory}.")
        self.directory = directory

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.directory,)
