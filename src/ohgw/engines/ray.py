"""A pool of Ray actors, on a cluster that runs already or one started here.

Ray places workers, shares GPUs out in fractions and finds out when one is gone; a node that joins
gets workers at the next turn. Who trains what, and what becomes of the jobs of a lost worker, is
the engine's to say (`remote`).
"""

import logging
import os
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch

from ohgw.core.errors import MissingExtraError, SettingError
from ohgw.engines.remote import Done, Lost, Pool, RemoteEngine, check_pool, first_line
from ohgw.engines.worker import Assignment, Source, Task, Worker


def ray_engine(
    task: Task,
    *,
    workers: int = 0,
    cpus: float = 1,
    gpus: float = 0,
    lanes: int = 1,
    retries: int = 3,
) -> RemoteEngine:
    """`--engine ray`: see `docs/engines.md` for the options."""
    check_pool("ray", workers, lanes, retries)
    for name, value in (("cpus", cpus), ("gpus", gpus)):
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise SettingError(f"{name}={value!r} of engine 'ray' must be a number from 0.")
    if cpus == gpus == 0:
        raise SettingError("Engine 'ray' needs cpus or gpus above 0 for each worker.")
    if gpus > 1 and gpus != int(gpus):
        raise SettingError(f"gpus={gpus!r} of engine 'ray': above 1, only whole GPUs.")
    source = Source.of(task, "cuda" if gpus else "cpu")
    pool = RayPool(source, lanes > 1, workers=workers, cpus=cpus, gpus=gpus)
    return RemoteEngine(task, pool, lanes=lanes, retries=retries)


class _Actor:
    """Runs in the worker's process. Messages are bytes: Ray hands out arrays that are read-only."""

    def __init__(self, worker: bytes) -> None:
        from ray import cloudpickle

        self._pickle: Any = cloudpickle
        self._worker: Worker = cloudpickle.loads(worker)

    def ready(self) -> str:
        return self._worker.ready()

    def train(self, batch: bytes) -> bytes:
        found: bytes = self._pickle.dumps(self._worker.train(self._pickle.loads(batch)))
        return found


class RayPool(Pool):
    """Actors that take one batch after the other.

    On the cluster that `RAY_ADDRESS` names, as for any of Ray's tools, or that this process is
    connected to; without either, Ray is started on this machine.

    workers
        How many at most; 0 for as many as the cluster has CPUs and GPUs for, now and later.
    cpus, gpus
        That a worker holds; several share a GPU of which each holds a part.
    """

    name = "ray"

    def __init__(
        self, source: Source, fused: bool, *, workers: int, cpus: float, gpus: float
    ) -> None:
        try:
            import ray
        except ImportError:
            raise MissingExtraError("Engine 'ray'", "ray") from None
        self._ray: Any = ray
        self.gpus, self._most, self._cpus = float(gpus), workers, cpus
        if not ray.is_initialized():
            _start(ray, workers, cpus, gpus)
        worker = Worker(source, fused, torch.get_num_threads())
        self._worker = ray.put(self._ray.cloudpickle.dumps(worker))
        remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0)
        self._make: Any = remote(_Actor)
        self._queue: deque[tuple[int, bytes]] = deque()
        self._names: dict[Any, str] = {}  # of the actors that are there
        self._starting: dict[Any, Any] = {}  # what an actor will answer -> the actor
        self._busy: dict[Any, tuple[Any, int]] = {}  # the same -> the actor and its ticket

    def submit(self, ticket: int, batch: list[Assignment]) -> None:
        self._queue.append((ticket, self._ray.cloudpickle.dumps(batch)))

    def wait(self, seconds: float) -> list[Done | Lost]:
        self._assign()
        pending = [*self._starting, *self._busy]
        ready, rest = self._ray.wait(pending, num_returns=1, timeout=seconds)
        if rest:
            ready += self._ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        return [event for answer in ready for event in self._event(answer)]

    def _assign(self) -> None:
        """Batches to idle workers, and further workers for what is left."""
        busy = {actor for actor, _ in self._busy.values()}
        idle = [actor for actor in self._names if actor not in busy]
        while idle and self._queue:
            actor, (ticket, batch) = idle.pop(), self._queue.popleft()
            self._busy[actor.train.remote(batch)] = actor, ticket
        wanted = len(self._queue) - len(self._starting)
        if wanted > 0:
            room = self._room() - len(self._names) - len(self._starting)
            for _ in range(min(wanted, room)):
                actor = self._make.remote(self._worker)
                self._starting[actor.ready.remote()] = actor

    def _room(self) -> int:
        """Workers that the cluster holds at present, if nobody else uses it; never none."""
        if self._most:
            return self._most
        have = self._ray.cluster_resources()
        needs = {"CPU": self._cpus, "GPU": self.gpus}
        return max(1, min(int(have.get(name, 0) / need) for name, need in needs.items() if need))

    def _event(self, answer: Any) -> Iterator[Done | Lost]:
        ticket = None
        if answer in self._starting:
            actor = self._starting.pop(answer)
        else:
            actor, ticket = self._busy.pop(answer)
        try:
            found = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None  # what loading or training raised, as it was raised
        except self._ray.exceptions.RayError as error:
            yield Lost(ticket, self._names.pop(actor, "a starting worker"), first_line(error))
            return
        if ticket is None:
            self._names[actor] = found
        else:
            yield Done(ticket, *self._ray.cloudpickle.loads(found))

    def close(self) -> None:
        """The workers end; Ray itself stays up until this process ends, for the next run."""
        self._queue.clear()
        if self._ray.is_initialized():
            for actor in [*self._names, *self._starting.values()]:
                self._ray.kill(actor)
        self._names, self._starting, self._busy = {}, {}, {}


def _start(ray: Any, workers: int, cpus: float, gpus: float) -> None:
    """Connect, or start Ray here. Raises `SettingError` where nothing answers at the address."""
    quiet = {"log_to_driver": False, "logging_level": logging.WARNING}
    address = os.environ.get("RAY_ADDRESS", "")
    if not address:
        enough = max(1, round(workers * cpus)) if workers else None
        ray.init(num_cpus=enough, include_dashboard=False, **quiet)
        if ray.cluster_resources().get("GPU", 0) < gpus:  # a worker would wait for ever
            raise SettingError(f"gpus={gpus!r} of engine 'ray': this machine has not so many.")
        return
    try:
        host, _, port = address.rpartition(":")
        if host and "/" not in host:  # Ray itself would knock for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise SettingError(
            f"No Ray cluster answers at RAY_ADDRESS={address!r} ({first_line(error)}). Start one "
            "with `ray start --head`, correct the address, or unset it to run Ray here."
        ) from None
