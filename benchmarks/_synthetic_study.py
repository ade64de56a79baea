"""A study's directory of made-up searches with known effects, as large as one likes.

    python benchmarks/_synthetic_study.py DIR [--seeds N] [--reports N]

Ten cells (two tasks under schedulers, one cell over eta, four over workers) of five arms on N
seeds: with the default of 20 seeds 1,000 searches, and 100 calibration searches beside them,
of about 100 reports each. Searches are successive halving over a made-up loss. `screen` needs 25 %
less work than vanilla; averaging improves every score by 10 %; nothing else has any effect but
the price of its probe.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ohgw.core.layout import (
    CELLS,
    MANIFEST_NAME,
    STUDY_NAME,
    CellPlan,
    Manifest,
    Memory,
    StudyPlan,
    Sweep,
    to_yaml,
)
from ohgw.core.records import RECORDS_NAME, Arm, Final, Header, Plan, Report, to_line
from ohgw.core.space import Space, get_space

STEPS = 50.0  # of an epoch
RUNGS = (1, 3, 9, 27)
CALIBRATION = 10
SPEED = {"screen": 0.75}  # work, as a share of vanilla's
PROBE = {"screen": 0.04, "ohgw": 0.02, "random": 0.02}  # of the work of a trial's first leg
ARMS = ("vanilla/plain", "vanilla/averaged", "screen/averaged", "ohgw/averaged", "random/averaged")
ETAS = (0.0001, 0.001, 0.01, 0.1)
MAIN = {"digits": ("asha", "pasha", "hyperband"), "breast-cancer": ("asha", "pasha")}
SPACE: Space = get_space("exp-1")


def write_study(directory: Path, *, seeds: int = 20, reports: int = 100) -> Path:
    """Write the study into `directory`, which may not hold one yet; returns it."""
    cells = list(_cells(seeds, budget=2.2 * reports))
    for cell in cells:
        folder = directory / CELLS / cell.id
        folder.mkdir(parents=True)
        (folder / MANIFEST_NAME).write_text(_write_cell(cell, folder).model_dump_json())
    plan = StudyPlan(
        name="synthetic",
        title="Made-up searches",
        description="Screening saves 25 % of the work, averaging improves scores by 10 %.",
        cells=tuple(cells),
    )
    (directory / STUDY_NAME).write_text(to_yaml(plan), encoding="utf-8")
    return directory


def _cells(seeds: int, budget: float) -> Iterator[CellPlan]:
    for task, schedulers in MAIN.items():
        for scheduler in schedulers:
            yield _cell("main", task, scheduler, 4, ARMS, seeds, budget)
    swept = tuple(f"ohgw:eta={eta}/plain" for eta in ETAS)
    values = dict(zip(swept, ETAS, strict=True))
    over_eta = Sweep(name="eta", values=values)
    yield _cell("eta", "digits", "asha", 4, (ARMS[0], *swept), seeds, budget, over_eta)
    for workers in (1, 8, 32, 64):
        over_workers = Sweep(name="workers", value=workers)
        yield _cell("scaling", "digits", "asha", workers, ARMS, seeds, budget, over_workers)


def _cell(
    block: str,
    task: str,
    scheduler: str,
    workers: int,
    labels: tuple[str, ...],
    seeds: int,
    budget: float,
    sweep: Sweep | None = None,
) -> CellPlan:
    name = f"{block}.{task}.{scheduler}.w{workers}"
    plan = Plan(
        task=task,
        scheduler=scheduler,
        arms=tuple(Arm(method=m, recipe=r) for m, r in (label.split("/") for label in labels)),
        seeds=tuple(range(seeds)),
        calibration_seeds=tuple(range(1_000_000, 1_000_000 + CALIBRATION)),
        budget=budget,
        workers=workers,
        engine="population",
        device="cpu",
        threads=1,
    )
    run_ids = {label: f"{name}.{label.replace('/', '.')}" for label in labels}
    return CellPlan(id=name, block=block, plan=plan, run_ids=run_ids, sweep=sweep)


def _write_cell(cell: CellPlan, folder: Path) -> Manifest:
    plan = cell.plan
    header = Header(
        plan=plan,
        steps_per_epoch=STEPS,
        metric="loss",
        mode="min",
        step_flops=1.5e6,
        space=SPACE.to_dict(),
        versions={"ohgw": "synthetic"},
    )
    wanted = [("vanilla/plain", seed) for seed in plan.calibration_seeds]
    wanted += [(arm.label, seed) for arm in plan.arms for seed in plan.seeds]
    task = int.from_bytes(cell.id.encode()) % 2**32
    rows = final = 0
    with (folder / RECORDS_NAME).open("w", encoding="utf-8") as file:
        file.write(to_line(header))
        for label, seed in wanted:
            for row in _search(label, seed, plan, task):
                file.write(to_line(row))
                rows += isinstance(row, Report)
                final += isinstance(row, Final)
    probes = {label: PROBE.get(_method(label), 0.0) for label in cell.run_ids}
    return Manifest(
        id=cell.id,
        versions=header.versions,
        git=None,
        device="cpu",
        started="2026-01-01T00:00:00+00:00",
        seconds=600.0,
        cpu_seconds=1100.0,
        device_seconds=None,
        gpu_hours=0.0,
        peak_rss_bytes=2**30,
        peak_cuda_bytes=None,
        energy_joules=None,
        memory=Memory(step_bytes=10**6, arms={k: int(v and 1.05e6) for k, v in probes.items()}),
        step_flops=header.step_flops,
        reports=rows,
        finals=final,
    )


def _method(label: str) -> str:
    return label.split("/")[0].split(":")[0]


def _search(label: str, seed: int, plan: Plan, task: int) -> Iterator[Report | Final]:
    shared = np.random.default_rng([task, seed, 1])
    own = np.random.default_rng([task, seed, 2, *label.encode()])
    method = _method(label)
    speed = SPEED.get(method, 1.0) * math.exp(0.1 * own.normal())
    gain = 0.9 if label.endswith("/averaged") else 1.0
    done: dict[int, dict[int, float]] = {rung: {} for rung in RUNGS}
    promoted: set[tuple[int, int]] = set()
    trials: list[tuple[dict[str, float], dict[str, float], dict[str, float], bool]] = []
    work = probe_work = 0.0
    count = diverged_count = 0
    best: Report | None = None
    while True:
        trial, start = _next(done, promoted, len(trials))
        if start == 0:
            x = SPACE.sample(shared)
            psi = SPACE.to_natural(x)
            gradient = own.normal(size=psi.size) * 10 ** own.uniform(-4, -1)
            moved = SPACE.from_natural(psi - 1e-3 * gradient, x) if method != "vanilla" else x
            named = dict(zip(SPACE.continuous, gradient.tolist(), strict=True))
            trials.append((x, moved, named, bool(shared.random() < 0.03)))
        x, moved, gradient_by_name, fails = trials[trial]
        resource = 3 * start or 1
        steps = speed * (resource - start) * STEPS
        probe = PROBE.get(method, 0.0) * steps if start == 0 else 0.0
        if work + steps + probe > plan.budget * STEPS:
            break
        work, probe_work, count = work + steps + probe, probe_work + probe, count + 1
        promoted.add((trial, start))
        off = (SPACE.to_unit(moved) - np.array([0.6, 0.4, 0.8, 0.3, 0.2])) ** 2
        value = gain * (0.1 + 0.6 * off.sum() + 1.1 * resource**-0.8)
        value *= math.exp(0.06 * shared.normal())
        score = None if fails else float(value)
        diverged_count += fails
        done[resource][trial] = math.inf if score is None else score
        probed = start == 0 and method in ("ohgw", "random")
        report = Report(
            search=label,
            seed=seed,
            trial=trial,
            worker=count % plan.workers,
            start=start,
            resource=resource,
            score=score,
            metrics={"loss": score},
            work=work,
            job_work=steps + probe,
            probe_work=probe,
            wall=work / 900,
            proposed=x,
            configuration=moved,
            diagnostics={"gradient": gradient_by_name, "loss": 2.3} if probed else {},
        )
        if score is not None and (best is None or score < (best.score or 0.0)):
            best = report
        yield report
    yield Final(
        search=label,
        seed=seed,
        trial=best and best.trial,
        resource=best and best.resource,
        score=best and best.score,
        metrics={"loss": (best.score or 0.0) * math.exp(0.002 * own.normal())} if best else {},
        configuration=best.configuration if best else {},
        work=work,
        probe_work=probe_work,
        trials=len(trials),
        reports=count,
        diverged=diverged_count,
        wall=work / 900,
    )


def _next(
    done: dict[int, dict[int, float]], promoted: set[tuple[int, int]], new: int
) -> tuple[int, int]:
    """(trial, resource it starts from): the best promotable trial of the highest rung, or `new`."""
    for rung in RUNGS[-2::-1]:
        finished = done[rung]
        for trial in sorted(finished, key=finished.__getitem__)[: len(finished) // 3]:
            if (trial, rung) not in promoted and math.isfinite(finished[trial]):
                return trial, rung
    return new, 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--reports", type=int, default=100)
    given = parser.parse_args()
    print(write_study(given.directory, seeds=given.seeds, reports=given.reports))
