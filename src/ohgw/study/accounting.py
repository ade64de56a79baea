"""What a run costs: seconds, processor time, memory and energy, summed over interruptions."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Costs:
    """Totals of one run so far. Peaks are of the process; energy is None where no driver tells."""

    wall: float = 0.0  # seconds
    cpu: float = 0.0  # seconds of all threads
    peak_rss: int = 0  # bytes
    peak_cuda: int | None = None  # bytes
    energy: float | None = None  # joules


@dataclass
class Account:
    """Measures a run from `start` on, beside what earlier sessions of it cost."""

    device: torch.device
    earlier: Costs = field(default_factory=Costs)

    def start(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()
        self._meter = _energy_meter(self.device)
        self._energy = self._meter() if self._meter else None
        _reset_peak_rss()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def costs(self) -> Costs:
        before, cuda, energy = self.earlier, None, None
        if self.device.type == "cuda":
            cuda = max(before.peak_cuda or 0, torch.cuda.max_memory_allocated(self.device))
        if self._meter is not None and self._energy is not None:
            energy = (before.energy or 0.0) + self._meter() - self._energy
        return Costs(
            wall=before.wall + time.monotonic() - self._wall,
            cpu=before.cpu + time.process_time() - self._cpu,
            peak_rss=max(before.peak_rss, _peak_rss()),
            peak_cuda=cuda,
            energy=energy,
        )


def git_revision() -> str | None:
    """Revision of the checkout this package runs from, "+" after it where files differ.

    None for an installed package, or without git.
    """

    def ask(*words: str) -> str:
        command = ["git", "-C", str(PACKAGE), *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        if not ask("ls-files", str(PACKAGE / "accounting.py")):
            return None  # the package lies in somebody else's repository
        return ask("rev-parse", "HEAD") + ("+" if ask("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _reset_peak_rss() -> None:
    # Linux counts the peak anew after this; elsewhere it is that of the process's whole life.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_rss() -> int:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _energy_meter(device: torch.device) -> Callable[[], float] | None:
    """Reads joules since some fixed moment, of the GPU in use or of the processor's packages."""
    if device.type == "cuda":
        return _nvml_meter(device)
    packages = [
        zone / "energy_uj"
        for zone in Path("/sys/class/powercap").glob("intel-rapl:*")
        if zone.name.count(":") == 1 and os.access(zone / "energy_uj", os.R_OK)
    ]
    if not packages:
        return None
    return lambda: sum(int(path.read_text()) for path in packages) / 1e6


def _nvml_meter(device: torch.device) -> Callable[[], float] | None:
    try:
        import pynvml  # comes with the driver's Python bindings, where those are installed
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(device.index or 0)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None
    return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
