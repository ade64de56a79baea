"""Tables as CSV, with every number in full, and as LaTeX (booktabs), as one would print them."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ohgw.core.errors import StorageError

R = TypeVar("R")

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{NO-BREAK SPACE}": "~",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{INFINITY}": r"$\infty$",
    "\N{GREEK SMALL LETTER TAU}": r"$\tau$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{PRIME}": r"$'$",
}


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """A column of rows R: `value` for CSV under `name`; `text`, where printed, under `heading`.

    A column without `name` is only printed, one without `heading` only written to the CSV.
    """

    name: str | None
    value: Callable[[R], Any]
    heading: str | None = None
    text: Callable[[R], str] | None = None
    right: bool = True

    def printed(self, row: R) -> str:
        return self.text(row) if self.text else str(self.value(row))


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """Rows and their columns. `printed` picks the rows of the LaTeX form: all where None."""

    name: str
    caption: str
    columns: tuple[Column[R], ...]
    rows: tuple[R, ...]
    printed: Callable[[R], bool] | None = None

    def csv(self) -> str:
        """One line per row after the header; infinities as inf and -inf, NaN and None empty."""
        columns = [column for column in self.columns if column.name]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([column.name for column in columns])
        for row in self.rows:
            writer.writerow([_plain(column.value(row)) for column in columns])
        return buffer.getvalue()

    def latex(self) -> str:
        """A `table` environment for the package booktabs; repeated leading words are left out."""
        columns = [column for column in self.columns if column.heading is not None]
        rows = [row for row in self.rows if self.printed is None or self.printed(row)]
        texts = [[column.printed(row) for column in columns] for row in rows]
        lines = [
            r"\begin{table}",
            r"  \centering\footnotesize",
            rf"  \caption{{{escaped(self.caption)}}}",
            rf"  \label{{tab:{self.name}}}",
            rf"  \begin{{tabular}}{{{''.join('r' if c.right else 'l' for c in columns)}}}",
            r"    \toprule",
            f"    {_line([c.heading or '' for c in columns])}",
            r"    \midrule",
        ]
        words = len(_leading(columns))
        for k, text in enumerate(texts):
            lines.append(f"    {_line(_unrepeated(text, texts[k - 1] if k else [], words))}")
        return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def write_tables(tables: Sequence[Table[Any]], directory: Path) -> list[Path]:
    """Write every table that has rows as NAME.csv and NAME.tex. Raises `StorageError`."""
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for table in tables:
            for suffix, text in ((".csv", table.csv), (".tex", table.latex)):
                if table.rows:
                    path = directory / f"{table.name}{suffix}"
                    path.write_text(text(), encoding="utf-8")
                    written.append(path)
    except OSError as error:
        raise StorageError(
            f"{directory}: a table cannot be written ({error.strerror}). "
            "Check the directory's permissions and the free space."
        ) from error
    return written


def escaped(text: str) -> str:
    """Plain text as LaTeX."""
    return "".join(_LATEX.get(character, character) for character in text)


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def _line(texts: Sequence[str]) -> str:
    return " & ".join(escaped(text) for text in texts) + r" \\"


def _leading(columns: Sequence[Column[Any]]) -> list[Column[Any]]:
    """The words that say what a row is about, before its first number."""
    first = next((k for k, column in enumerate(columns) if column.right), len(columns))
    return list(columns[:first])


def _unrepeated(text: Sequence[str], above: Sequence[str], words: int) -> list[str]:
    """The row without those of its first words that stand in the same place one row up."""
    same = 0
    while same < min(words - 1, len(above)) and text[same] == above[same]:
        same += 1
    return [""] * same + list(text[same:])
