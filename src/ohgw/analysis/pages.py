"""What reports share: pictures, the template engine, strict JSON, files that can be written.

All text that came from a user is escaped by the template engine.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from ohgw.analysis import wording
from ohgw.analysis.results import jsonable
from ohgw.analysis.statistics import quantile
from ohgw.analysis.style import save, styled
from ohgw.analysis.tables import Table
from ohgw.analysis.time_to_target import LABELS, RULES
from ohgw.core.errors import StorageError

REPORT_NAME, SUMMARY_NAME, TABLE_NAME, FIGURES_NAME = (
    "report.html",
    "summary.json",
    "table.csv",
    "figures",
)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure before it is saved, None where the record holds nothing to draw."""

    name: str  # of its files, and its place on the page
    title: str
    caption: str
    figure: Figure | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure on a page: `uri` holds all of it."""

    name: str
    title: str
    caption: str
    uri: str
    file: str  # the PDF that has it


def pictures(directory: Path, drawings: Iterable[Drawing]) -> list[Picture]:
    """Save what was drawn under `directory`/figures, each in a PDF of its own."""
    folder, found = directory / FIGURES_NAME, []
    for drawing in drawings:
        if drawing.figure is not None:
            uri = save(drawing.figure, folder, drawing.name)
            file = f"{drawing.name}.pdf"
            found.append(Picture(drawing.name, drawing.title, drawing.caption, uri, file))
    return found


def bound(directory: Path, drawings: Iterable[Drawing], name: str) -> list[Picture]:
    """Save what was drawn under `directory`/figures, the PDFs as pages of NAME.pdf.

    For reports of many figures: fonts are embedded once, and the page shows the PNGs.
    """
    folder, found = directory / FIGURES_NAME, list[Picture]()
    shown = [(drawing, drawing.figure) for drawing in drawings if drawing.figure is not None]
    if not shown:
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with styled(), PdfPages(folder / f"{name}.pdf", metadata={"CreationDate": None}) as book:
            for number, (drawing, figure) in enumerate(shown, start=1):
                uri = save(figure, folder, drawing.name, book=book)
                file = f"{name}.pdf" + (f", page {number}" if len(shown) > 1 else "")
                found.append(Picture(drawing.name, drawing.title, drawing.caption, uri, file))
    except OSError as error:
        raise StorageError(
            f"{folder / name}.pdf: cannot be written ({error.strerror}). "
            "Check the directory's permissions and the free space."
        ) from error
    return found


def printed(table: Table[Any], cell: str | None = None) -> list[Any]:
    """The rows of a study's table that one prints; of one cell where its id is given."""
    rows = [row for row in table.rows if table.printed is None or table.printed(row)]
    return rows if cell is None else [row for row in rows if row.cell.id == cell]


def render(template: str, **values: Any) -> str:
    """The page; names of `values` are the template's."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        printed=printed,
        words=wording,
        labels=LABELS,
        rules=RULES,
        quantile=quantile,
        figures_name=FIGURES_NAME,
    )
    return environment.get_template(template).render(**values)


def json_text(value: Any) -> str:
    """`value` as a strict JSON document for reading."""
    return json.dumps(jsonable(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def write(path: Path, text: str) -> None:
    """Write a file of a report. Raises `StorageError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}). "
            "Check the directory's permissions and the free space."
        ) from error
