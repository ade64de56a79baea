"""Weights & Biases: a run for each arm of a cell, a step for each report.

Offline, into the study's directory, unless WANDB_MODE says otherwise. `wandb sync` with the folders
DIR/wandb/offline-*
uploads them later.
"""

import hashlib
import os
from pathlib import Path

import wandb

from ohgw.core.layout import Cell, StudyPlan
from ohgw.core.records import RECORDS_NAME, Arm, Final, Header, Report, read_records


class WandB:
    """Sends cells to the project of the study's name."""

    def __init__(self, plan: StudyPlan, directory: Path) -> None:
        self.project, self.directory = f"ohgw-{plan.name}", directory

    def send(self, cell: Cell) -> None:
        header, reports, finals = read_records(cell.path / RECORDS_NAME)
        for arm in header.plan.arms:
            mine = [row for row in reports if row.search == arm.label]
            ends = [row for row in finals if row.search == arm.label]
            self._send_arm(cell, header, arm, mine, ends)

    def _send_arm(
        self, cell: Cell, header: Header, arm: Arm, reports: list[Report], finals: list[Final]
    ) -> None:
        plan = header.plan
        place = f"{self.directory.resolve()} {cell.planned.id} {arm.label}"
        run = wandb.init(
            project=self.project,
            dir=str(self.directory),
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            id=hashlib.sha256(place.encode()).hexdigest()[:12],  # the same when sent again
            resume="allow",
            name=cell.planned.run_ids.get(arm.label, arm.label),
            group=cell.planned.id,
            settings=wandb.Settings(silent=True, console="off"),
            config={
                "task": plan.task,
                "scheduler": plan.scheduler,
                "method": arm.method,
                "recipe": arm.recipe,
                "seeds": list(plan.seeds),
                "workers": plan.workers,
                "budget": plan.budget,
            },
        )
        per_epoch = header.steps_per_epoch
        for report in reports:
            run.log(
                {
                    "seed": report.seed,
                    "trial": report.trial,
                    "resource": report.resource,
                    "score": report.score,
                    "epochs": report.work / per_epoch,
                    "probe_epochs": report.probe_work / per_epoch,
                    **{f"x.{name}": value for name, value in report.proposed.items()},
                    **{f"x'.{name}": value for name, value in report.configuration.items()},
                }
            )
        for final in finals:
            run.summary[f"seed {final.seed}"] = {
                "best_score": final.score,
                "test": final.metrics,
                "epochs": final.work / per_epoch,
                "probe_share": final.probe_work / final.work if final.work else None,
            }
        run.finish()


open_sink = WandB
