"""Summaries, figures and reports, on records of simulated searches with known effects."""

import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

from ohgw.analysis import summarise, write_compare_report, write_tune_report
from ohgw.analysis.frames import Rows, curves, frame
from ohgw.analysis.moves import moves
from ohgw.analysis.results import Row, Summary
from ohgw.analysis.tune import summarise_search
from ohgw.analysis.wording import finding
from ohgw.core.errors import RecordError, SettingError, StorageError
from ohgw.core.records import RECORDS_NAME, Arm, Final, Header, Plan, Report, to_line

STEPS = 50.0
VANILLA = Arm(method="vanilla", recipe="plain")


def make_header(
    arms: list[str],
    seeds: int = 12,
    calibration: int = 10,
    budget: float = 120.0,
    mode: str = "min",
    **plan: object,
) -> Header:
    fields = {
        "task": "digits",
        "scheduler": "asha",
        "arms": tuple(Arm(method=a.split("/")[0], recipe=a.split("/")[1]) for a in arms),
        "seeds": tuple(range(seeds)),
        "calibration_seeds": tuple(range(1000, 1000 + calibration)),
        "budget": budget,
        "workers": 4,
        "engine": "population",
        "device": "cpu",
        "threads": 1,
    }
    return Header(
        plan=Plan.model_validate(fields | plan),
        steps_per_epoch=STEPS,
        metric="loss",
        mode=mode,
        step_flops=1.5e6,
        versions={"ohgw": "0.1.0", "torch": "2.13.0"},
    )


