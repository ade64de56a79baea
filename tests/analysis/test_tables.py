"""Tables as CSV and LaTeX."""

import csv
import io
import math
import re
from pathlib import Path
from typing import Any

import pytest

from ohgw.analysis.across import summarise_study
from ohgw.analysis.across.tables import study_tables
from ohgw.analysis.tables import Column, Table, escaped, write_tables
from ohgw.core.errors import StorageError
from ohgw.core.layout import Memory, Sweep

Row = tuple[str, str, float]


def table(*rows: Row) -> Table[Row]:
    return Table(
        "small",
        "All of it & more.",
        (
            Column("task", lambda r: r[0], "task", right=False),
            Column("arm", lambda r: r[1], "arm", right=False),
            Column("change", lambda r: r[2], "change", lambda r: f"{r[2]:.1f} %"),
            Column("half", lambda r: r[2] / 2),
        ),
        rows,
    )


def test_csv_has_every_number_in_full() -> None:
    third = 1 / 3
    text = table(("a", "x,y", third), ("a", "z", math.inf), ("b", "z", math.nan)).csv()
    assert text.splitlines()[0] == "task,arm,change,half"
    rows = list(csv.DictReader(io.StringIO(text)))
    assert float(rows[0]["change"]) == third and rows[0]["arm"] == "x,y"
    assert rows[1]["change"] == "inf" and rows[2]["change"] == ""


def test_latex_leaves_out_what_repeats_but_never_a_number() -> None:
    lines = table(("a", "x", 1.0), ("a", "x", 1.0), ("a", "y", 2.0), ("b", "y", 2.0)).latex()
    body = re.findall(r"^    (.*) \\\\$", lines, re.M)
    assert body == [
        "task & arm & change",
        r"a & x & 1.0 \%",
        r" & x & 1.0 \%",
        r" & y & 2.0 \%",
        r"b & y & 2.0 \%",
    ]
    assert r"\caption{All of it \& more.}" in lines and r"\begin{tabular}{llr}" in lines
    rules = (r"\toprule", r"\midrule", r"\bottomrule")
    assert [lines.count(rule) for rule in rules] == [1, 1, 1]


def test_text_is_escaped() -> None:
    assert escaped("a_b & 5 % of T@τ ≤ −∞") == (r"a\_b \& 5 \% of T@$\tau$ $\leq$ $-$$\infty$")
    assert escaped("{x}^2 \\ $") == r"\{x\}\textasciicircum{}2 \textbackslash{} \$"


@pytest.fixture
def tables(small: Any) -> dict[str, Table[Any]]:
    times = {"vanilla/plain": [20.0 + k for k in range(8)], "a/plain": [10.0 + k for k in range(8)]}
    memory = Memory(step_bytes=100, arms={"vanilla/plain": 0, "a/plain": 90})
    cells = [
        small.cell(
            f"scaling.x_y.asha.w{w}",
            times,
            workers=w,
            memory=memory,
            sweep=Sweep(name="workers", value=w),
            test={label: [0.5] * 8 for label in times},
        )
        for w in (1, 8, 16, 64)
    ]
    absent = cells[0].model_copy(update={"id": "scaling.gone.asha.w1"})
    return {t.name: t for t in study_tables(summarise_study(small.study(*cells, absent)))}


def test_a_study_has_all_its_tables(tables: dict[str, Table[Any]], tmp_path: Path) -> None:
    assert {name: len(t.rows) for name, t in tables.items()} == {
        "verdict": 1,
        "tuples": 5,
        "effects": 12,
        "arms": 24,
        "costs": 5,
        "arm_costs": 8,
        "shifts": 12,
        "profiles": 6,
        "sensitivity": 2,
    }
    written = write_tables(list(tables.values()), tmp_path / "tables")
    assert {p.name for p in written} == {f"{n}.{s}" for n in tables for s in ("csv", "tex")}


def test_every_row_has_a_value_for_every_heading(tables: dict[str, Table[Any]]) -> None:
    for found in tables.values():
        rows = list(csv.reader(io.StringIO(found.csv())))
        assert {len(row) for row in rows} == {len(rows[0])} and len(set(rows[0])) == len(rows[0])
        tex = found.latex()
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", tex)
        assert columns is not None
        body = [line for line in tex.splitlines() if line.endswith(r" \\")]
        assert len(body) > 1
        for line in body:
            cells = re.split(r"(?<!\\)&", line)
            assert len(cells) == len(columns[1]), (found.name, line)
        assert "nan" not in tex and "None" not in tex and "τ" not in tex


def test_numbers_of_the_tables_are_those_of_the_summary(tables: dict[str, Table[Any]]) -> None:
    effects = list(csv.DictReader(io.StringIO(tables["effects"].csv())))
    assert {row["target"] for row in effects} == {"budget_25", "budget_50", "reach_90"}
    ratios = sorted((10 + k) / (20 + k) for k in range(8))
    at = next(row for row in effects if row["target"] == "reach_90")
    assert float(at["change"]) == pytest.approx((ratios[3] + ratios[4]) / 2 - 1)
    assert at["task"] == "x_y" and float(at["p_bonferroni"]) == pytest.approx(4 * 2 / 2**8)
    printed = tables["effects"].latex()
    assert r"x\_y & asha & 1 & a/plain & vanilla/plain & 8 & $-$43~\%" in printed
    assert printed.count("vanilla/plain") == 4  # the primary target alone is printed
    tuples = list(csv.DictReader(io.StringIO(tables["tuples"].csv())))
    assert [row["met"] for row in tuples] == ["true"] * 4 + [""]
    assert tuples[0]["extra_memory"] == "0.0" and tuples[0]["extra_memory_met"] == "true"


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("a file", encoding="utf-8")
    with pytest.raises(StorageError, match="tables: a table cannot be written"):
        write_tables([table(("a", "b", 1.0))], tmp_path / "tables")
