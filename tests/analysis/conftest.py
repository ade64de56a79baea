"""Small studies with every time, score and configuration given by hand: the fixture `small`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ohgw.core import layout
from ohgw.core.records import RECORDS_NAME, Arm, Final, Header, Plan, Report, to_line
from ohgw.core.space import Categorical, Float, Int, Space

STEPS, BUDGET = 10.0, 100.0
CALIBRATION = (1000, 1001, 1002, 1003)
SPACE = Space(
    {"lr": Float(1e-4, 1.0, log=True), "layers": Int(1, 4), "kind": Categorical(["a", "b", "c"])}
)
MIDDLE = {"lr": 0.01, "layers": 2, "kind": "a"}
FIRST, GOOD = 1.0, 0.5  # scores after one epoch, and at the time given


class Small:
    """A study in a directory, made cell by cell."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def cell(
        self,
        name: str,
        times: Mapping[str, Sequence[float | None]],
        *,
        final: Mapping[str, Sequence[float]] | None = None,
        test: Mapping[str, Sequence[float]] | None = None,
        configurations: Mapping[str, Sequence[dict[str, Any]]] | None = None,
        probe: Mapping[str, float] | None = None,
        memory: layout.Memory | None = None,
        sweep: layout.Sweep | None = None,
        ended: int | None = None,
        manifest: bool = True,
        space: Space | None = SPACE,
        **plan: Any,
    ) -> layout.CellPlan:
        """Write one cell; `name` is BLOCK.TASK.SCHEDULER.

        times
            Epochs by arm and seed until the target is reached, None where it never is. The targets
            after 50 % of the budget and of 90 % of the searches are the score GOOD.
        final, test
            Scores at the end of the budget, GOOD by default, and on the test split.
        probe
            Share of an arm's work that goes into probes.
        ended
            How many of the searches have ended, in the order calibration, first arm, ...
        """
        block, task, scheduler = name.split(".")[:3]
        seeds = range(len(next(iter(times.values()))))
        fields = {
            "task": task,
            "scheduler": scheduler,
            "arms": tuple(_arm(label) for label in times),
            "seeds": tuple(seeds),
            "calibration_seeds": CALIBRATION,
            "budget": BUDGET,
            "workers": 4,
            "engine": "population",
            "device": "cpu",
            "threads": 1,
        }
        made = Plan.model_validate(fields | plan)
        searches = [("vanilla/plain", seed, 20.0) for seed in CALIBRATION]
        searches += [(label, seed, times[label][seed]) for label in times for seed in seeds]
        rows: list[Any] = [
            Header(
                plan=made,
                steps_per_epoch=STEPS,
                metric="loss",
                mode="min",
                step_flops=1000.0,
                space=space.to_dict() if space else None,
            )
        ]
        for label, seed, epochs in searches[:ended]:
            own = seed in seeds
            last = final[label][seed] if final and own else GOOD
            tested = {"loss": test[label][seed]} if test and own else {}
            x = configurations[label][seed] if configurations and own else MIDDLE
            share = (probe or {}).get(label, 0.0)
            rows += _search(label, seed, epochs, last, tested, x, share)
        path = self.directory / layout.CELLS / name
        path.mkdir(parents=True)
        text = "".join(to_line(row) for row in rows)
        (path / RECORDS_NAME).write_text(text, encoding="utf-8")
        if manifest:
            content = layout.Manifest(
                id=name,
                versions={},
                git=None,
                device="cpu",
                started="2026-01-01T00:00:00Z",
                seconds=60.0,
                cpu_seconds=55.0,
                device_seconds=None,
                gpu_hours=0.0,
                peak_rss_bytes=2**30,
                peak_cuda_bytes=None,
                energy_joules=None,
                memory=memory,
                step_flops=1000.0,
                reports=0,
                finals=len(searches),
            )
            (path / layout.MANIFEST_NAME).write_text(content.model_dump_json(), encoding="utf-8")
        return layout.CellPlan(id=name, block=block, plan=made, sweep=sweep)

    def study(self, *cells: layout.CellPlan) -> Path:
        """Write the plan of these cells, which are there or are to come; returns the directory."""
        plan = layout.StudyPlan(name="small", title="A small study", cells=cells)
        path = self.directory / layout.STUDY_NAME
        path.write_text(layout.to_yaml(plan), encoding="utf-8")
        return self.directory


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """One for all tests of a module, which only read what it holds."""
    return Small(tmp_path_factory.mktemp("shared"))


def _arm(label: str) -> Arm:
    method, recipe = label.split("/")
    return Arm(method=method, recipe=recipe)


def _search(
    label: str,
    seed: int,
    epochs: float | None,
    last: float,
    tested: dict[str, float],
    x: dict[str, Any],
    share: float,
) -> list[Any]:
    steps = [(1.0, FIRST)]
    if epochs is not None:
        steps += [(epochs, GOOD), (BUDGET, last)]
    reports = [
        Report(
            search=label,
            seed=seed,
            trial=k,
            worker=0,
            start=0,
            resource=1,
            score=score,
            metrics={"loss": score},
            work=at * STEPS,
            job_work=STEPS,
            probe_work=0.0,
            wall=2 * at,
            proposed=x,
            configuration=x,
        )
        for k, (at, score) in enumerate(steps)
    ]
    best = min(score for _, score in steps)
    ending = Final(
        search=label,
        seed=seed,
        trial=0,
        resource=1,
        score=best,
        metrics=tested,
        configuration=x,
        work=BUDGET * STEPS,
        probe_work=share * BUDGET * STEPS,
        trials=len(steps),
        reports=len(steps),
        diverged=0,
        wall=2 * BUDGET,
    )
    return [*reports, ending]
