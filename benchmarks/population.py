"""What the population engine saves: time per configuration-step against one-at-a-time training.

    python benchmarks/population.py [--task TASK] [--lanes P ...] [--json]

One side is the engine's own step with P lanes filled by a real search: feed, averaging and
bookkeeping included. The other trains one configuration as users write it (`_reference.py`), with
the same mini-batch size, augmentation and regularisation. Lanes of a mixed task
(`breast-cancer:space=mixed`) are in as many programs as its drawn configurations have variants;
there, the other side is the serial engine's step on each lane in turn.

Both run in this process on one thread, in turns, so that what else the machine does hits both; the
speed-up is the median over rounds of the ratio of a round's two times, its range the smallest and
the largest.

Seconds are CPU seconds: a process that waits for a busy core does not look slow.
"""

import argparse
import ctypes
import gc
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import process_time

import torch
from _reference import Reference
from rich.console import Console
from rich.table import Table

from ohgw import tasks
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.records import Arm
from ohgw.engines.build import make_engine
from ohgw.engines.population import PopulationEngine
from ohgw.engines.process import tuned_process
from ohgw.study.plan import make_plan, make_searches
from ohgw.tasks._common import ClassificationTask
from ohgw.training.dynamics import decode, initial_state, natural, step_
from ohgw.training.feed import initial_parameters

LANES = (1, 16, 64, 256)
ROUNDS = 9
SLICE = 0.25  # seconds of each side in a round, at least


@dataclass(frozen=True)
class Result:
    """Seconds are CPU seconds of one training step of one configuration."""

    task: str
    lanes: int
    variants: int  # that the lanes are of
    parameters: int
    seconds_per_step: float
    reference_seconds_per_step: float
    speedup: float
    speedup_low: float
    speedup_high: float
    rounds: int
    peak_mib: float | None  # that the population adds to the process; None where it is not known


def measure(name: str, lanes: int) -> Result:
    task = tasks.load(name)
    assert isinstance(task, ClassificationTask)  # a reference exists for these
    with PeakMemory() as memory:
        engine = filled(task, lanes)
        for _ in range(3):
            engine.step()
    if task.space.discrete:
        reference, each = lane_by_lane(engine), lanes
    else:
        reference, each = one_at_a_time(task), 1
    per_step, per_reference = in_turns(engine.step, lambda: next(reference), ROUNDS, SLICE)
    per_step = [seconds / lanes for seconds in per_step]
    per_reference = [seconds / each for seconds in per_reference]
    ratios = [b / a for a, b in zip(per_step, per_reference, strict=True)]
    return Result(
        task=name,
        lanes=lanes,
        variants=len(engine.variants),
        parameters=len(initial_parameters(task, 0)),
        seconds_per_step=median(per_step),
        reference_seconds_per_step=median(per_reference),
        speedup=median(ratios),
        speedup_low=min(ratios),
        speedup_high=max(ratios),
        rounds=len(ratios),
        peak_mib=memory.mib,
    )


def filled(task: DifferentiableTask, lanes: int, spec: str = "population") -> PopulationEngine:
    """An engine with one search of as many workers as lanes, none of which ends meanwhile."""
    engine = make_engine(spec, task)
    assert isinstance(engine, PopulationEngine)
    plan = make_plan(
        task,
        arms=[Arm(method="vanilla", recipe="averaged")],
        seeds=[0],
        scheduler="random",
        budget=1e12,
        workers=lanes,
        engine=spec,
        device=str(task.device),
        threads=1,
    )
    (search,) = make_searches(plan, task, engine)
    engine.bind([search])
    engine.add(search.launch())
    # Lanes of a search are at different places in their epochs: every step loads some of them.
    for group in engine.variants.values():
        for row, lane in enumerate(group.table):
            assert lane is not None
            lane.t += row * group.task.steps_per_epoch // len(group.table)
            lane.until = sys.maxsize
            group.feed_row(row)
    return engine