def search(
    header: Header,
    arm: str,
    seed: int,
    *,
    speed: float = 1.0,
    gain: float = 0.0,
    probe: float = 0.0,
    move: float = 0.0,
    diverge: float = 0.03,
    noise: float = 0.25,
) -> tuple[list[Report], Final]:
    """Successive halving over made-up losses; all work is `speed` times what it would be.

    `probe` is the share of work spent on probes, `move` the shift of log10 lr towards the best.
    """
    shared = np.random.default_rng([seed, 1])
    own = np.random.default_rng([seed, 2, *arm.encode()])
    sign = 1 if header.mode == "min" else -1
    speed = speed * math.exp(noise * own.normal())
    budget = header.plan.budget * STEPS
    rungs: dict[int, dict[int, float]] = {r: {} for r in (1, 3, 9, 27)}
    promoted: set[tuple[int, int]] = set()
    configurations: list[tuple[dict[str, object], dict[str, object], bool]] = []
    reports: list[Report] = []
    work = probe_work = 0.0
    while True:
        start, trial = 0, len(configurations)
        for low in (9, 3, 1):
            done = rungs[low]
            top = sorted(done, key=done.__getitem__)[: len(done) // 3]
            ready = [t for t in top if (t, low) not in promoted and np.isfinite(done[t])]
            if ready:
                start, trial = low, ready[0]
                break
        if start == 0:
            lr, momentum = 10 ** shared.uniform(-4, 0), shared.uniform(0, 0.99)
            shift = move * np.sign(-1.5 - np.log10(lr)) * own.uniform(0.5, 1)
            x = {"lr": lr, "momentum": momentum, "layers": 2, "kind": "relu"}
            configurations.append((x, x | {"lr": lr * 10**shift}, shared.random() < diverge))
        x, new, diverged = configurations[trial]
        resource = 3 * start or 1
        cost = speed * (resource - start) * STEPS
        probing = probe * cost if start == 0 else 0.0
        work, probe_work = work + cost + probing, probe_work + probing
        if work > budget:
            break
        quality = (math.log10(float(new["lr"])) + 1.5) ** 2 + (float(new["momentum"]) - 0.8) ** 2
        value = (0.12 + 0.25 * quality) * (1 - gain) + 1.1 * resource**-0.8
        score = None if diverged else sign * value * math.exp(0.06 * shared.normal())
        promoted.add((trial, start))
        rungs[resource][trial] = math.inf if score is None else sign * score
        reports.append(
            Report(
                search=arm,
                seed=seed,
                trial=trial,
                worker=len(reports) % 4,
                start=start,
                resource=resource,
                score=score,
                metrics={"loss": score},
                work=work,
                job_work=cost + probing,
                probe_work=probing,
                wall=work / 900 + seed,
                proposed=x,
                configuration=new,
            )
        )
    scored = [r for r in reports if r.score is not None]
    best = min(scored, key=lambda r: sign * float(r.score or 0), default=None)
    test = None if best is None else float(best.score or 0) * math.exp(0.05 * own.normal())
    final = Final(
        search=arm,
        seed=seed,
        trial=best and best.trial,
        resource=best and best.resource,
        score=best and best.score,
        metrics={} if test is None else {"loss": test},
        configuration=best.configuration if best else {},
        work=reports[-1].work if reports else 0,
        probe_work=sum(r.probe_work for r in reports),
        trials=len(configurations),
        reports=len(reports),
        diverged=sum(r.score is None for r in reports),
        wall=work / 900 + seed,
    )
    return reports, final


def make_study(header: Header, **effects: dict[str, float]) -> Rows:
    """All searches of a plan; `effects` maps an arm's label to what `search` does for it."""
    reports: list[Report] = []
    finals: list[Final] = []
    wanted = [(VANILLA.label, seed) for seed in header.plan.calibration_seeds]
    wanted += [(arm.label, seed) for arm in header.plan.arms for seed in header.plan.seeds]
    for arm, seed in wanted:
        rows, final = search(header, arm, seed, **effects.get(arm, {}))
        reports += rows
        finals.append(final)
    return header, reports, finals


def store(rows: Rows, directory: Path) -> Path:
    header, reports, finals = rows
    lines = [to_line(row) for row in (header, *reports, *finals)]
    (directory / RECORDS_NAME).write_text("".join(lines), encoding="utf-8")
    return directory


FOUR_ARMS = ["vanilla/plain", "screen/plain", "vanilla/averaged", "screen/averaged"]


@pytest.fixture(scope="module")
def faster() -> Rows:
    return make_study(
        make_header(FOUR_ARMS),
        **{
            "screen/plain": {"speed": 0.6, "probe": 0.04, "move": 0.5, "noise": 0.05},
            "screen/averaged": {"speed": 0.6, "gain": 0.1, "noise": 0.05},
            "vanilla/plain": {"noise": 0.05},
            "vanilla/averaged": {"gain": 0.1, "noise": 0.05},
        },
    )


def row_of(summary: Summary, arm: str, reference: str | None) -> Row:
    return next(r for r in summary.rows if (r.arm, r.reference) == (arm, reference))


def test_frame_has_one_line_per_report_and_epochs(faster: Rows) -> None:
    header, reports, _ = faster
    data = frame(header, reports)
    assert len(data) == len(reports)
    np.testing.assert_allclose(data["epochs"] * STEPS, [r.work for r in reports])
    assert data["score"].isna().sum() == sum(r.score is None for r in reports) > 0
    assert frame(header, []).empty


def test_a_faster_arm_wins_and_meets_the_time_criterion(faster: Rows) -> None:
    summary = summarise(faster)
    row = row_of(summary, "screen/plain", "vanilla/plain")
    assert row.outcome == "wins" and row.pairs == 12
    for cell in row.cells:
        assert cell.low <= cell.change <= cell.high
        assert cell.p <= cell.p_holm
    for cell in row_of(summary, "screen/averaged", "vanilla/averaged").cells:
        assert cell.change == pytest.approx(-0.4, abs=0.08)
    met = [c.met for c in row.criteria if c.name == "less time to target"]
    assert any(met)


def test_an_arm_is_compared_with_vanilla_and_with_vanilla_under_its_recipe(faster: Rows) -> None:
    summary = summarise(faster)
    assert [(r.arm, r.reference) for r in summary.rows] == [
        ("vanilla/plain", None),
        ("screen/plain", "vanilla/plain"),
        ("vanilla/averaged", "vanilla/plain"),
        ("screen/averaged", "vanilla/plain"),
        ("screen/averaged", "vanilla/averaged"),
    ]
    assert summary.tests == 4 * 3


def test_overhead_is_probe_work_over_all_work(faster: Rows) -> None:
    finals = [f for f in faster[2] if f.search == "screen/plain"]
    expected = sum(f.probe_work for f in finals) / sum(f.work for f in finals)
    summary = summarise(faster)
    assert row_of(summary, "screen/plain", "vanilla/plain").overhead == pytest.approx(expected)
    assert row_of(summary, "vanilla/plain", None).overhead == 0


def test_swapping_the_arms_turns_a_win_into_a_loss() -> None:
    slow = {"vanilla/plain": {"noise": 0.02}, "probe/plain": {"speed": 1.6, "noise": 0.02}}
    summary = summarise(make_study(make_header(["vanilla/plain", "probe/plain"]), **slow))
    (row,) = summary.comparisons
    assert row.outcome == "loses"
    assert not any(c.met for c in row.criteria if c.name == "less time to target")


def test_an_arm_without_effect_ties() -> None:
    summary = summarise(make_study(make_header(["vanilla/plain", "same/plain"])))
    assert [r.outcome for r in summary.comparisons] == ["ties"]


def test_equal_records_tie_exactly() -> None:
    header, reports, finals = make_study(make_header(["vanilla/plain", "same/plain"]))
    copies = [r for r in reports if r.search == "vanilla/plain" and r.seed < 1000]
    ends = [f for f in finals if f.search == "vanilla/plain"]
    reports = [r for r in reports if r.search == "vanilla/plain"]
    reports += [r.model_copy(update={"search": "same/plain"}) for r in copies]
    finals = ends + [f.model_copy(update={"search": "same/plain"}) for f in ends if f.seed < 1000]
    (row,) = summarise((header, reports, finals)).comparisons
    assert [(c.change, c.p, c.p_holm) for c in row.cells] == [(0.0, 1.0, 1.0)] * 3
    assert row.validation_gain is not None and row.validation_gain.median == 0
    assert row.outcome == "ties"


def test_targets_depend_on_the_calibration_seeds_alone(faster: Rows) -> None:
    header, reports, finals = faster
    changed = [
        r if r.seed >= 1000 else r.model_copy(update={"score": 1e-6, "work": 1.0}) for r in reports
    ]
    assert summarise((header, changed, finals)).targets == summarise(faster).targets
    worse = [
        r.model_copy(update={"score": r.score * 2}) if r.seed >= 1000 and r.score else r
        for r in reports
    ]
    assert summarise((header, worse, finals)).targets != summarise(faster).targets


def test_calibration_seeds_are_not_compared() -> None:
    header = make_header(["vanilla/plain", "a/plain"], seeds=8, calibration=4, budget=60)
    overlap = header.model_copy(
        update={"plan": header.plan.model_copy(update={"calibration_seeds": (0, 1)})}
    )
    rows = make_study(overlap)
    assert summarise(rows).seeds == (2, 3, 4, 5, 6, 7)
    assert summarise(rows).comparisons[0].pairs == 6


def test_an_interrupted_search_is_left_out_and_counted(faster: Rows) -> None:
    header, reports, finals = faster
    cut = [f for f in finals if (f.search, f.seed) != ("screen/plain", 3)]
    summary = summarise((header, reports, cut))
    row = row_of(summary, "screen/plain", "vanilla/plain")
    assert row.pairs == 11 and all(c.searches == 11 for c in row.cells)
    assert "1 of 58" in summary.notes[0]


def test_an_interrupted_calibration_search_fixes_no_target(faster: Rows) -> None:
    header, reports, finals = faster
    cut = [f for f in finals if f.seed != 1003]
    without = [r for r in reports if r.seed != 1003]
    assert summarise((header, reports, cut)).targets == summarise((header, without, cut)).targets
    assert summarise((header, reports, cut)).targets != summarise(faster).targets


def test_an_arm_that_never_arrives_is_infinite_and_loses() -> None:
    header = make_header(["vanilla/plain", "bad/plain"])
    summary = summarise(make_study(header, **{"bad/plain": {"diverge": 1.0}}))
    (row,) = summary.comparisons
    for cell in row.cells:
        assert cell.reached == 0 and cell.time.median == math.inf
        assert cell.change == math.inf and cell.outcome == "loses"
    assert row.validation.median == math.inf
    assert row.validation_gain is not None and row.validation_gain.median == -math.inf
    assert {c.met for c in row.criteria if c.name == "deviation of T@τ"} == {None}


def test_a_maximised_metric_gives_the_mirror_image() -> None:
    arms = ["vanilla/plain", "fast/plain"]
    effect = {"fast/plain": {"speed": 0.5}}
    low = summarise(make_study(make_header(arms), **effect))
    high = summarise(make_study(make_header(arms, mode="max"), **effect))
    assert high.targets == {name: -tau for name, tau in low.targets.items()}
    assert high.comparisons[0].cells[0].time == low.comparisons[0].cells[0].time
    gains = [s.comparisons[0].validation_gain for s in (low, high)]
    assert gains[0] == gains[1]


def test_a_row_outside_the_plan_is_refused(faster: Rows) -> None:
    header, reports, finals = faster
    stray = reports[0].model_copy(update={"search": "other/plain"})
    with pytest.raises(RecordError, match="other/plain"):
        summarise((header, [*reports, stray], finals))


def test_criteria_thresholds() -> None:
    header = make_header(["vanilla/plain", "a/plain"])
    effect = {"a/plain": {"gain": -0.2, "probe": 0.3}}
    (row,) = summarise(make_study(header, **effect)).comparisons
    by_name = {c.name: c for c in row.criteria}
    assert by_name["final validation score kept"].met is False
    assert by_name["extra cost"].met is False and by_name["extra cost"].value > 0.05


def test_moves_measure_log_ratios_and_skip_what_cannot_move(faster: Rows) -> None:
    found = {(m.arm, m.name): m for m in moves(faster[1])}
    assert {arm for arm, _ in found} == {"screen/plain"}
    assert {name for _, name in found} == {"lr"}
    lr = found["screen/plain", "lr"]
    firsts = [r for r in faster[1] if r.search == "screen/plain" and r.start == 0]
    expected = math.log10(firsts[0].configuration["lr"] / firsts[0].proposed["lr"])
    assert lr.unit == "log10 ratio" and lr.values[0] == pytest.approx(expected)
    assert lr.moved == 1 and lr.values.size == len(firsts)


class Reader(HTMLParser):
    """Collects tags and text, and fails on markup that a report must not have."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        for name, value in attrs:
            assert name not in ("src", "href") or (value or "").startswith("data:")
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def strict(text: str) -> object:
    def refuse(name: str) -> object:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def written(faster: Rows, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    folder = store(faster, tmp_path_factory.mktemp("compare"))
    before = dict(matplotlib.rcParams)
    summary = write_compare_report(folder, command="ohgw compare --seeds 12 <&>")
    assert dict(matplotlib.rcParams) == before, "drawing changed global settings"
    return folder, summary


def test_the_compare_report_holds_the_numbers(written: tuple[Path, Summary]) -> None:
    folder, summary = written
    page = Reader((folder / "report.html").read_text(encoding="utf-8"))
    assert page.open == [] and "script" not in page.tags and "link" not in page.tags
    row = row_of(summary, "screen/plain", "vanilla/plain")
    assert finding(row) in page.text
    assert finding(row).startswith("screen/plain wins against vanilla/plain at 3 of 3 targets (12")
    assert f"{100 * -row.cells[0].change:.0f}\N{NO-BREAK SPACE}%" in page.text
    assert "ohgw compare --seeds 12 <&>" in page.text
    assert "2.13.0" in page.text and "0–11" in page.text and "1000–1009" in page.text
    assert "significan" not in page.text.lower()
    assert page.tags.count("img") == 5


def test_figures_come_as_png_and_pdf_with_embedded_truetype(written: tuple[Path, Summary]) -> None:
    for name in ("anytime", "time_to_target", "paired_changes", "survival", "moves"):
        png = (written[0] / "figures" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG") and len(png) > 5000
        pdf = (written[0] / "figures" / f"{name}.pdf").read_bytes()
        assert b"/FontFile2" in pdf and b"/Type3" not in pdf


def test_the_numbers_are_strict_json_and_a_table(written: tuple[Path, Summary]) -> None:
    folder, summary = written
    numbers = strict((folder / "summary.json").read_text(encoding="utf-8"))
    assert isinstance(numbers, dict) and numbers["targets"] == summary.targets
    assert {move["hyperparameter"] for move in numbers["moves"]} == {"lr"}
    data = pd.read_csv(folder / "table.csv")
    assert len(data) == 5 * 3
    change = data.loc[(data.arm == "screen/plain") & (data.target == "budget_25"), "change"]
    cell = row_of(summary, "screen/plain", "vanilla/plain").cells[0]
    assert change.item() == pytest.approx(cell.change)


def test_reports_are_repeatable(tmp_path: Path) -> None:
    rows = make_study(make_header(["vanilla/plain"], seeds=1, calibration=0))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_tune_report(store(rows, tmp_path / name))
    first, second = (
        {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in (tmp_path / "a", tmp_path / "b")
    )
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


HOSTILE = "<script>alert('$x_{$')</script> & 日本"


def hostile(rows: Rows) -> Rows:
    header, reports, finals = rows
    plan = header.plan.model_copy(update={"task": HOSTILE})
    header = header.model_copy(
        update={"plan": plan, "metric": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    )
    renamed = [
        r.model_copy(
            update={
                "proposed": {HOSTILE: 0.1, "name": HOSTILE},
                "configuration": {HOSTILE: 0.2, "name": HOSTILE},
            }
        )
        for r in reports
    ]
    ends = [f.model_copy(update={"metrics": {HOSTILE: 0.5}}) for f in finals]
    return header, renamed, ends


@pytest.mark.parametrize("write", [write_compare_report, write_tune_report])
def test_markup_in_names_is_escaped(write: Callable[..., object], tmp_path: Path) -> None:
    calibration = 0 if write is write_tune_report else 4
    header = make_header(["vanilla/plain"], seeds=1, calibration=calibration, budget=40)
    write(store(hostile(make_study(header)), tmp_path), command=HOSTILE)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Reader(text)
    assert "script" not in page.tags and "<script" not in text
    assert page.text.count("<script>alert('$x_{$')</script> & 日本") >= 4


SMALL = [(1, 0, 0.0, 60.0), (1, 3, 0.0, 60.0), (3, 3, 1.0, 60.0), (2, 2, 0.0, 0.5)]


def small_study(
    arms: list[str], seeds: int, calibration: int, diverge: float, budget: float
) -> Rows:
    header = make_header(arms, seeds, calibration, budget)
    header, reports, finals = make_study(
        header, **{arm: {"diverge": diverge} for arm in (*arms, VANILLA.label)}
    )
    return (
        header,
        [r for r in reports if r.search in arms],
        [f for f in finals if f.search in arms],
    )


@pytest.mark.parametrize("size", SMALL)
@pytest.mark.parametrize(
    "arms", [["vanilla/plain"], ["vanilla/plain", "a/averaged"], ["a/averaged"]]
)
def test_small_and_empty_studies_tie(arms: list[str], size: tuple[int, int, float, float]) -> None:
    summary = summarise(small_study(arms, *size))
    assert {row.outcome for row in summary.comparisons} <= {"ties"}
    json.dumps(summary.as_json(), allow_nan=False)


@pytest.mark.parametrize("size", SMALL)
def test_small_and_empty_studies_are_reported(
    size: tuple[int, int, float, float], tmp_path: Path
) -> None:
    arms = ["vanilla/plain", "a/averaged"][: size[0]]
    write_compare_report(store(small_study(arms, *size), tmp_path))
    assert Reader((tmp_path / "report.html").read_text(encoding="utf-8")).open == []
    strict((tmp_path / "summary.json").read_text(encoding="utf-8"))


def test_a_header_alone_gives_a_report_that_says_so(tmp_path: Path) -> None:
    header = make_header(["vanilla/plain", "a/plain"])
    summary = write_compare_report(store((header, [], []), tmp_path))
    assert any("34 of 34" in note for note in summary.notes)


def test_infinities_are_strings_in_json() -> None:
    header = make_header(["vanilla/plain", "bad/plain"], seeds=7)
    summary = summarise(make_study(header, **{"bad/plain": {"diverge": 1.0}}))
    bad = summary.as_json()["rows"][1]
    assert bad["arm"] == "bad/plain" and bad["cells"][0]["time"]["median"] == "inf"
    assert bad["cells"][0]["reached"] == 0 and bad["cells"][0]["deviation"] is None
    json.dumps(summary.as_json(), allow_nan=False)
    assert "bad/plain loses against vanilla/plain" in finding(summary.rows[1])
    assert "+∞\N{NO-BREAK SPACE}%" in finding(summary.rows[1])


def test_an_arm_that_always_misses_is_drawn_and_reported(tmp_path: Path) -> None:
    header = make_header(["vanilla/plain", "bad/plain"], seeds=7)
    write_compare_report(store(make_study(header, **{"bad/plain": {"diverge": 1.0}}), tmp_path))
    page = Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "0 of 7" in page.text and page.tags.count("img") == 4


def test_the_tune_report_names_the_incumbent(tmp_path: Path) -> None:
    rows = make_study(make_header(["vanilla/plain"], seeds=1, calibration=0))
    summary = write_tune_report(store(rows, tmp_path))
    final = rows[2][0]
    assert (summary.score, summary.trial, summary.resource) == (
        final.score,
        final.trial,
        final.resource,
    )
    assert summary.configuration == final.configuration
    (found,) = curves(rows[0], rows[1]).values()
    assert [s.score for s in summary.improvements] == found.best.tolist()
    page = Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert re.search(r"Best validation loss 0\.\d+", page.text)
    assert (tmp_path / "figures" / "progress.pdf").exists()
    strict((tmp_path / "summary.json").read_text(encoding="utf-8"))


def test_a_search_without_end_or_without_scores_is_described(tmp_path: Path) -> None:
    header = make_header(["vanilla/plain"], seeds=1, calibration=0, budget=40)
    reports, _ = search(header, "vanilla/plain", 0)
    open_ended = summarise_search((header, reports, []))
    assert not open_ended.ended and open_ended.test == {} and open_ended.score is not None
    rows = make_study(header, **{"vanilla/plain": {"diverge": 1.0}})
    summary = write_tune_report(store(rows, tmp_path))
    assert summary.score is None and summary.diverged == summary.reports > 0
    assert "diverged" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert summarise_search((header, [], [])).reports == 0


def test_a_tune_report_refuses_several_searches(faster: Rows) -> None:
    with pytest.raises(SettingError, match="48 searches"):
        summarise_search(faster)


def test_an_unwritable_directory_is_named(faster: Rows, tmp_path: Path) -> None:
    (store(faster, tmp_path) / "figures").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="figures"):
        write_compare_report(tmp_path)
