"""MLflow: an experiment for each study, a run for each search.

Goes to MLFLOW_TRACKING_URI where that is set, otherwise to `mlflow.db` (SQLite) in the study's
directory: `mlflow ui --backend-store-uri sqlite:///DIR/mlflow.db` shows it.
"""

import logging
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from ohgw.core.layout import Cell, StudyPlan
from ohgw.core.records import RECORDS_NAME, Arm, Final, Header, Report, read_records

BATCH = 1000  # metrics in one request, MLflow's limit
TAG = "ohgw.search"


class MLflow:
    """Sends cells to one experiment."""

    def __init__(self, plan: StudyPlan, directory: Path) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it reports each table it makes
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{directory.resolve()}/mlflow.db"
        self.client: Any = MlflowClient(tracking_uri=uri)
        found = self.client.get_experiment_by_name(plan.name)
        if found is None:
            place = (directory / "mlflow-artifacts").resolve().as_uri()
            self.experiment = self.client.create_experiment(plan.name, artifact_location=place)
        else:
            self.experiment = found.experiment_id

    def send(self, cell: Cell) -> None:
        header, reports, finals = read_records(cell.path / RECORDS_NAME)
        arms = {arm.label: arm for arm in header.plan.arms}
        for run in self.client.search_runs(
            [self.experiment], f"tags.`ohgw.cell` = '{cell.planned.id}'", max_results=10_000
        ):
            self.client.delete_run(run.info.run_id)  # of a sending that was cut short
        by_search: dict[tuple[str, int], list[Report]] = {}
        for report in reports:
            by_search.setdefault((report.search, report.seed), []).append(report)
        for final in finals:
            rows = by_search.get((final.search, final.seed), [])
            self._send_search(cell, header, arms[final.search], rows, final)

    def _send_search(
        self, cell: Cell, header: Header, arm: Arm, reports: list[Report], final: Final
    ) -> None:
        run = self.client.create_run(
            self.experiment,
            run_name=f"{cell.planned.run_ids.get(arm.label, arm.label)}, seed {final.seed}",
            tags={"ohgw.cell": cell.planned.id, TAG: f"{cell.planned.id} {arm.label} {final.seed}"},
        )
        plan = header.plan
        settings = {
            "task": plan.task,
            "scheduler": plan.scheduler,
            "method": arm.method,
            "recipe": arm.recipe,
            "seed": final.seed,
            "workers": plan.workers,
            "budget": plan.budget,
        } | {f"best.{name}": value for name, value in final.configuration.items()}
        metrics = [
            Metric(name, value, round(1000 * row.wall), round(row.work))
            for row in reports
            for name, value in (("score", row.score), ("resource", float(row.resource)))
            if value is not None
        ]
        end, step = round(1000 * final.wall), round(final.work)
        closing = {"best_score": final.score, "work": final.work, "probe_work": final.probe_work}
        closing |= {f"test_{name}": value for name, value in final.metrics.items()}
        metrics += [Metric(n, v, end, step) for n, v in closing.items() if v is not None]
        self.client.log_batch(
            run.info.run_id,
            params=[Param(name, str(value)) for name, value in settings.items()],
            tags=[RunTag("ohgw.git", str(cell.manifest.git if cell.manifest else None))],
        )
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run.info.run_id, metrics=metrics[start : start + BATCH])
        self.client.set_terminated(run.info.run_id)


open_sink = MLflow
