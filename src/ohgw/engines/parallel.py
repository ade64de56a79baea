"""Data parallelism: each step of a trial on several devices, which share its mini-batch out.

Every device has the whole model, takes the same steps and averages gradients with the others by
`torch.distributed`: NCCL between GPUs, gloo between processes on a CPU. The process that runs the
search has the first device; the others have a child process each. A step is that of one device up
to rounding, but for batch normalisation, whose statistics are those of a share.
"""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from ohgw.core.errors import SettingError
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.engines.child import Child
from ohgw.engines.serial import DifferentiableTrainer, SerialEngine, check_parts
from ohgw.engines.states import Paused
from ohgw.engines.worker import Source, moved
from ohgw.training.dynamics import Losses, State, share, step_
from ohgw.training.precision import in_precision

JOIN = "ohgw-devices"  # the file in which they find each other


class Share(DifferentiableTrainer):
    """What one device does of each step: rank `rank` of `devices`."""

    def __init__(
        self, task: DifferentiableTask, rank: int, devices: int, *, compiled: bool = False
    ) -> None:
        super().__init__(task, compiled=compiled)
        self.rank, self.devices = rank, devices

    def join(self, folder: str) -> None:
        """Meet the others; returns once all are there."""
        task = self.probe.task
        if task.device.type == "cuda":
            torch.cuda.set_device(task.device)
        dist.init_process_group(
            "nccl" if task.device.type == "cuda" else "gloo",
            init_method=f"file://{Path(folder) / JOIN}",
            rank=self.rank,
            world_size=self.devices,
        )

    def _step_(
        self,
        task: DifferentiableTask,
        state: State,
        batch: tuple[Tensor, ...],
        hp: Mapping[str, Tensor],
        noise: Tensor,
        loss: Losses | None,
    ) -> None:
        check_parts(task, "devices", self.devices)
        own, numbers = share(batch, noise, self.rank, self.devices)
        step_(task, state, own, hp, numbers, loss, self._average)

    def _average(self, gradient: Tensor) -> None:
        dist.all_reduce(gradient)
        gradient /= self.devices


class Follower:
    """A child's share, and the state that it holds: what the leader has, to the last bit."""

    def __init__(
        self, source: Source, precision: str, rank: int, devices: int, compiled: bool
    ) -> None:
        task = source.load()
        assert isinstance(task, DifferentiableTask)
        self.share = Share(in_precision(task, precision), rank, devices, compiled=compiled)
        self.paused: Paused | None = None

    def join(self, folder: str) -> None:
        self.share.join(folder)

    def epoch(
        self, configuration: Configuration, streams: Streams, trial: int, paused: Paused | None
    ) -> None:
        """`paused` is None where the state is the one that this child ended its last epoch with."""
        if paused is not None:
            self.paused = moved(paused, self.share.probe.task.device)
        assert self.paused is not None
        try:
            self.paused = self.share.epoch(configuration, streams, trial, self.paused)
        except Exception:
            dist.destroy_process_group()  # or the others would wait for this one
            raise


class Leader(Share):
    """The first device's share; tells the followers what to train."""

    def __init__(
        self,
        task: DifferentiableTask,
        start: Callable[[int], Child],
        devices: int,
        *,
        compiled: bool,
    ) -> None:
        super().__init__(task, 0, devices, compiled=compiled)
        self._start_follower = start
        self._followers: list[Child] = []
        self._held: Paused | None = None  # what the followers hold

    def epoch(
        self, configuration: Configuration, streams: Streams, trial: int, paused: Paused
    ) -> Paused:
        if not self._followers:
            self._start()
        sent = None if paused is self._held else moved(paused, "cpu")
        for follower in self._followers:
            follower.ask("epoch", dict(configuration), streams, trial, sent)
        try:
            self._held = super().epoch(configuration, streams, trial, paused)
        except RuntimeError:  # of torch.distributed, where one is gone
            for follower in self._followers:
                follower.answer()
            raise
        return self._held

    def _start(self) -> None:
        self._followers = [self._start_follower(rank) for rank in range(1, self.devices)]
        with tempfile.TemporaryDirectory() as folder:
            for follower in self._followers:
                follower.ask("join", folder)
            self.join(folder)

    def close(self) -> None:
        for follower in self._followers:
            follower.close()
        if self._followers:
            dist.destroy_process_group()
        self._followers, self._held = [], None


class ParallelEngine(SerialEngine):
    """One job after the other, each on `devices` devices of this machine at once."""

    def __init__(
        self, task: DifferentiableTask, devices: int, precision: str, compiled: bool
    ) -> None:
        check_parts(task, "devices", devices)
        if task.device.type == "cuda" and torch.cuda.device_count() < devices:
            raise SettingError(
                f"devices={devices!r} of engine 'serial': torch sees "
                f"{torch.cuda.device_count()} CUDA devices."
            )

        def start(rank: int) -> Child:
            where = f"cuda:{rank}" if task.device.type == "cuda" else str(task.device)
            source = Source.of(task, where)
            return Child(
                "spawn",
                partial(Follower, source, precision, rank, devices, compiled),
                threads=torch.get_num_threads(),
                engine=self.name,
                advice="If memory ran out, take a smaller batch_size.",
            )

        self._leader = Leader(in_precision(task, precision), start, devices, compiled=compiled)
        super().__init__(self._leader)

    def close(self) -> None:
        self._leader.close()
