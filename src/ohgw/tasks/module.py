"""A differentiable task from a user's own `torch.nn.Module`, loss function and tensors.

The module is copied, never changed. Batch normalisation uses each mini-batch's own statistics and
dropout is off: running statistics and random masks are not functions of what goes in.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, replace_all_batch_norm_modules_

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.protocols import Metric, Optimizer
from ohgw.core.space import Space
from ohgw.tasks._common import Layout
from ohgw.training.optimizers import SGD, AdamW

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"sgd": SGD, "adamw": AdamW}
Tensors = tuple[Tensor, ...]


class ModuleTask:
    """Any module as a task: `loss(outputs, targets)` of `module(inputs)`.

    module
        A module, whose present parameters every trial starts from, or a function that makes one,
        called under a trial's own seed.
    loss
        `(outputs, targets) -> mean loss`, 0-d; None where the module takes all tensors of a
        mini-batch and returns its mean loss.
    train, validation, test
        Tensors (inputs, targets), or those that the module takes, examples first. `test` defaults
        to `validation`.
    space
        Hyperparameters by the names `learning_rate`, `weight_decay`, `momentum` (SGD); what it
        leaves out is 0.
    optimizer
        `sgd` or `adamw`, or an optimiser of `ohgw.training.optimizers` with settings of its own,
        whose hyperparameters must then be those of the space.
    vectorized
        False trains configurations one after another instead of fused by `torch.func.vmap`, which
        refuses modules that branch on values or count in place.
    """

    metric = Metric("loss", "min")
    noise_size = 0

    def __init__(
        self,
        module: nn.Module | Callable[[], nn.Module],
        loss: Callable[[Tensor, Tensor], Tensor] | None,
        train: Tensors,
        validation: Tensors,
        space: Space,
        *,
        test: Tensors | None = None,
        optimizer: str | Optimizer = "sgd",
        batch_size: int = 32,
        min_resource: int = 1,
        max_resource: int = 27,
        name: str = "module",
        device: str | torch.device | None = None,
        vectorized: bool = True,
    ) -> None:
        if isinstance(optimizer, str):
            if optimizer not in OPTIMIZERS:
                raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
            known, label = OPTIMIZERS[optimizer]().hyperparameters, optimizer
        else:
            known, label = optimizer.hyperparameters, type(optimizer).__name__
        for hyperparameter in space.names:
            if hyperparameter not in known:
                raise UnknownNameError(f"hyperparameter of {label!r}", hyperparameter, known)
        if "learning_rate" not in space:
            raise SettingError(f"The space of task {name!r} needs a 'learning_rate'.")
        if space.discrete:
            raise SettingError(
                f"{', '.join(space.discrete)} of task {name!r} must be Float: a training step "
                "takes its hyperparameters as tensors."
            )
        absent = known - set(space.names)
        if isinstance(optimizer, str):
            optimizer = OPTIMIZERS[optimizer](**dict.fromkeys(absent, 0.0))
        elif absent:
            raise SettingError(
                f"The space of task {name!r} lacks {', '.join(sorted(absent))} of its optimiser "
                f"{label}; add them to the space, or fix them where the optimiser is made."
            )
        self.optimizer = optimizer
        if len(train[0]) < batch_size or len(validation[0]) < batch_size:
            raise SettingError(
                f"batch_size={batch_size!r} of task {name!r} is larger than the data: "
                f"{len(train[0])} training and {len(validation[0])} validation examples."
            )
        self.name, self.space, self.batch_size = name, space, batch_size
        self.min_resource, self.max_resource = min_resource, max_resource
        self.vectorized = vectorized
        self._module = module
        example = self._copy()
        parameters = _trained(example)
        if not parameters:
            raise SettingError(f"The module of task {name!r} has no parameter to train.")
        first = next(iter(parameters.values()))
        self.device = torch.device(device) if device is not None else first.device
        self.dtype = first.dtype
        self.layout = Layout({key: tuple(value.shape) for key, value in parameters.items()})
        self._skeleton = example.to(self.device)
        self._loss = loss
        self.data = {
            split: tuple(tensor.to(self.device) for tensor in tensors)
            for split, tensors in {
                "train": train,
                "val": validation,
                "test": validation if test is None else test,
            }.items()
        }

    def _copy(self) -> nn.Module:
        source = self._module
        module = deepcopy(source if isinstance(source, nn.Module) else source())
        replace_all_batch_norm_modules_(module)
        return module.eval()

    @property
    def steps_per_epoch(self) -> int:
        return len(self.data["train"][0]) // self.batch_size

    def init(self, generator: torch.Generator) -> Tensor:
        if isinstance(self._module, nn.Module):
            module = self._skeleton
        else:
            with torch.random.fork_rng():
                torch.manual_seed(generator.initial_seed())
                module = self._copy()
        return self.layout.flatten(_trained(module)).to(self.device)

    def loss(self, theta: Tensor, batch: Tensors) -> Tensor:
        parameters = self.layout.split(theta)
        if self._loss is None:
            return cast(Tensor, functional_call(self._skeleton, parameters, batch))
        inputs, targets = batch
        return self._loss(functional_call(self._skeleton, parameters, (inputs,)), targets)

    def train_loss(
        self, theta: Tensor, batch: Tensors, hp: Mapping[str, Tensor], noise: Tensor
    ) -> Tensor:
        return self.loss(theta, batch)

    def metrics(self, theta: Tensor, batch: Tensors) -> dict[str, Tensor]:
        return {"loss": self.loss(theta, batch)}

    def parameters(self, theta: Tensor) -> dict[str, Tensor]:
        return self.layout.split(theta)


def _trained(module: nn.Module) -> dict[str, Tensor]:
    """Parameters by name, without those that are frozen."""
    return {
        name: parameter.detach()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
