"""`ohgw doctor`: versions, device, extras."""

import platform
from importlib.metadata import PackageNotFoundError, metadata, requires, version

import torch
from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table

from ohgw.engines.build import resolve_device
from ohgw.version import __version__


def command() -> None:
    """Show versions, the device that would be used, and which extras are installed."""
    device, reason = resolve_device("auto")
    table = Table("what", "found", show_header=False)
    table.add_row("ohgw", __version__)
    table.add_row("python", f"{platform.python_version()} ({platform.platform()})")
    table.add_row("device", f"{device} ({reason}); {torch.get_num_threads()} CPU threads")
    try:
        needs = [Requirement(text) for text in requires("ohgw") or []]
        extras = metadata("ohgw").get_all("Provides-Extra") or []
    except PackageNotFoundError:  # run from a source tree
        needs, extras = [], []
        table.add_row("dependencies", "not known: ohgw is not installed, only importable")
    for need in needs:
        if need.marker is None:
            table.add_row(need.name, _found(need))
    for extra in extras:
        wanted = [n for n in needs if n.marker is not None and n.marker.evaluate({"extra": extra})]
        missing = [need.name for need in wanted if _found(need) == ABSENT]
        state = "present" if not missing else f"absent ({', '.join(missing)})"
        table.add_row(f"extra {extra}", state)
    Console().print(table)


ABSENT = "absent"


def _found(need: Requirement) -> str:
    try:
        found = version(need.name)
    except PackageNotFoundError:
        return ABSENT
    fits = need.specifier.contains(found, prereleases=True)
    return found if fits else f"{found}, but {need.specifier} is needed"
