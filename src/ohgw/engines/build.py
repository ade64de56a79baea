"""The engines by name, and the device they run on."""

import math
import os
import shutil
from collections.abc import Callable

import torch

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.protocols import BlackBoxTask, DifferentiableTask
from ohgw.core.space import Categorical, Domain, Int
from ohgw.core.spec import read_spec
from ohgw.engines.engine import Engine
from ohgw.engines.parallel import ParallelEngine
from ohgw.engines.population import PopulationEngine
from ohgw.engines.ray import ray_engine
from ohgw.engines.serial import SerialEngine, trainer_of
from ohgw.engines.shards import ShardedEngine
from ohgw.engines.slurm import slurm_engine
from ohgw.training.feed import Feed
from ohgw.training.precision import PRECISIONS, in_precision
from ohgw.warmstart.differentiable_probe import DifferentiableProbe

DEFAULT_WORKERS, MOST_WORKERS = 4, 32
# Where fusing pays on a CPU (benchmarks/population.py, benchmarks/fusing.py): with two lanes of a
# variant, on average, and while a training step leaves a core waiting for the next operation.
LEAST_LANES = 2
BUSY_FLOPS = 5e7  # of one training step, from which on a core is busy


def _population(
    task: DifferentiableTask | BlackBoxTask,
    *,
    processes: int = 1,
    precision: str = "float32",
    compile: bool = False,
) -> Engine:
    if not isinstance(task, DifferentiableTask):
        raise SettingError(
            f"Task {task.name!r} only trains and scores; a population needs its training step as "
            "a function of tensors. Use --engine serial."
        )
    _check_count("population", "processes", processes)
    _check_step("population", precision, compile)
    task = in_precision(task, precision)
    if processes == 1:
        return PopulationEngine(task, compiled=compile)
    if compile:
        raise SettingError(
            f"compile=true of engine 'population' is for one process, not processes={processes}."
        )
    return ShardedEngine(task, processes)


def _serial(
    task: DifferentiableTask | BlackBoxTask,
    *,
    devices: int = 1,
    accumulate: int = 1,
    precision: str = "float32",
    compile: bool = False,
) -> Engine:
    _check_count("serial", "devices", devices)
    _check_count("serial", "accumulate", accumulate)
    _check_step("serial", precision, compile)
    if isinstance(task, DifferentiableTask):
        if devices > 1 and accumulate > 1:
            raise SettingError(
                "devices and accumulate of engine 'serial' exclude each other: a device's share "
                "of the mini-batch is computed at once."
            )
        if devices > 1:
            return ParallelEngine(task, devices, precision, compile)
        task = in_precision(task, precision)
    elif devices > 1 or accumulate > 1 or compile or precision != "float32":
        raise SettingError(
            f"Task {task.name!r} trains by itself: options of engine 'serial' cannot change how."
        )
    return SerialEngine(trainer_of(task, compiled=compile, accumulate=accumulate))


def _check_count(engine: str, option: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingError(
            f"{option}={value!r} of engine {engine!r} must be a whole number from 1."
        )


def _check_step(engine: str, precision: str, compile: bool) -> None:
    if precision not in PRECISIONS:
        raise UnknownNameError(f"precision of engine {engine!r}", str(precision), PRECISIONS)
    if not isinstance(compile, bool):
        raise SettingError(f"compile={compile!r} of engine {engine!r} must be true or false.")
    if compile and shutil.which(os.environ.get("CXX", "c++")) is None:
        raise SettingError(
            f"compile=true of engine {engine!r} needs a C++ compiler, and none is found: install "
            "one (Debian: g++), or leave it out."
        )


# Every entry is called as (task, **options).
ENGINES: dict[str, Callable[..., Engine]] = {
    "population": _population,
    "serial": _serial,
    "ray": ray_engine,
    "slurm": slurm_engine,
}
LOCAL = ("population", "serial")


def check_spec(spec: str) -> None:
    """Raise `UnknownNameError` or `SettingError` where `make_engine` would, as far as names go."""
    read_spec("engine", spec, ENGINES)


def make_engine(spec: str, task: DifferentiableTask | BlackBoxTask) -> Engine:
    """The engine that `name` or `name:option=value:...` says, for a task.

    Raises `UnknownNameError`, `SettingError` if they clash, and `MissingExtraError`.
    """
    name, options = read_spec("engine", spec, ENGINES)
    return ENGINES[name](task, **options)


def make_sampler(spec: str, task: DifferentiableTask | BlackBoxTask, lanes: int) -> Engine:
    """An engine of this process for a short look at what `spec` would train.

    The same where it is local; else the one that suits so many lanes.
    """
    name, _ = read_spec("engine", spec, ENGINES)
    return make_engine(spec if name in LOCAL else default_engine(task, lanes), task)


def records_alike(spec: str, other: str) -> bool:
    """Whether two engines give one record to the last digit: pools may differ, lanes may not."""
    (name, options), (their_name, theirs) = (read_spec("engine", s, ENGINES) for s in (spec, other))
    if name in LOCAL or name != their_name:
        return spec == other
    return bool(options.get("lanes", 1) == theirs.get("lanes", 1))


def default_engine(task: DifferentiableTask | BlackBoxTask, lanes: int) -> str:
    """'population' wherever it can run and pays, for so many workers of all searches together."""
    if not isinstance(task, DifferentiableTask):
        return "serial"
    if task.device.type == "cpu" and _step_flops(task) > BUSY_FLOPS:
        return "serial"
    variants = math.prod(_count(task.space[name]) for name in task.space.discrete)
    return "population" if variants == 1 or lanes >= LEAST_LANES * variants else "serial"


def default_workers(task: DifferentiableTask | BlackBoxTask, budget: float, engine: str) -> int:
    """Workers of one search of `budget` epochs: as many as fused lanes are nearly free.

    Each has work for two full trainings at least, because workers that run side by side do not
    learn from each other. A power of two, so that what little decides it does not change it.
    """
    name, options = read_spec("engine", engine, ENGINES)
    if name != "population" or not isinstance(task, DifferentiableTask):
        return DEFAULT_WORKERS
    free = options.get("processes", 1) * BUSY_FLOPS / _step_flops(task)
    most = min(budget / (2 * task.max_resource), free, MOST_WORKERS)
    return max(DEFAULT_WORKERS, 1 << math.floor(math.log2(max(1, most))))


def _step_flops(task: DifferentiableTask) -> float:
    return DifferentiableProbe(task, Feed(task)).step_flops


def _count(domain: Domain) -> int:
    """Values of a discrete domain."""
    if isinstance(domain, Categorical):
        return len(domain.choices)
    assert isinstance(domain, Int)
    return domain.high - domain.low + 1


def resolve_device(name: str) -> tuple[str, str]:
    """The device to use for `name` ('auto', 'cpu', 'cuda', 'cuda:1'), and the reason.

    Raises `SettingError` for a device that is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda", f"auto: {torch.cuda.get_device_name()} is there"
        return "cpu", "auto: no CUDA device"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SettingError(f"{name!r} is not a device. Use auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingError(
            f"Device {name!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices. "
            "Use --device cpu or --device auto."
        )
    return str(device), "as asked"
