"""Local stand-ins for what a sandbox cannot reach: caches of data sets and of model hubs.

A folder holds them by kind; each entry is shown read-only at a place of its own, where the library
finds it offline. Locks may be made beside the entries, and are gone afterwards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ohgw.core.errors import SettingError

PLACE = "/review/standins"
# By folder: the variable that its library reads, and at which depth the entries are that it only
# reads (models--a--b of huggingface/hub, beside which locks are made).
_KINDS = {
    "huggingface": ("HF_HOME", 2),
    "torch": ("TORCH_HOME", 1),
    "data": ("SCIKIT_LEARN_DATA", 1),
}


@dataclass(frozen=True)
class StandIns:
    """What is shown, and how it is found."""

    binds: Sequence[tuple[str, str]] = ()  # (source, target)
    environment: Mapping[str, str] = field(default_factory=dict)
    named: str = ""  # in the report: '' for none

    @property
    def suffix(self) -> str:
        return f", with stand-ins {self.named}" if self.named else ""


def stand_ins(folder: str | None) -> StandIns:
    """Of a folder. Raises `SettingError` where it is none, or holds nothing of a known kind."""
    if folder is None:
        return StandIns()
    kinds = [kind for kind in _KINDS if Path(folder, kind).is_dir()]
    if not kinds:
        known = ", ".join(_KINDS)
        raise SettingError(
            f"--stand-in {folder!r} has none of the folders that are known: {known}."
        )
    binds, environment = [], {}
    for kind in kinds:
        variable, depth = _KINDS[kind]
        environment[variable] = f"{PLACE}/{kind}"
        for entry in _entries(Path(folder, kind).resolve(), depth):
            shown = entry.relative_to(Path(folder, kind).resolve()).as_posix()
            binds.append((str(entry), f"{PLACE}/{kind}/{shown}"))
    return StandIns(binds, environment, f"from {folder}: {', '.join(kinds)}")


def _entries(folder: Path, depth: int) -> list[Path]:
    """In order; below folders of the first level where that is asked for."""
    found = []
    for entry in sorted(folder.iterdir()):
        if depth > 1 and entry.is_dir():
            found += _entries(entry, depth - 1)
        elif entry.exists():  # no dangling link
            found.append(entry)
    return found
