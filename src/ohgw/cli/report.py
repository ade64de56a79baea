"""`ohgw report DIR`: the report of a study, a comparison or a search, from its record."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ohgw.analysis import wording
from ohgw.analysis.report import write_compare_report, write_tune_report
from ohgw.analysis.results import Summary
from ohgw.analysis.runs import write_cell_results
from ohgw.analysis.study_report import write_study_report
from ohgw.analysis.summary import Searches
from ohgw.cli import _options as options
from ohgw.core.errors import SettingError
from ohgw.core.layout import REPORT, STUDY_NAME, Cell
from ohgw.core.records import RECORDS_NAME, read_records

STATES = {True: ("met", "green"), False: ("not met", "red"), None: ("cannot tell", "dim")}


def command(
    directory: Annotated[Path, typer.Argument(help="What `ohgw study`, compare or tune wrote.")],
    notebook: Annotated[
        bool, typer.Option("--notebook", help="Also write a notebook of the analysis, executed.")
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write the report of a study, a comparison or a search from its record."""
    console = Console(quiet=quiet)
    if (directory / STUDY_NAME).exists():
        finish(directory, console, notebook=notebook, as_json=as_json)
        return
    if notebook:
        raise SettingError(f"--notebook is for studies; {directory} holds a single comparison.")
    header, _, finals = read_records(directory / RECORDS_NAME)
    single = len(header.plan.arms) == 1 and len(header.plan.seeds) == 1
    found: Any = write_tune_report(directory) if single else write_compare_report(directory)
    if as_json:
        typer.echo(json.dumps(found.as_json()))
        return
    if not single:
        from ohgw.cli.compare import show  # loads what trains, which a study's report needs not

        show(found, console)
    elif finals:
        console.print(f"{header.metric} {wording.number(finals[0].score, 4)}")
    console.print(f"Report: {directory / 'report.html'}", soft_wrap=True)


def finish(
    directory: Path,
    console: Console,
    *,
    notebook: bool = False,
    command: str | None = None,
    as_json: bool = False,
) -> None:
    """Write a study's report and its runs' results, and print the verdict or the comparison."""
    comparison: list[dict[str, Any]] = []

    def see(cell: Cell, searches: Searches, _: Summary) -> None:
        if cell.manifest is not None:
            rows = (searches.header, searches.reports, list(searches.finals.values()))
            comparison.extend(write_cell_results(directory, cell, rows))

    summary = write_study_report(directory, notebook=notebook, command=command, see=see)
    if as_json:
        typer.echo(json.dumps({"comparison": comparison, "directory": str(directory)}))
        return
    table = Table(box=box.SIMPLE_HEAD, title=summary.title, title_justify="left")
    for heading in ("arm", "against", "all criteria met", "verdict"):
        table.add_column(heading)
    for one in summary.verdicts:
        if one.block is None:
            unsure = f", {one.cannot_tell} cannot tell" if one.cannot_tell else ""
            word, style = STATES[one.holds]
            table.add_row(
                one.arm, one.reference, f"{one.met} of {one.tuples}{unsure}", Text(word, style)
            )
    console.print(table)
    console.print(
        "The success criteria must all hold in "
        f"{wording.percent(summary.verdicts[0].required, signed=False)} of the tuples of task, "
        "scheduler and workers."
        if summary.verdicts
        else "Nothing is compared."
    )
    for note in summary.notes:
        console.print(note, style="dim", markup=False)
    console.print(f"Report: {directory / REPORT / 'report.html'}", soft_wrap=True)
