"""What a study cost in all, and what it ran on."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ohgw.analysis.across.results import StudySummary
from ohgw.analysis.results import jsonable
from ohgw.core.layout import Manifest, StudyRecord


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums and peaks over the complete cells; None where no driver or no cell tells."""

    cells: int  # complete
    planned: int
    searches: int  # that ended, calibration included, in all cells
    searches_planned: int
    flops: float  # of compared searches; NaN where not counted
    probe_share: float  # of the work of arms that probe
    seconds: float
    cpu_hours: float
    gpu_hours: float
    energy_joules: float | None
    peak_rss_bytes: int | None
    peak_cuda_bytes: int | None
    devices: tuple[str, ...]
    versions: dict[str, tuple[str, ...]]
    revisions: tuple[str, ...]
    first: str  # ISO 8601, UTC
    last: str

    def as_json(self) -> dict[str, Any]:
        result: dict[str, Any] = jsonable(asdict(self))
        return result


def totals(record: StudyRecord, summary: StudySummary) -> Totals:
    found = [cell.manifest for cell in record.cells if cell.manifest is not None]
    arms = [arm for cell in summary.cells for arm in cell.arms]
    work = sum(arm.work for arm in arms if arm.probe_work)
    started = sorted(m.started for m in found if m.started)
    versions: dict[str, dict[str, None]] = {}
    for manifest in found:
        for name, version in manifest.versions.items():
            versions.setdefault(name, {})[version] = None
    return Totals(
        cells=len(found),
        planned=len(record.cells),
        searches=sum(cell.searches for cell in summary.cells),
        searches_planned=sum(cell.planned for cell in summary.cells),
        flops=sum(arm.flops for arm in arms) if arms else math.nan,
        probe_share=sum(arm.probe_work for arm in arms) / work if work else 0.0,
        seconds=sum(m.seconds for m in found),
        cpu_hours=sum(m.cpu_seconds for m in found) / 3600,
        gpu_hours=sum(m.gpu_hours for m in found),
        energy_joules=_all(found, lambda m: m.energy_joules, sum),
        peak_rss_bytes=max((m.peak_rss_bytes for m in found), default=None),
        peak_cuda_bytes=max(
            (m.peak_cuda_bytes for m in found if m.peak_cuda_bytes is not None), default=None
        ),
        devices=tuple(dict.fromkeys(m.device for m in found)),
        versions={name: tuple(each) for name, each in versions.items()},
        revisions=tuple(dict.fromkeys(m.git or "unknown" for m in found)),
        first=started[0] if started else "",
        last=started[-1] if started else "",
    )


def _all(
    found: list[Manifest],
    value: Callable[[Manifest], float | None],
    combine: Callable[[list[float]], float],
) -> float | None:
    """None unless every cell has the number: a sum over some would look like the whole."""
    numbers = [x for x in map(value, found) if x is not None]
    return combine(numbers) if numbers and len(numbers) == len(found) else None
