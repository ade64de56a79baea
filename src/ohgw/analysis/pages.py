"""What reports share: pictures, the template engine, strict JSON, files that can be written.

All text that came from a user is escaped by the template engine.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
BOOK_NAME = "cells.pdf"


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


def pictures(
    directory: Path,
    drawings: Iterable[Drawing],
    *,
    vector: bool = True,
    book: PdfPages | None = None,
) -> list[Picture]:
    """Save what was drawn under `directory`/figures; PDFs as pages of a `book`, if one is given."""
    found = []
    for drawing in drawings:
        if drawing.figure is not None:
            folder = directory / FIGURES_NAME
            uri = save(drawing.figure, folder, drawing.name, vector=vector, book=book)
            file = f"{drawing.name}.pdf"
            if book is not None:
                file = f"{BOOK_NAME}, page {book.get_pagecount()}"
            found.append(Picture(drawing.name, drawing.title, drawing.caption, uri, file))
    return found


@contextmanager
def bound(directory: Path, name: str) -> Iterator[PdfPages]:
    """A PDF of many figures, `directory`/figures/NAME. Raises `StorageError`."""
    path = directory / FIGURES_NAME / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with styled(), PdfPages(path, metadata={"CreationDate": None}) as book:
            yield book
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}). "
            "Check the directory's permissions and the free space."
        ) from error


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
