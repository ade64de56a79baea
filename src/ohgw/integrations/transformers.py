"""transformers: a callback that warm-starts a `Trainer.train` before its first step.

Trainer(..., callbacks=[OHGWTrainerCallback(space)])
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ohgw.core.errors import MissingExtraError, SettingError
from ohgw.core.space import Space
from ohgw.integrations._optimizers import apply
from ohgw.integrations._training import StepLoss, announce, check_settings, logged, probe
from ohgw.warmstart.starter import WarmStart

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError:
    raise MissingExtraError("ohgw.integrations.transformers", "transformers") from None


class OHGWTrainerCallback(TrainerCallback):
    """Moves the optimiser's settings to x' after a probe of a few mini-batches.

    Where the probe starts is what the arguments ask for (x); x' is written to the parameter groups,
    the schedule and the arguments, and to the state's `log_history`, which every checkpoint holds:
    a run resumed from one goes on at x' and is not probed again.

    space
        Bounds of `learning_rate` and, as you like, `weight_decay`.
    method
        As `ohgw tune --method`.
    loss
        `(model, batch) -> mean loss`; by default the one that the model returns for the batch. A
        Trainer with a loss of its own (`compute_loss`, label smoothing) needs it here too: a
        callback does not see it.
    batches
        Mini-batches to probe with, for loaders that cannot be read twice or that pad to the longest
        example; by default a few of the training loader's.

    `warm_start` is the answer: x', x, its work and what the probe saw; None before `train`. Raises
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

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # The optimiser and the state of a checkpoint are restored by now.
        if state.global_step > 0:
            self.warm_start = self._remembered(state)
        else:
            self.warm_start = self._probe(args, state, **kwargs)
            announce("OHGWTrainerCallback", self.warm_start)
            state.log_history.append({"step": 0, "epoch": 0.0, **logged(self.warm_start)})
        if self.warm_start is None:
            return  # resumed from a run without us
        x, new = self.warm_start.proposed, self.warm_start.configuration
        apply(kwargs["optimizer"], [kwargs["lr_scheduler"]], x, new)
        for name in new:
            if hasattr(args, name):
                setattr(args, name, new[name])

    def _probe(
        self,
        args: TrainingArguments,
        state: TrainerState,
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        lr_scheduler: Any,
        train_dataloader: Any,
        eval_dataloader: Any = None,  # before the first evaluation there is none
        **_: Any,
    ) -> WarmStart:
        if args.world_size > 1:
            raise SettingError(
                f"OHGWTrainerCallback probes in one process, not in {args.world_size}; find x' "
                "with one and set it in the arguments."
            )
        if args.label_smoothing_factor and self._loss is None:
            raise SettingError(
                f"label_smoothing_factor={args.label_smoothing_factor!r} is applied by the "
                "Trainer, which a callback does not see; give loss=lambda model, batch: ..."
            )
        return probe(
            model,
            self._loss or _own_loss,
            getattr(optimizer, "optimizer", optimizer),  # accelerate wraps it
            [lr_scheduler],
            train_dataloader if self._batches is None else self._batches,
            eval_dataloader if self._batches is None else None,
            space=self.space,
            method=self.method,
            steps=state.max_steps,
            accumulate=args.gradient_accumulation_steps,
            seed=self.seed,
        )

    def _remembered(self, state: TrainerState) -> WarmStart | None:
        for entry in state.log_history:
            if "ohgw/work" in entry:
                return WarmStart(
                    {name: entry[f"ohgw/{name}"] for name in self.space},
                    {name: entry[f"ohgw/proposed/{name}"] for name in self.space},
                    entry["ohgw/work"],
                    {},
                )
        return None


def _own_loss(model: nn.Module, batch: Any) -> Tensor:
    output = model(**batch)
    loss: Tensor = output["loss"] if isinstance(output, Mapping) else output[0]
    return loss
