"""A pool of Slurm jobs, one for each batch, through submitit.

A Slurm job ends with its batch, so each loads the task anew: this engine is for trainings of
minutes and more, and `lanes` puts several into one job. Batches handed out together become one job
array. submitit's executor `local` runs the same jobs as processes of this machine.
"""

import time
from pathlib import Path
from typing import Any

import torch

from ohgw.core.errors import MissingExtraError, SettingError, UnknownNameError
from ohgw.engines.remote import Done, Lost, Pool, RemoteEngine, check_pool, first_line
from ohgw.engines.worker import Assignment, Source, Task, Worker

EXECUTORS = ("slurm", "local", "debug")
LOOK = 0.2  # seconds between two looks at the jobs; submitit asks Slurm less often


def slurm_engine(
    task: Task,
    *,
    executor: str = "slurm",
    partition: str = "",
    account: str = "",
    minutes: int = 60,
    cpus: int = 1,
    gpus: int = 0,
    memory: int = 8,
    workers: int = 64,
    lanes: int = 1,
    retries: int = 3,
    folder: str = "runs/slurm",
) -> RemoteEngine:
    """`--engine slurm`: see `docs/engines.md` for the options."""
    if executor not in EXECUTORS:
        raise UnknownNameError("executor of engine 'slurm'", executor, EXECUTORS)
    check_pool("slurm", workers, lanes, retries)
    for name, value, least in (
        ("minutes", minutes, 1),
        ("cpus", cpus, 1),
        ("gpus", gpus, 0),
        ("memory", memory, 1),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise SettingError(
                f"{name}={value!r} of engine 'slurm' must be a whole number from {least}."
            )
    settings: dict[str, Any] = {
        "timeout_min": minutes,
        "cpus_per_task": cpus,
        "mem_gb": memory,
        "name": "ohgw",
        "slurm_array_parallelism": max(1, workers),
    }
    if gpus:
        settings["gpus_per_node"] = gpus
    if partition:
        settings["slurm_partition"] = partition
    if account:
        settings["slurm_additional_parameters"] = {"account": account}
    source = Source.of(task, "cuda" if gpus else "cpu")
    pool = SlurmPool(source, lanes > 1, executor, Path(folder), settings)
    return RemoteEngine(task, pool, lanes=lanes, retries=retries)


class SlurmPool(Pool):
    """Jobs of one executor of submitit, whose files (pickles, logs) lie in `folder`.

    Compute nodes must see `folder` under the same path.
    """

    name = "slurm"

    def __init__(
        self,
        source: Source,
        fused: bool,
        executor: str,
        folder: Path,
        settings: dict[str, Any],
    ) -> None:
        try:
            import submitit
            from submitit.core import utils
        except ImportError:
            raise MissingExtraError("Engine 'slurm'", "slurm") from None
        self.gpus = float(settings.get("gpus_per_node", 0))
        self._lost = (utils.UncompletedJobError, utils.FailedJobError)
        try:
            self._executor = submitit.AutoExecutor(folder=folder / "%j", cluster=executor)
        except RuntimeError as error:
            raise SettingError(
                f"Engine 'slurm': {error}. Run this where `srun` is there, or try it out with "
                "--engine slurm:executor=local."
            ) from None
        self._executor.update_parameters(**settings)
        self._worker = Worker(source, fused, torch.get_num_threads())
        self._queue: list[tuple[int, list[Assignment]]] = []
        self._jobs: dict[int, Any] = {}  # by ticket

    def submit(self, ticket: int, batch: list[Assignment]) -> None:
        self._queue.append((ticket, batch))

    def wait(self, seconds: float) -> list[Done | Lost]:
        if self._queue:
            with self._executor.batch():
                jobs = [self._executor.submit(_run, self._worker, b) for _, b in self._queue]
            self._jobs |= {ticket: job for (ticket, _), job in zip(self._queue, jobs, strict=True)}
            self._queue = []
        until = time.monotonic() + seconds
        while not (done := [ticket for ticket, job in self._jobs.items() if job.done()]):
            if time.monotonic() >= until:
                return []
            time.sleep(LOOK)
        return [self._event(ticket, self._jobs.pop(ticket)) for ticket in done]

    def _event(self, ticket: int, job: Any) -> Done | Lost:
        try:
            found = job.result()
        except self._lost as error:  # killed, out of memory or time, its node gone
            return Lost(ticket, f"job {job.job_id}", f"{job.state}: {first_line(error)}")
        if isinstance(found, Exception):
            raise found
        return Done(ticket, *found)

    def close(self) -> None:
        self._queue = []
        for job in self._jobs.values():
            job.cancel()
        self._jobs = {}


def _run(worker: Worker, batch: list[Assignment]) -> Any:
    """In the job: what was trained, or the exception that training raised, which travels whole."""
    try:
        return worker.train(batch)
    except Exception as error:
        return error
