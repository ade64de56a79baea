"""The report of a whole study: `OUT/report/` with one page, every number, tables and figures.

    report.html     self-contained, no scripts, nothing loaded from elsewhere
    summary.json    strict JSON; infinities are "inf" and "-inf", NaN is null
    tables/         each table as CSV and as LaTeX
    figures/        each figure as PDF (embedded fonts) and PNG
    report.ipynb    the same analysis as an executed notebook, on request

A study that was stopped is reported as far as it went, and the page says what is missing.
"""

import gc
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from ohgw.analysis import study_wording
from ohgw.analysis.across.cell import PRIMARY, See
from ohgw.analysis.across.results import StudySummary, TupleVerdict
from ohgw.analysis.across.summary import summarise_study
from ohgw.analysis.across.tables import study_tables
from ohgw.analysis.figures import across, probes, timeline, verdict
from ohgw.analysis.figures.numbers import Shown, compared_reports
from ohgw.analysis.figures.overview import overview
from ohgw.analysis.notebook import NOTEBOOK_NAME, needed, write_notebook
from ohgw.analysis.pages import (
    FIGURES_NAME,
    REPORT_NAME,
    SUMMARY_NAME,
    Drawing,
    Picture,
    bound,
    json_text,
    render,
    write,
)
from ohgw.analysis.probes import arrows, benefits
from ohgw.analysis.results import Summary
from ohgw.analysis.style import Look, shared_looks
from ohgw.analysis.summary import Searches
from ohgw.analysis.tables import write_tables
from ohgw.analysis.totals import totals
from ohgw.core.layout import REPORT, Cell, StudyRecord, read_study
from ohgw.core.records import Header, Report
from ohgw.core.space import Space

TABLES = "tables"
PANELS = 4  # arms of a cell in a figure of probes
TASKS, SCHEDULERS = 3, 6  # whose probes, and whose timelines, are drawn


def write_study_report(
    directory: Path | str,
    *,
    notebook: bool = False,
    command: str | None = None,
    see: See | None = None,
) -> StudySummary:
    """Analyse the study in `directory` and write its report; see the module for what that is.

    `command` is printed as the way to run the study again; `see` is shown each cell's searches, as
    by `summarise_study`. Raises `RecordError` where there is no
    study or a record is broken, `StorageError` where the report cannot be written, and, with
    `notebook`, `MissingExtraError` where the extra is not installed.
    """
    if notebook:
        needed()  # before a minute of work, not after
    record = read_study(directory)
    seen = Seen(record)
    with _uncollected():
        summary = summarise_study(record, seen.look if see is None else _both(seen.look, see))
    out = record.path / REPORT
    tables = study_tables(summary)
    found = totals(record, summary)
    write(out / SUMMARY_NAME, json_text(summary.as_json() | {"totals": found.as_json()}))
    write_tables(tables, out / TABLES)
    gallery = drawn(summary, seen)
    page = render(
        "study.html",
        summary=summary,
        study=study_wording,
        criterion_names=criterion_names,
        limits={c.name: c.limit for t in summary.tuples for c in t.criteria},
        anchor=file_name,
        by_cell=by_cell(summary),
        tables={table.name: table for table in tables},
        gallery=gallery.saved(out),
        totals=found,
        command=command or rerun(record),
        notebook=NOTEBOOK_NAME if notebook else None,
    )
    write(out / REPORT_NAME, page)
    if notebook:
        write_notebook(out, summary)
    return summary


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the cycle collector, which would walk all rows read so far, again and again.

    Rows are in no cycle: they go when nobody refers to them any more.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _both(first: See, second: See) -> See:
    def see(cell: Cell, searches: Searches, summary: Summary) -> None:
        first(cell, searches, summary)
        second(cell, searches, summary)

    return see


def criterion_names(summary: StudySummary) -> list[str]:
    """The success criteria, in the order in which they are judged."""
    return list(dict.fromkeys(c.name for found in summary.tuples for c in found.criteria))


def by_cell(summary: StudySummary) -> dict[str, list[TupleVerdict]]:
    """The judged tuples under their cells, in the plan's order."""
    found: dict[str, list[TupleVerdict]] = {}
    for one in summary.tuples:
        found.setdefault(one.cell, []).append(one)
    return found


