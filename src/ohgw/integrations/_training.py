"""A training that somebody else's loop is about to begin: probed, and left as it was.

The probe copies the module, reads a few mini-batches from a copy of the loader's order, and keeps
the random streams of torch, numpy and Python where they are.
"""

import logging
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten
from torch.utils.data import DataLoader, IterableDataset

from ohgw.core.errors import OHGWError, SettingError
from ohgw.core.protocols import Optimizer
from ohgw.core.space import Space
from ohgw.integrations._optimizers import check_schedules, proposed_by, twin, warms_up
from ohgw.tasks.module import ModuleTask, Tensors
from ohgw.warmstart import make_method
from ohgw.warmstart.starter import WarmStart, WarmStarter

log = logging.getLogger("ohgw")
TRAIN_BATCHES = 8  # optimiser steps whose mini-batches a probe draws from
VALIDATION_BATCHES = 2  # mini-batches that it judges by

StepLoss = Callable[[Any, Any], Tensor]
"""(module, mini-batch) -> mean loss, 0-d."""


def check_settings(space: Space, method: str) -> None:
    """Raise where a callback cannot work, as soon as it is made."""
    if not isinstance(space, Space):
        raise SettingError(f"space={space!r} must be an ohgw.Space.")
    make_method(method)


def probe(
    module: nn.Module,
    loss: StepLoss,
    optimizer: torch.optim.Optimizer,
    schedulers: Sequence[Any],
    train: Any,
    validation: Any,
    *,
    space: Space,
    method: str,
    steps: float,
    accumulate: int,
    seed: int,
    prepare: Callable[[Any], Any] = lambda batch: batch,
) -> WarmStart:
    """What to train the module at instead of what its optimiser is set to.

    train, validation
        Data loaders, or lists of mini-batches; without `validation` some of `train` are held out.
    steps
        Optimiser steps that the training will take; `accumulate` mini-batches make one.
    prepare
        What the loop does to a mini-batch before its step.

    Raises `OHGWError` subclasses, before any training step was taken, where this training cannot
    be probed.
    """
    check_schedules(schedulers, space)
    parameters = [p for p in module.parameters() if p.requires_grad]
    if any(p.dtype in (torch.float16, torch.bfloat16) for p in parameters):
        raise SettingError(
            "Parameters in half precision cannot be probed: steps of a learning rate vanish in "
            "rounding. Keep them in float32 and use mixed precision."
        )
    optimizer_twin = twin(optimizer, parameters, space)
    x = proposed_by(optimizer, space)
    with isolated(seed):
        data = _read_all(train, validation, accumulate, seed, prepare)
        task = _as_task(module, loss, data, optimizer_twin, space)
        _try(task)
        starter = WarmStarter(
            task,
            method=method,
            expected_resource=steps,
            units=1,
            warmup_steps=math.inf if warms_up(optimizer) else None,
            seed=seed,
        )
        return starter.propose(0, x)


@dataclass(frozen=True, slots=True)
class _Data:
    """What a probe reads: examples first, and how the tensors of a mini-batch stand in it."""

    train: Tensors
    validation: Tensors
    step_examples: int  # of one optimiser step
    spec: TreeSpec
    rest: Mapping[int, Any]  # leaves that are no tensors of examples, by position


