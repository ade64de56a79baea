"""What reports share: pictures, the template engine, strict JSON, files that can be written.

All text that came from a user is escaped by the template engine.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from ohgw.analysis import wording
from ohgw.analysis.results import jsonable
from ohgw.analysis.statistics import quantile
from ohgw.analysis.style import save
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


def pictures(directory: Path, drawings: Iterable[Drawing], *, vector: bool = True) -> list[Picture]:
    """Save what was drawn under `directory`/figures, one at a time."""
    found = []
    for drawing in drawings:
        if drawing.figure is not None:
            uri = save(drawing.figure, directory / FIGURES_NAME, drawing.name, vector=vector)
            found.append(Picture(drawing.name, drawing.title, drawing.caption, uri))
    return found


def render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        words=wording, labels=LABELS, rules=RULES, quantile=quantile, figures_name=FIGURES_NAME
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