def rerun(record: StudyRecord) -> str:
    """The command that plans this study."""
    return shlex.join(["ohgw", "study", record.plan.name, *record.plan.overrides])


@dataclass(frozen=True, slots=True)
class Gallery:
    """The figures of a study by their place in its report; `cells` by the cell's id."""

    verdict: Iterable[Drawing]
    effects: Iterable[Drawing]
    profiles: Iterable[Drawing]
    sensitivity: Iterable[Drawing]
    cells: Mapping[str, Drawing]
    diagnostics: Iterable[Drawing]

    def saved(self, out: Path) -> "Saved":
        """Every figure under `out`/figures, one PDF for each place, and as it goes on a page.

        Figures of an earlier report go: of a study that grew, some would stay as they were.
        """
        for suffix in ("png", "pdf"):
            for stale in (out / FIGURES_NAME).glob(f"*.{suffix}"):
                stale.unlink(missing_ok=True)
        return Saved(
            verdict=bound(out, self.verdict, "verdict"),
            effects=bound(out, self.effects, "forest"),
            profiles=bound(out, self.profiles, "profiles"),
            sensitivity=bound(out, self.sensitivity, "sensitivity"),
            cells={
                picture.title: [picture] for picture in bound(out, self.cells.values(), "cells")
            },
            diagnostics=bound(out, self.diagnostics, "diagnostics"),
        )


@dataclass(frozen=True, slots=True)
class Saved:
    """As `Gallery`, once written."""

    verdict: list[Picture]
    effects: list[Picture]
    profiles: list[Picture]
    sensitivity: list[Picture]
    cells: Mapping[str, list[Picture]]
    diagnostics: list[Picture]


def drawn(summary: StudySummary, seen: "Seen") -> Gallery:
    """Draw what is over the cells, and put it beside what was drawn of each."""
    pages = verdict.paged(summary.tuples)
    main = [p for p in summary.profiles if p.primary and (len(p.cells) > 1 or p.block is None)]
    return Gallery(
        verdict=_numbered("verdict", "Verdict", _VERDICT, [verdict.matrix(page) for page in pages]),
        effects=_numbered(
            "forest",
            "Paired changes",
            _FOREST,
            [verdict.forest(page, seen.style) for page in pages],
        ),
        profiles=[
            Drawing(
                "profiles", "Performance profiles", _PROFILES, across.profiles(main, seen.style)
            )
        ],
        sensitivity=_sensitivities(summary),
        cells=seen.cells,
        diagnostics=seen.diagnostics(),
    )


_VERDICT = (
    "Rows are tuples, columns the success criteria, with their numbers: dark where met, pale where "
    "not met, white where it cannot be told. T@τ: change of time to target; valid., test: gain of "
    "the final score; cost: probe work / all work; mem.: extra peak bytes; s.d.: deviation of "
    "T@τ over the reference's."
)
_FOREST = (
    "Median over paired seeds of T@τ arm / T@τ reference at the verdict's target, with its 95 % "
    "bootstrap interval; p is Holm's over the family of the study. Ends beyond the axis are drawn "
    "at its edge."
)
_PROFILES = (
    "Share of workloads (cells) in which an arm reaches the target within a factor of the best "
    "arm's median time. Further up and further left is better; a profile describes the arms that "
    "it shows, and tests nothing."
)
_SENSITIVITY = (
    "Median paired effects with 95 % bootstrap intervals (dots), their smoothing spline with its "
    "bootstrap band, the spline's optimum (dashed) and the region that is about as good (green). "
    "Left: change of T@τ, less is better. Right: gain of the final validation score, more is "
    "better. Grey panels have too few settings or seeds for a curve."
)


def _numbered(
    name: str, title: str, caption: str, figures: Iterable[Figure | None]
) -> list[Drawing]:
    several = list(figures)
    names = [name] if len(several) == 1 else [f"{name}_{k}" for k in range(1, len(several) + 1)]
    return [
        Drawing(
            one,
            title if len(several) == 1 else f"{title}, {k} of {len(several)}",
            caption if k == 1 else "Continued.",
            figure,
        )
        for k, (one, figure) in enumerate(zip(names, several, strict=True), start=1)
    ]


