"""From a study's name and overrides to its cells: Hydra composes, this checks and multiplies out.

A study is a set of blocks; a block is the product of its tasks, schedulers and numbers of workers,
and each element of the product is a cell: one comparison of the block's methods on paired seeds.
What a block does not say comes from the settings beside the blocks, the budget from its task.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, ValidationError

import ohgw.conf
from ohgw import tasks
from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.layout import CellPlan, StudyPlan, Sweep, file_name
from ohgw.core.records import Arm, Plan, first_fault
from ohgw.core.spec import read_spec, spec_options
from ohgw.engines.build import resolve_device
from ohgw.study.plan import CALIBRATION_ARM, Task, make_plan
from ohgw.training.recipes import DEFAULT_RECIPE
from ohgw.warmstart import METHODS

CONF = Path(ohgw.conf.__file__).parent


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _SmokeTask(_Strict):
    spec: str
    budget: float


class _Task(_SmokeTask):
    smoke: _SmokeTask


class _Engine(_Strict):
    name: str
    device: str = "auto"
    threads: int = 1


class _Smoke(_Strict):
    seeds: int
    calibration: int


class _Common(_Strict):
    """What a block may say for itself."""

    seeds: int | None = None
    first_seed: int | None = None
    calibration: int | None = None
    workers: tuple[int, ...] | None = None
    budget: float | None = None


class _Block(_Common):
    task: tuple[str, ...]
    scheduler: tuple[str, ...]
    method: tuple[str, ...]
    sweep: str | None = None
    run_ids: Mapping[str, str] = {}


class _Configuration(_Common):
    title: str
    description: str = ""
    tasks: Mapping[str, _Task]
    methods: Mapping[str, Arm]
    engine: _Engine
    smoke: _Smoke
    blocks: Mapping[str, _Block]


def study_names(config_dir: Path | None = None) -> list[str]:
    """The studies that ship, and those in `config_dir`/study."""
    places = [CONF] if config_dir is None else [CONF, config_dir]
    return sorted({path.stem for place in places for path in (place / "study").glob("*.yaml")})


def compose_study(
    name: str,
    overrides: Sequence[str] = (),
    *,
    smoke: bool = False,
    config_dir: Path | None = None,
) -> StudyPlan:
    """The checked plan of the study `name`.

    `overrides` are Hydra's, `seeds=10` or `blocks.digits.scheduler=[pasha]`; `config_dir` holds
    further groups (`task/`, `method/`, `study/`). With `smoke`, every cell is kept, with the
    smallest form of its task and few seeds. Raises `UnknownNameError` or `SettingError`.
    """
    known = study_names(config_dir)
    if name not in known:
        raise UnknownNameError("study", name, known)
    configuration = _read(name, overrides, config_dir)
    cells = list(_cells(configuration, smoke))
    if not cells:
        raise SettingError(f"Study {name!r} has no cell: every block needs a task and a scheduler.")
    _require_distinct((cell.id for cell in cells), "Two cells are the same")
    _require_distinct((run for cell in cells for run in cell.run_ids.values()), "Run id used twice")
    return StudyPlan(
        name=f"{name}-smoke" if smoke else name,
        title=configuration.title,
        description=configuration.description,
        overrides=tuple(overrides),
        cells=tuple(cells),
    )


def _read(name: str, overrides: Sequence[str], config_dir: Path | None) -> _Configuration:
    search = [] if config_dir is None else [f"hydra.searchpath=[file://{config_dir.absolute()}]"]
    GlobalHydra.instance().clear()  # of another composition in this process
    try:
        with initialize_config_module("ohgw.conf", version_base="1.3"):
            composed = compose("config", overrides=[f"study={name}", *search, *overrides])
        content: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise SettingError(
            f"Study {name!r} cannot be composed: {' '.join(lines)} "
            "Overrides read key=value, for example seeds=10 or blocks.digits.scheduler=[pasha]; "
            f"the files are in {CONF}."
        ) from None
    try:
        return _Configuration.model_validate(content)
    except ValidationError as error:
        place, message = first_fault(error)
        raise SettingError(
            f"Study {name!r}: {place or 'the configuration'}: {message} "
            f"(found {error.errors()[0]['input']!r})."
        ) from None


def _cells(configuration: _Configuration, smoke: bool) -> Iterator[CellPlan]:
    device, _ = resolve_device(configuration.engine.device)
    loaded: dict[str, Task] = {}
    for name, block in configuration.blocks.items():
        arms = _arms(block.method, configuration.methods)
        for task_name in block.task:
            spec, budget = _task(task_name, configuration, smoke)
            if spec not in loaded:
                loaded[spec] = tasks.load(spec, device=device)
            settings = _settings(block, configuration, smoke, budget)
            for scheduler in block.scheduler:
                for workers in _first(block.workers, configuration.workers, (4,)):
                    plan = make_plan(
                        loaded[spec],
                        arms=arms,
                        scheduler=scheduler,
                        workers=workers,
                        engine=configuration.engine.name,
                        device=str(getattr(loaded[spec], "device", "cpu")),
                        threads=configuration.engine.threads,
                        **settings,
                    )
                    yield _cell(name, block, task_name, plan)


def _settings(
    block: _Block, configuration: _Configuration, smoke: bool, budget: float
) -> dict[str, Any]:
    """Seeds, calibration runs and budget of a block; `budget` is what its task says."""
    seeds = _first(block.seeds, configuration.seeds, 30)
    calibration = _first(block.calibration, configuration.calibration, 16)
    if smoke:
        seeds = min(seeds, configuration.smoke.seeds)
        calibration = min(calibration, configuration.smoke.calibration)
    else:
        budget = _first(block.budget, configuration.budget, budget)
    first = _first(block.first_seed, configuration.first_seed, 0)
    return {
        "seeds": range(first, first + seeds),
        "calibration": calibration,
        "budget": budget,
    }


def _cell(block_name: str, block: _Block, task_name: str, plan: Plan) -> CellPlan:
    identity = ".".join(
        [block_name, file_name(task_name), file_name(plan.scheduler), f"w{plan.workers}"]
    )
    labels = [arm.label for arm in plan.arms]
    for label in block.run_ids:
        if label not in labels:
            raise UnknownNameError(f"arm in run_ids of block {block_name!r}", label, labels)
    return CellPlan(
        id=identity,
        block=block_name,
        plan=plan,
        run_ids={
            label: block.run_ids.get(label, f"{identity}.{file_name(label)}") for label in labels
        },
        sweep=None if block.sweep is None else _sweep(block.sweep, task_name, plan),
    )


def _task(name: str, configuration: _Configuration, smoke: bool) -> tuple[str, float]:
    """The task to load and its budget; options that `name` carries are added to its settings."""
    base, _, options = name.partition(":")
    if base not in configuration.tasks:
        raise UnknownNameError("task", base, configuration.tasks)
    entry: _SmokeTask = configuration.tasks[base]
    if smoke:
        entry = configuration.tasks[base].smoke
    return ":".join(filter(None, [entry.spec, options])), entry.budget


def _arms(names: Iterable[str], known: Mapping[str, Arm]) -> list[Arm]:
    """The arms, after vanilla under the plain recipe and under each recipe that they use."""
    arms = [known[name] if name in known else _arm(name) for name in names]
    references = [Arm(method=CALIBRATION_ARM.method, recipe=arm.recipe) for arm in arms]
    return list(dict.fromkeys([CALIBRATION_ARM, *references, *arms]))


def _arm(label: str) -> Arm:
    method, _, recipe = label.partition("/")
    return Arm(method=method, recipe=recipe or DEFAULT_RECIPE)


def _sweep(name: str, task: str, plan: Plan) -> Sweep:
    if name == "workers":
        return Sweep(name=name, value=plan.workers)
    _, given = read_spec("task", task, tasks.TASKS)
    if name in spec_options(tasks.TASKS[task.partition(":")[0]]):
        return Sweep(name=name, value=_number(given.get(name), f"{name} of task {task!r}"))
    values = {}
    for arm in plan.arms:
        _, options = read_spec("method", arm.method, METHODS)
        if name in options:
            values[arm.label] = _number(options[name], f"{name} of method {arm.method!r}")
    if not values:
        raise SettingError(
            f"Sweep {name!r} is no setting of the block's task, methods or workers: no cell or arm "
            "differs in it."
        )
    return Sweep(name=name, values=values)


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingError(f"A sweep needs numbers; {what} is {value!r}. State it in every cell.")
    return float(value)


def _first(*values: Any) -> Any:
    """The first that is stated."""
    return next(value for value in values if value is not None)


def _require_distinct(names: Iterable[str], problem: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise SettingError(f"{problem}: {name!r}. Change or drop one.")
        seen.add(name)
