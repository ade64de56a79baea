"""Lightning: a callback that warm-starts a `Trainer.fit` before its first step.

Trainer(callbacks=[OHGWCallback(space)])
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import DataLoader

from ohgw.core.errors import MissingExtraError, SettingError
from ohgw.core.space import Space
from ohgw.integrations._optimizers import apply
from ohgw.integrations._training import StepLoss, announce, check_settings, logged, names_of, probe
from ohgw.warmstart.starter import WarmStart

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.loggers import MLFlowLogger
    from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
except ImportError:
    raise MissingExtraError("ohgw.integrations.lightning", "lightning") from None


class OHGWCallback(Callback):
    """Moves the optimiser's settings to x' after a probe of a few mini-batches.

    Where the probe starts is what `configure_optimizers` returned (x); x' is written to the
    parameter groups, the schedules, and to `hparams` and attributes of the module that have these
    names (`lr` too). It is in every checkpoint: a run resumed from one goes on at x' and is not
    probed again.

    space
        Bounds of `learning_rate` and, as you like, `weight_decay` and `momentum`.
    method
        As `ohgw tune --method`.
    loss
        `(module, batch) -> mean loss`; by default the module's `training_step`, with `log` silent,
        dropout off and batch normalisation on the statistics of the mini-batch.
    batches
        Mini-batches to probe with, for loaders that cannot be read twice; by default a few of the
        training loader's, judged on a few of the validation loader's.

    `warm_start` is the answer: x', x, its work and what the probe saw; None before `fit`. Raises
    `OHGWError` subclasses before the first step where a training cannot be probed.
    """

    def __init__(
        self,
        space: Space,
        *,
        method: str = "screen",
        loss: StepLoss | None = None,
        batches: Sequence[Any] | None = None,
        seed: int = 0,
    ) -> None:
        check_settings(space, method)
        self.space, self.method, self.seed = space, method, seed
        self.warm_start: WarmStart | None = None
        self._loss, self._batches = loss, batches

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Before a checkpoint is restored: what another training was told is not this one's.
        if stage == "fit" and trainer.global_step == 0:
            self.warm_start = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # After a checkpoint was restored, so that x' is not undone by it.
        if self.warm_start is None and trainer.global_step == 0:
            self.warm_start = self._probe(trainer, pl_module)
            announce("OHGWCallback", self.warm_start)
        if self.warm_start is None:
            return  # resumed from a run without us
        warm_start = self.warm_start
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        for optimizer in trainer.optimizers:
            apply(optimizer, schedulers, warm_start.proposed, warm_start.configuration)
        self._record(trainer, pl_module, warm_start)

    def _probe(self, trainer: Trainer, module: LightningModule) -> WarmStart:
        if not module.automatic_optimization or len(trainer.optimizers) != 1:
            raise SettingError(
                f"{type(module).__name__} has {len(trainer.optimizers)} optimisers and "
                f"automatic_optimization={module.automatic_optimization}; OHGWCallback needs one "
                "optimiser that Lightning steps."
            )
        if trainer.world_size > 1:
            raise SettingError(
                f"OHGWCallback probes on one device, not on {trainer.world_size}; find x' with "
                "Trainer(devices=1, max_steps=1) and set it in configure_optimizers."
            )

        def prepare(batch: Any) -> Any:
            batch = trainer.precision_plugin.convert_input(batch)
            batch = module._on_before_batch_transfer(batch, dataloader_idx=0)
            return trainer.strategy.batch_to_device(batch, dataloader_idx=0)

        looks, steps = trainer.val_dataloaders, trainer.estimated_stepping_batches
        return probe(
            module,
            self._loss or _training_step(trainer),
            trainer.optimizers[0],
            [config.scheduler for config in trainer.lr_scheduler_configs],
            trainer.train_dataloader if self._batches is None else self._batches,
            looks if self._batches is None and isinstance(looks, DataLoader) else None,
            space=self.space,
            method=self.method,
            steps=steps if steps > 0 else math.inf,  # -1 where nobody knows
            accumulate=trainer.accumulate_grad_batches,
            seed=self.seed,
            prepare=prepare,
        )

    def _record(self, trainer: Trainer, module: LightningModule, warm_start: WarmStart) -> None:
        renamed: dict[str, Any] = {}
        for name, alias in names_of(warm_start.configuration):
            value = warm_start.configuration[name]
            if alias in module.hparams:
                renamed[alias] = module.hparams[alias] = value
            if isinstance(getattr(module, alias, None), float):
                setattr(module, alias, value)
        for logger in trainer.loggers:
            # Lightning has logged `hparams` by now, and MLflow refuses a second value.
            again = {} if isinstance(logger, MLFlowLogger) else renamed
            logger.log_hyperparams({**logged(warm_start), **again})

    def state_dict(self) -> dict[str, Any]:
        if self.warm_start is None:
            return {}
        return {
            "configuration": self.warm_start.configuration,
            "proposed": self.warm_start.proposed,
            "work": self.warm_start.work,
            "diagnostics": self.warm_start.diagnostics,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.warm_start = WarmStart(**state_dict) if state_dict else None


def _training_step(trainer: Trainer) -> StepLoss:
    def loss(module: LightningModule, batch: Any) -> Any:
        # of the probe's copy, which Lightning takes off its trainer
        module.trainer = trainer
        vars(module)["log"] = vars(module)["log_dict"] = _silent
        takes_index = is_param_in_hook_signature(module.training_step, "batch_idx", min_args=2)
        output = module.training_step(*((batch, 0) if takes_index else (batch,)))
        return output["loss"] if isinstance(output, Mapping) else output

    return loss


def _silent(*_: Any, **__: Any) -> None:
    """What `log` is while a module is probed."""
