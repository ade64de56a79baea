"""A profiler's trace of what an arm does before its first rung, for Perfetto."""

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from ohgw.core.layout import CELLS, CellPlan, file_name
from ohgw.core.protocols import DifferentiableTask
from ohgw.engines.build import make_sampler
from ohgw.engines.memory import quiet_profiler
from ohgw.study.memory import start_search
from ohgw.study.plan import Task


def trace_probes(cell: CellPlan, task: Task, directory: Path) -> list[Path]:
    """One gzipped trace for each arm: its workers' first proposals, and the first training steps.

    Written beside the cell's record as `probe-ARM.json.gz`. Empty for a task that only trains and
    scores.
    """
    if not isinstance(task, DifferentiableTask):
        return []
    quiet_profiler()
    activities = [ProfilerActivity.CPU]
    if torch.device(task.device).type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    written = []
    for arm in cell.plan.arms:
        engine = make_sampler(cell.plan.engine, task, cell.plan.workers)
        with profile(activities=activities, record_shapes=True) as seen:
            start_search(cell.plan, task, engine, arm)
        path = directory / CELLS / cell.id / f"probe-{file_name(arm.label)}.json.gz"
        seen.export_chrome_trace(str(path))
        written.append(path)
    return written