def _read_all(
    train: Any, validation: Any, accumulate: int, seed: int, prepare: Callable[[Any], Any]
) -> _Data:
    batches = [prepare(batch) for batch in read(train, TRAIN_BATCHES * accumulate, seed)]
    rows, spec, rest = columns(batches)
    step_examples = accumulate * _examples(batches[0])
    try:
        looks = read(validation, VALIDATION_BATCHES * accumulate, seed)
        held, its_spec, _ = columns([prepare(batch) for batch in looks])
    except SettingError:  # there are none, or a probe cannot have them
        held, its_spec = (), None
    if its_spec != spec or len(held) != len(rows):  # nor can the training loss take all others
        count = len(rows[0])
        if count < 2:
            raise SettingError(f"One training example is too few to probe with; {_REMEDY}")
        cut = count - max(1, count * VALIDATION_BATCHES // TRAIN_BATCHES)
        rows, held = tuple(t[:cut] for t in rows), tuple(t[cut:] for t in rows)
    return _Data(rows, held, step_examples, spec, rest)


def _as_task(
    module: nn.Module, loss: StepLoss, data: _Data, optimizer: Optimizer, space: Space
) -> ModuleTask:
    try:
        return ModuleTask(
            _Step(module, loss, data.spec, data.rest),
            None,
            data.train,
            data.validation,
            space,
            optimizer=optimizer,
            batch_size=min(data.step_examples, len(data.train[0]), len(data.validation[0])),
            name=type(module).__name__,
            # a step may branch on values, as many models do on their attention masks
            vectorized=False,
        )
    except (RuntimeError, TypeError) as error:  # of deepcopy
        raise SettingError(
            f"{type(module).__name__} cannot be copied for a probe: {error} Keep what cannot be "
            "copied, such as tensors with a graph, out of its attributes."
        ) from error


class _Step(nn.Module):
    """A module and its loss as a module that takes the tensors of a mini-batch."""

    def __init__(
        self, module: nn.Module, loss: StepLoss, spec: TreeSpec, rest: Mapping[int, Any]
    ) -> None:
        super().__init__()
        self.module = module

        # a closure, so that a copy of this module copies nothing but the module
        def step(module: nn.Module, tensors: tuple[Tensor, ...]) -> Tensor:
            column = iter(tensors)
            count = len(tensors) + len(rest)
            leaves = [rest[i] if i in rest else next(column) for i in range(count)]
            return loss(module, tree_unflatten(leaves, spec))

        self._step = step

    def forward(self, *tensors: Tensor) -> Tensor:
        return self._step(self.module, tensors)


def _try(task: ModuleTask) -> None:
    """One loss, so that what cannot be probed is said in the user's words."""
    batch = tuple(tensor[: task.batch_size] for tensor in task.data["train"])
    remedy = (
        f"The loss of {task.name} cannot be computed outside of its training loop. Give "
        "loss=lambda module, batch: ..., which returns the mean loss of a mini-batch."
    )
    try:
        loss = task.loss(task.init(torch.Generator()), batch)
    except OHGWError:
        raise
    except Exception as error:
        raise SettingError(f"{remedy} ({type(error).__name__}: {error})") from error
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        raise SettingError(f"{remedy} (It returned {type(loss).__name__}.)")


def read(source: Any, count: int, seed: int) -> list[Any]:
    """The first `count` mini-batches, of a loader as it would begin anew under `seed`.

    Neither the loader nor its sampler, nor a generator of theirs, advances.
    """
    if source is None:
        return []
    if not isinstance(source, DataLoader):
        if isinstance(source, Sequence) and not isinstance(source, str):
            return list(islice(source, count))
        raise SettingError(f"Mini-batches cannot be read from {type(source).__name__}; {_REMEDY}")
    if isinstance(source.dataset, IterableDataset):
        raise SettingError(f"Reading an IterableDataset would advance it; {_REMEDY}")
    keep = {id(source.dataset): source.dataset}
    batched = source.batch_sampler is not None
    try:
        order = deepcopy(source.batch_sampler if batched else source.sampler, keep)
    except (RuntimeError, TypeError) as error:
        raise SettingError(
            f"The loader's sampler cannot be copied ({error}), and a probe must not advance it; "
            f"{_REMEDY}"
        ) from error
    options: dict[str, Any] = (
        {"batch_sampler": order} if batched else {"sampler": order, "batch_size": None}
    )
    loader = DataLoader(
        source.dataset,
        collate_fn=source.collate_fn,
        # in workers, where the loop's own are: a data set opens files and draws numbers there
        num_workers=min(source.num_workers, count),
        worker_init_fn=source.worker_init_fn,
        multiprocessing_context=source.multiprocessing_context,
        generator=torch.Generator().manual_seed(seed),
        **options,
    )
    return list(islice(loader, count))


_REMEDY = "give batches=[...], some of the mini-batches that the training step gets."


def columns(batches: Sequence[Any]) -> tuple[Tensors, TreeSpec, dict[int, Any]]:
    """Mini-batches as (tensors of all their examples, structure, other leaves by position)."""
    if not batches:
        raise SettingError(f"There are no mini-batches to probe with; {_REMEDY}")
    trees = [tree_flatten(_tree(batch)) for batch in batches]
    leaves, spec = trees[0]
    size = _examples(batches[0])
    ours = [
        i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and len(_dims(leaf, size))
    ]
    rest = {i: leaf for i, leaf in enumerate(leaves) if i not in ours}
    shapes = [{tuple(part[i].shape[1:]) for part, its in trees if its == spec} for i in ours]
    if any(its != spec for _, its in trees) or any(len(shape) > 1 for shape in shapes):
        raise SettingError(
            "Mini-batches differ in structure or in the shape of an example, as under padding to "
            f"the longest; pad to one length, or {_REMEDY}"
        )
    return tuple(torch.cat([part[i] for part, _ in trees]) for i in ours), spec, rest


def _dims(leaf: Tensor, size: int) -> tuple[int, ...]:
    """The shape of a tensor with a row for each example; empty for any other."""
    return tuple(leaf.shape) if leaf.dim() and leaf.shape[0] == size else ()


def _examples(batch: Any) -> int:
    for leaf in tree_flatten(_tree(batch))[0]:
        if isinstance(leaf, Tensor) and leaf.dim():
            return len(leaf)
    raise SettingError(f"A mini-batch of type {type(batch).__name__} has no tensor; {_REMEDY}")


def _tree(batch: Any) -> Any:
    """Mappings that pytrees do not know, a tokenizer's BatchEncoding, as dictionaries."""
    return dict(batch) if isinstance(batch, Mapping) else batch


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed torch, numpy and Python inside; outside, nothing was drawn."""
    python, array = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(array)


def announce(who: str, warm_start: WarmStart) -> None:
    """Say on the log that a training goes on at x', or why it does not."""
    reason = warm_start.diagnostics.get("stood_aside")
    if reason:
        log.warning("%s leaves %s as they are: %s.", who, warm_start.proposed, reason)
    else:
        log.info("%s: %s in the place of %s", who, warm_start.configuration, warm_start.proposed)


def logged(warm_start: WarmStart) -> dict[str, float]:
    """x', x and the probe's work as flat numbers for a logger."""
    return {
        **{f"ohgw/{name}": value for name, value in warm_start.configuration.items()},
        **{f"ohgw/proposed/{name}": value for name, value in warm_start.proposed.items()},
        "ohgw/work": warm_start.work,
    }


def names_of(hyperparameters: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each hyperparameter with the names that people give it."""
    for name in hyperparameters:
        yield name, name
        if name == "learning_rate":
            yield name, "lr"
