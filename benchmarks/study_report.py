"""What the report of a large study takes: seconds and memory, from the record to the page.

    python benchmarks/study_report.py [DIR] [--seeds N] [--reports N] [--json]

Analyses the study in DIR, or one that `_synthetic_study.py` makes up: by default 1,000 searches of
about 100 reports in ten cells. The report is written by a process of its own, as `ohgw report DIR`
does it, loading of libraries included; its peak memory is what the operating system says (Unix).
Seconds are those of a clock on the wall; CPU seconds stand beside them, because a busy machine
lengthens the first more than the second.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from _synthetic_study import write_study
from rich.console import Console

from ohgw.analysis.across import summarise_study
from ohgw.core.layout import REPORT

SECONDS, MIB = 20.0, 1024.0  # what 1,000 searches may take
CODE = "import sys; from ohgw.cli import main; sys.argv = ['ohgw', *sys.argv[1:]]; main()"


@dataclass(frozen=True)
class Taken:
    """One report; memory in MiB."""

    cells: int
    searches: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    figures: int
    page_mib: float


def measure(directory: Path) -> Taken:
    """Write the report of the study in `directory`, in a new process on one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CODE, "report", str(directory), "--quiet"]
    begin = time.perf_counter()
    child = os.spawnve(os.P_NOWAIT, sys.executable, command, environment)
    _, status, used = os.wait4(child, 0)
    seconds = time.perf_counter() - begin
    if status:
        raise SystemExit(f"ohgw report {directory} ended with status {status}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    summary = summarise_study(directory)
    out = directory / REPORT
    return Taken(
        cells=len(summary.cells),
        searches=sum(cell.searches for cell in summary.cells),
        seconds=seconds,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_mib=used.ru_maxrss * unit / 2**20,
        figures=len(list((out / "figures").glob("*.png"))),
        page_mib=(out / "report.html").stat().st_size / 2**20,
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Time and memory of a study's report.")
    parser.add_argument("directory", type=Path, nargs="?", help="a study; made up where not given")
    parser.add_argument("--seeds", type=int, default=20, help="of the made-up study")
    parser.add_argument("--reports", type=int, default=100, help="of each made-up search")
    parser.add_argument("--json", action="store_true", help="one object on standard output")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        directory = given.directory or write_study(
            Path(scratch) / "study", seeds=given.seeds, reports=given.reports
        )
        taken = measure(directory)
    if given.json:
        print(json.dumps(asdict(taken)))
        return
    Console().print(
        f"{taken.searches:,} searches in {taken.cells} cells: {taken.seconds:.1f} s "
        f"({taken.cpu_seconds:.1f} s of CPU), peak {taken.peak_mib:,.0f} MiB; {taken.figures} "
        f"figures, a page of {taken.page_mib:.1f} MiB.\n"
        f"For 1,000 searches at most {SECONDS:g} s and {MIB:,.0f} MiB are wanted.",
        highlight=False,
    )


if __name__ == "__main__":
    main()
