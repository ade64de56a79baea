"""The engines by name, and the device they run on."""

import math
from collections.abc import Callable

import torch

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.protocols import BlackBoxTask, DifferentiableTask
from ohgw.core.space import Categorical, Domain, Int
from ohgw.engines.engine import Engine
from ohgw.engines.population import PopulationEngine
from ohgw.engines.serial import BlackBoxTrainer, DifferentiableTrainer, SerialEngine

LEAST_LANES = 2  # of a variant, on average, from which on fusing them pays


def _population(task: DifferentiableTask | BlackBoxTask) -> Engine:
    if not isinstance(task, DifferentiableTask):
        raise SettingError(
            f"Task {task.name!r} only trains and scores; a population needs its training step as "
            "a function of tensors. Use --engine serial."
        )
    return PopulationEngine(task)


def _serial(task: DifferentiableTask | BlackBoxTask) -> Engine:
    if isinstance(task, DifferentiableTask):
        return SerialEngine(DifferentiableTrainer(task))
    return SerialEngine(BlackBoxTrainer(task))


ENGINES: dict[str, Callable[[DifferentiableTask | BlackBoxTask], Engine]] = {
    "population": _population,
    "serial": _serial,
}


def make_engine(name: str, task: DifferentiableTask | BlackBoxTask) -> Engine:
    """The named engine for a task. Raises `UnknownNameError`, or `SettingError` if they clash."""
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    return ENGINES[name](task)


def default_engine(task: DifferentiableTask | BlackBoxTask, lanes: int) -> str:
    """'population' wherever it can run and pays, for so many workers of all searches together.

    Every variant is a program of its own, and one with fewer than two lanes is slower than its
    configurations one by one (`benchmarks/population.py`).
    """
    if not isinstance(task, DifferentiableTask):
        return "serial"
    variants = math.prod(_count(task.space[name]) for name in task.space.discrete)
    return "population" if variants == 1 or lanes >= LEAST_LANES * variants else "serial"


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