def one_at_a_time(task: ClassificationTask) -> Iterator[None]:
    """One training step for each `next`, at the centre of the space."""
    configuration = task.space.from_unit([0.5] * task.space.d)
    return Reference(task, configuration, initial_parameters(task, 0)).epochs()


def lane_by_lane(engine: PopulationEngine) -> Iterator[None]:
    """A training step of every lane's configuration, one after the other, for each `next`."""
    alone = []
    for group in engine.variants.values():
        for lane in group.table:
            assert lane is not None
            task, streams = group.task, lane.search.sweep.streams
            configuration = lane.search.trials[lane.job.trial].configuration
            theta = initial_parameters(task, streams.integer("initialisation", lane.job.trial))
            hp = decode(task.space, natural(task, [configuration])[0])
            order, offsets = map(torch.as_tensor, group.feed.epoch(streams, lane.job.trial, 0))
            alone.append((group, initial_state(task, theta), hp, order, offsets))
    for count in itertools.count():
        for group, state, hp, order, offsets in alone:
            row = count % len(order)
            noise = group.feed.noise(offsets[row : row + 1])[0]
            step_(group.task, state, group.feed.batch(order[row]), hp, noise)
        yield


def in_turns(
    first: Callable[[], object],
    second: Callable[[], object],
    rounds: int,
    seconds: float,
) -> tuple[list[float], list[float]]:
    """Seconds per call of each, round by round; which goes first changes with every round."""
    sides = (first, second)
    for side in sides:
        side()  # what is done once is not measured
    calls = [max(1, round(seconds / seconds_per_call(side, 1))) for side in sides]
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for k in (0, 1) if number % 2 else (1, 0):
            taken[k].append(seconds_per_call(sides[k], calls[k]))
    return taken


def seconds_per_call(function: Callable[[], object], calls: int) -> float:
    began = process_time()
    for _ in range(calls):
        function()
    return (process_time() - began) / calls


class PeakMemory:
    """Growth of the resident set at its peak inside the block, in MiB; None outside Linux."""

    mib: float | None = None

    def __enter__(self) -> "PeakMemory":
        self._before = None
        if sys.platform == "linux":
            gc.collect()
            libc = ctypes.CDLL(None)
            if hasattr(libc, "malloc_trim"):
                libc.malloc_trim(0)  # what an earlier measurement left would be used unseen
                Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
                self._before = self._read("VmRSS")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            self.mib = round((self._read("VmHWM") - self._before) / 1024, 1)

    def _read(self, key: str) -> int:
        """KiB."""
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
        raise LookupError(key)


def show(results: Sequence[Result], console: Console) -> None:
    table = Table(title="One training step of one configuration, us of CPU time on one thread")
    table.add_column("task", no_wrap=True)
    for column in ("lanes", "fused", "alone", "speed-up", "range", "MiB"):
        table.add_column(column, justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            result.task,
            f"{result.lanes} in {result.variants}" if result.variants > 1 else str(result.lanes),
            f"{1e6 * result.seconds_per_step:.0f}",
            f"{1e6 * result.reference_seconds_per_step:.0f}",
            f"{result.speedup:.1f}x",
            f"{result.speedup_low:.1f} - {result.speedup_high:.1f}",
            "" if result.peak_mib is None else f"{result.peak_mib:.0f}",
        )
    console.print(table)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What the population engine saves.")
    parser.add_argument("--task", help="one task instead of all; options after colons")
    parser.add_argument("--lanes", type=int, nargs="+", default=LANES, metavar="P")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(argv)
    if min(options.lanes) < 1:
        parser.error("--lanes must be at least 1")
    torch.set_num_threads(1)
    names = [options.task] if options.task else tasks.BUNDLED
    results = []
    with tuned_process(), Console(stderr=True).status("") as status:  # tuned as every search is
        for name in names:
            for lanes in options.lanes:
                status.update(f"{name}, {lanes} lanes")
                results.append(measure(name, lanes))
    if options.json:
        rows = [asdict(result) for result in results]
        print(json.dumps(rows[0] if options.task and len(rows) == 1 else rows, indent=2))
    else:
        show(results, Console())


if __name__ == "__main__":
    main()