def _sensitivities(summary: StudySummary) -> list[Drawing]:
    places = dict.fromkeys(
        (s.block, s.setting, s.task, s.scheduler, s.workers) for s in summary.sensitivities
    )
    found = []
    for number, place in enumerate(places, start=1):
        block, setting, task, scheduler, _ = place
        chosen = [
            s
            for s in summary.sensitivities
            if (s.block, s.setting, s.task, s.scheduler, s.workers) == place
        ]
        title = f"{setting}: {task} with {scheduler} (block {block})"
        found.append(
            Drawing(f"sensitivity_{number}", title, _SENSITIVITY, across.sensitivity(chosen))
        )
    return found


class Seen:
    """Sees the searches of every cell once, and keeps what is drawn of them."""

    def __init__(self, record: StudyRecord) -> None:
        self.style: dict[str, Look] = shared_looks(
            [[arm.label for arm in cell.planned.plan.arms] for cell in record.cells]
        )
        self.cells: dict[str, Drawing] = {}
        self.probes: list[Drawing] = []
        self.tasks: set[str] = set()
        self.legs: dict[str, list[timeline.Leg]] = {}
        self.workers: dict[str, int] = {}

    def look(self, cell: Cell, searches: Searches, summary: Summary) -> None:
        if not any(cost.searches for cost in summary.costs):
            return
        name, plan = cell.planned.id, cell.planned.plan
        figure = overview(Shown.of(searches, summary), summary, PRIMARY, self.style)
        caption = (
            "Best score: median over seeds with the band between the quartiles; dashed lines are "
            "the targets. T@τ: one dot per search, median and quartiles, misses counted at the "
            "right. Paired changes: one dot per seed, the median and its 95 % interval; in the "
            "grey edges only one of the two reached the target; Holm's p is over this cell alone. "
            "Survival: trials per search that were trained to a resource or beyond."
        )
        self.cells[name] = Drawing(f"cell_{file_name(name)}", name, caption, figure)
        reports = compared_reports(searches)
        task = plan.task.split(":")[0]
        if task not in self.tasks and len(self.tasks) < TASKS:
            self._probes(name, task, searches.header, reports)
        first = plan.arms[0].label
        if plan.scheduler not in self.legs and len(self.legs) < SCHEDULERS:
            for seed in searches.seeds(first)[:1]:
                self.legs[plan.scheduler] = timeline.legs(
                    [r for r in reports if (r.search, r.seed) == (first, seed)],
                    searches.header.steps_per_epoch,
                    searches.finals[first, seed].trial,
                )
                self.workers[plan.scheduler] = plan.workers

    def _probes(self, cell: str, task: str, header: Header, reports: Sequence[Report]) -> None:
        """The probes of the first cell of a task that has any."""
        found, moved = benefits(header, reports), arrows(header, reports)
        if not moved:
            return
        self.tasks.add(task)
        name = file_name(task)
        self.probes += [
            Drawing(
                f"benefit_{name}",
                f"Size of the hypergradient against eventual benefit: {cell}",
                "Each trial beside its twin in vanilla: the same configuration on the same seed, "
                "not moved. Across: the norm of the hypergradient that the probe saw, in natural "
                "coordinates. Up: relative gain of the validation score at the highest resource "
                "that both were trained to; + is better. Shades: share of a column's trials, the "
                "outermost rows hold everything beyond; orange: medians. A rank correlation of 0 "
                "says that the probe knew nothing of the benefit.",
                probes.heat(found[:PANELS]),
            ),
            Drawing(
                f"arrows_{name}",
                f"Where configurations moved: {cell}",
                "From x (dot), as the scheduler asked, to x′ (tip), as it was trained, over the "
                "two hyperparameters that moved farthest in the unit cube.",
                probes.moved(moved[:PANELS], Space.from_dict(header.space or {}), self.style),
            ),
        ]

    def diagnostics(self) -> list[Drawing]:
        caption = (
            "One search of the first arm under each scheduler: a line is a trial, its bars are "
            "what it was trained for and when, darker the further; the star is the incumbent."
        )
        drawing = Drawing(
            "timeline",
            "What each scheduler did with its budget",
            caption,
            timeline.timeline(self.legs, self.workers),
        )
        return [*self.probes, drawing]


def file_name(text: str) -> str:
    """`text` as the name of a file, and as a place on a page."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in text)
