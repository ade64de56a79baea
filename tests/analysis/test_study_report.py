"""The report of a study: as a browser shows it, as files, as a notebook; whole and unfinished."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohgw.analysis import study_report
from ohgw.analysis.across import StudySummary
from ohgw.analysis.figures.timeline import legs
from ohgw.analysis.figures.verdict import FULL, paged
from ohgw.analysis.probes import arrows, benefits
from ohgw.analysis.study_report import write_study_report
from ohgw.core import layout
from ohgw.core.errors import MissingExtraError, RecordError, StorageError
from ohgw.core.records import RECORDS_NAME, Arm, Header, Plan, Report
from ohgw.core.space import Float, Space

CHROMIUM = shutil.which("chromium")
TIMES = {
    "vanilla/plain": [20.0, 30.0, None, 40.0, 25.0, 35.0, 30.0, 20.0],
    "ohgw/plain": [21.0, 31.0, None, 41.0, 26.0, 36.0, 31.0, 21.0],
    "screen/plain": [10.0, 15.0, 50.0, 20.0, 12.0, 18.0, None, 10.0],
}
SPACE = Space({"lr": Float(1e-4, 1.0, log=True), "momentum": Float(0.0, 1.0)})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium's page, with what it complained about in `page.complaints`."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: install Debian's `chromium` to run this test")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.complaints = []
        opened.on("console", lambda message: opened.complaints.append(message.text))
        opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.on("request", lambda r: opened.complaints.append(r.url) if _outside(r.url) else None)
        yield opened
        browser.close()


def _outside(url: str) -> bool:
    return not url.startswith(("file:", "data:"))


@pytest.fixture
def study(small: Any) -> Path:
    return make_study(small)


@pytest.fixture(scope="module")
def written(shared: Any) -> tuple[Path, StudySummary]:
    """The study with its report and notebook."""
    directory = make_study(shared)
    extra = all(find_spec(name) for name in ("nbformat", "nbclient", "ipykernel"))
    return directory, write_study_report(directory, notebook=extra)


def make_study(small: Any) -> Path:
    """Two whole cells with a sweep over workers between them, one half done, one never begun."""
    memory = layout.Memory(step_bytes=1000, arms={label: 0 for label in TIMES})
    whole = [
        small.cell(
            f"main.digits.asha.w{workers}",
            TIMES,
            probe={"ohgw/plain": 0.02},
            memory=memory,
            workers=workers,
            sweep=layout.Sweep(name="workers", value=workers),
        )
        for workers in (1, 4)
    ]
    half = small.cell("noise.digits:label_noise=0.1.pasha", TIMES, ended=9, manifest=False)
    never = half.model_copy(update={"id": "noise.charlm.pasha"})
    return small.study(*whole, half, never)


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_a_browser_shows_all_of_it(written: tuple[Path, StudySummary], page: Any, width: int):
    study, _ = written
    page.complaints.clear()
    page.set_viewport_size({"width": width, "height": 800})
    page.goto((study / "report" / "report.html").as_uri())
    images = page.evaluate(
        "[...document.images].map(i => ({name: i.closest('figure').id, natural: i.naturalWidth,"
        " height: i.getBoundingClientRect().height,"
        " left: i.getBoundingClientRect().left, right: i.getBoundingClientRect().right}))"
    )
    drawn = {path.stem for path in (study / "report" / "figures").glob("*.png")}
    assert {image["name"] for image in images} == drawn >= {"verdict", "forest", "timeline"}
    for image in images:
        assert image["natural"] > 0 and image["height"] > 50
        assert image["left"] >= 0 and image["right"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = page.evaluate(
        "[...document.querySelectorAll('nav a, td a, th a')].map(a => a.getAttribute('href'))"
        ".filter(href => !document.getElementById(href.slice(1)))"
    )
    assert broken == []
    assert page.complaints == []


def test_it_prints(written: tuple[Path, StudySummary], page: Any):
    study, _ = written
    page.goto((study / "report" / "report.html").as_uri())
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 960})  # A4 within its margins
    wide = page.evaluate("document.documentElement.scrollWidth")
    paper = page.pdf(format="A4")
    page.emulate_media(media="screen")
    assert paper.startswith(b"%PDF") and paper.count(b"/Type /Page\n") > 3
    assert wide <= 680


def test_it_says_what_is_missing(written: tuple[Path, StudySummary]):
    study, summary = written
    text = (study / "report" / "report.html").read_text()
    assert [cell.state for cell in summary.cells] == ["complete", "complete", "partial", "absent"]
    assert "2 of 4 cells complete, 65 of 112 searches ended" in text
    assert "1 of 4 cells not begun: noise.charlm.pasha." in text
    assert "noise.digits:label_noise=0.1.pasha: partial, 9 of 28 searches ended" in text
    assert re.search(r"noise\.charlm\.pasha: absent, 0 of 28 searches ended", text)


def test_a_study_without_a_single_row_has_a_report(small: Any):
    cell = small.cell("main.digits.asha", TIMES)
    shutil.rmtree(small.directory / layout.CELLS)
    summary = write_study_report(small.study(cell))
    assert [found.holds for found in summary.verdicts] == [None, None]
    assert "No search has ended yet" in (small.directory / "report" / "report.html").read_text()


def test_a_cell_with_vanilla_alone_has_nothing_to_judge(small: Any):
    cell = small.cell("main.digits.asha", {"vanilla/plain": TIMES["vanilla/plain"]})
    write_study_report(small.study(cell))
    assert "nothing to judge" in (small.directory / "report" / "report.html").read_text()
    assert not list((small.directory / "report" / "figures").glob("verdict*"))


def test_text_of_users_is_escaped(small: Any, page: Any):
    cell = small.cell("main.digits.asha", TIMES)
    nasty = "<script>document.title = 'taken'</script> $x_1$ & \"quotes\""
    plan = layout.StudyPlan(
        name="n'<b>", title=nasty, description="<img src=x onerror=alert(1)>", cells=(cell,)
    )
    small.directory.joinpath(layout.STUDY_NAME).write_text(layout.to_yaml(plan), encoding="utf-8")
    write_study_report(small.directory, command="ohgw study '<i>'")
    path = small.directory / "report" / "report.html"
    page.complaints.clear()
    page.goto(path.as_uri())
    assert page.title() == page.inner_text("h1") == nasty
    assert page.evaluate("document.scripts.length") == 0
    assert page.inner_text("pre") == "ohgw study '<i>'"
    assert page.complaints == []


def test_files_are_complete_and_strict(written: tuple[Path, StudySummary]):
    study, summary = written
    out = study / "report"
    content = json.loads((out / "summary.json").read_text(), parse_constant=pytest.fail)
    assert content["title"] == summary.title
    assert content["totals"]["cells"] == 2 and content["totals"]["energy_joules"] is None
    assert {"verdict", "tuples", "effects", "arms", "costs", "arm_costs"} <= {
        path.stem for path in (out / "tables").glob("*.csv")
    }
    figures = out / "figures"
    assert {path.stem for path in figures.glob("*.pdf")} >= {"verdict", "forest", "cells"}
    pages = 0
    for path in figures.glob("*.pdf"):
        content = path.read_bytes()
        assert b"/FontFile2" in content and b"/Type3" not in content  # embedded TrueType
        pages += len(re.findall(rb"/Type /Page\b", content))
    assert pages == len(list(figures.glob("*.png")))


def test_equal_studies_make_equal_reports(written: tuple[Path, StudySummary], study: Path):
    figures = study / "report" / "figures"
    figures.mkdir(parents=True)
    (figures / "forest_9.png").write_bytes(b"of a report of more tuples")
    write_study_report(study)
    first, second = _contents(written[0]), _contents(study)
    assert first.keys() - {"report.ipynb"} == second.keys()
    differing = [name for name in second if first[name] != second[name]]
    assert differing == ["report.html"]  # it names the notebook, which one of them has


def _contents(study: Path) -> dict[str, bytes]:
    files = [path for path in (study / "report").rglob("*") if path.is_file()]
    return {str(path.relative_to(study / "report")): path.read_bytes() for path in sorted(files)}


def test_the_command_is_that_of_the_plan(written: tuple[Path, StudySummary]):
    page = written[0] / "report" / "report.html"
    assert "<pre><code>ohgw study small</code></pre>" in page.read_text()


def test_the_notebook_is_executed(written: tuple[Path, StudySummary]):
    study, _ = written
    nbformat = pytest.importorskip("nbformat", reason="the extra `notebook` is not installed")
    pytest.importorskip("nbclient", reason="the extra `notebook` is not installed")
    pytest.importorskip("ipykernel", reason="the extra `notebook` is not installed")
    book = nbformat.read(study / "report" / "report.ipynb", as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code and all(cell.execution_count for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    shown = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(shown) == len(list((study / "report" / "figures").glob("*.png")))


def test_a_notebook_without_its_extra_names_the_extra(study: Path, monkeypatch: Any):
    monkeypatch.setitem(sys.modules, "nbclient", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'ohgw[notebook]'")):
        write_study_report(study, notebook=True)


def test_no_study_and_no_place_to_write_are_clear_errors(study: Path, tmp_path: Path):
    with pytest.raises(RecordError, match=r"not the directory of a study"):
        write_study_report(tmp_path / "elsewhere")
    (study / "report").write_text("in the way")
    with pytest.raises(StorageError, match=r"report.*cannot be written"):
        write_study_report(study)


def test_names_of_files_are_safe():
    assert study_report.file_name("digits:label_noise=0.1/../é") == "digits_label_noise_0_1_____"


def test_pages_of_tuples_hold_whole_cells(written: tuple[Path, StudySummary]):
    _, summary = written
    assert len(paged(summary.tuples)) == 1
    many = [one for one in summary.tuples for _ in range(8)]
    pages = paged(many)
    assert len(pages) > 1
    assert sum(len([line for line in page if not isinstance(line, str)]) for page in pages) == len(
        many
    )
    for lines in pages:
        assert isinstance(lines[0], str)
        cells = [line for line in lines if isinstance(line, str)]
        assert len(lines) <= FULL or len(cells) == 1


def make_header(*labels: str) -> Header:
    arms = tuple(Arm(method=m, recipe=r) for m, r in (label.split("/") for label in labels))
    plan = Plan(
        task="t", scheduler="asha", arms=arms, seeds=(0,), budget=10.0, workers=2,
        engine="serial", device="cpu", threads=1,
    )  # fmt: skip
    return Header(plan=plan, steps_per_epoch=10.0, metric="loss", mode="min", space=SPACE.to_dict())


def make_report(
    label: str, trial: int, resource: int, score: float | None, **fields: Any
) -> Report:
    x = {"lr": 0.1, "momentum": 0.1 * trial}
    given: dict[str, Any] = {
        "search": label, "seed": 0, "trial": trial, "worker": 0, "start": 0, "resource": resource,
        "score": score, "metrics": {}, "work": 10.0, "job_work": 10.0, "probe_work": 0.0,
        "wall": 1.0, "proposed": x, "configuration": x,
    }  # fmt: skip
    return Report.model_validate(given | fields)


def test_benefit_is_paired_with_the_trial_that_was_not_moved():
    header = make_header("vanilla/plain", "ohgw/plain")
    seen = {"gradient": {"lr": 3.0, "momentum": 4.0, "held": 9.0}, "held": ["held"]}
    rows = [
        make_report("vanilla/plain", 0, 1, 1.0),
        make_report("vanilla/plain", 0, 3, 0.8, start=1),
        make_report("vanilla/plain", 1, 1, 1.0),
        make_report("vanilla/plain", 2, 1, 1.0),
        make_report("vanilla/plain", 3, 1, 1.0),
        make_report("ohgw/plain", 0, 1, 2.0, diagnostics=seen),
        make_report("ohgw/plain", 0, 3, 0.6, start=1),
        make_report("ohgw/plain", 0, 9, 0.1, start=3),  # further than its twin
        make_report("ohgw/plain", 1, 1, None, diagnostics=seen),  # diverged
        make_report("ohgw/plain", 2, 1, 0.5, diagnostics=seen, proposed={"lr": 1.0}),  # no twin
        make_report("ohgw/plain", 3, 1, 0.9),  # saw no gradient
    ]
    (found,) = benefits(header, rows)
    assert (found.arm, found.reference) == ("ohgw/plain", "vanilla/plain")
    assert found.magnitudes.tolist() == [5.0]
    np.testing.assert_allclose(found.gains, [0.25])


def test_arrows_run_from_x_to_x_prime_in_the_unit_cube():
    header = make_header("vanilla/plain", "ohgw/plain")
    rows = [
        make_report("vanilla/plain", 0, 1, 1.0),
        make_report("ohgw/plain", 0, 1, 1.0),
        make_report(
            "ohgw/plain", 1, 1, 1.0,
            proposed={"lr": 0.01, "momentum": 0.5}, configuration={"lr": 0.1, "momentum": 0.75},
        ),
    ]  # fmt: skip
    (found,) = arrows(header, rows)
    assert (found.arm, found.names, found.trials) == ("ohgw/plain", ("lr", "momentum"), 2)
    np.testing.assert_allclose(found.before, [[0.5, 0.5]])
    np.testing.assert_allclose(found.after, [[0.75, 0.75]])
    assert arrows(header.model_copy(update={"space": None}), rows) == []


def test_legs_follow_each_other_on_the_clock_of_their_worker():
    rows = [
        make_report("a/b", 0, 1, 1.0, worker=0),
        make_report("a/b", 1, 1, 1.0, worker=1, job_work=15.0),
        make_report("a/b", 0, 3, 0.5, worker=0, start=1, job_work=20.0),
    ]
    found = legs(rows, 10.0, incumbent=0)
    assert [(leg.trial, leg.begin, leg.end) for leg in found] == [
        (0, 0.0, 1.0), (1, 0.0, 1.5), (0, 1.0, 3.0),
    ]  # fmt: skip
    assert [leg.best for leg in found] == [False, False, True]


def test_a_damaged_complete_cell_is_named(study: Path):
    record = study / layout.CELLS / "main.digits.asha.w1" / RECORDS_NAME
    record.write_text(record.read_text()[:-20])
    with pytest.raises(RecordError, match=r"main\.digits\.asha\.w1.*half-written"):
        write_study_report(study)
