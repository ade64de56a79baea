"""What our callbacks add to a training by Lightning and by transformers' Trainer.

One part of `integrations.py`.

The trainings are those of examples/lightning_training.py (an MLP on digits) and
examples/transformers_training.py (a small GPT-2 on the sonnets). Timed are the callback's own hook,
which runs once, and the peer's own training with no callback; its step is the unit, beside the work
that the probe is charged. CPU seconds on one thread; the median of the rounds.
"""

import runpy
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from ohgw.core.space import Float, Space
from ohgw.integrations.lightning import OHGWCallback
from ohgw.integrations.transformers import OHGWTrainerCallback

EXAMPLES = Path(__file__).parents[1] / "examples"
METHODS = ("vanilla", "null", "ohgw", "screen")
ROUNDS, STEPS = 5, 300
SPACE = Space({"learning_rate": Float(1e-4, 1, log=True)})


@dataclass(frozen=True)
class Overhead:
    """Of one callback under one method, beside the peer's own step."""

    peer: str
    method: str
    milliseconds: float  # in the callback, once for a training
    step_milliseconds: float  # of the peer without us
    steps: float  # the first over the second
    work: float  # training steps that the probe is charged


def measured() -> Iterator[Overhead]:
    for peer, train in (("lightning", _lightning), ("transformers", _transformers)):
        train()  # what loads once
        step = median(_seconds(train) for _ in range(ROUNDS)) / STEPS
        for method in METHODS:
            spent, work = zip(*(train(method) for _ in range(ROUNDS)), strict=True)
            spent = median(spent)
            yield Overhead(peer, method, 1e3 * spent, 1e3 * step, spent / step, work[0])


def _timed(callback: Any, hook: str) -> Callable[[], float]:
    spent = []
    original = getattr(callback, hook)

    def hooked(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        try:
            return original(*args, **kwargs)
        finally:
            spent.append(time.process_time() - start)

    setattr(callback, hook, hooked)
    return lambda: sum(spent)


def _lightning(method: str | None = None) -> tuple[float, float]:
    pl.seed_everything(0, verbose=False)
    images, labels = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    data = TensorDataset(images.float() / 16, labels)
    module = runpy.run_path(str(EXAMPLES / "lightning_training.py"))["Digits"]()
    callback = OHGWCallback(SPACE, method=method or "vanilla")
    seconds = _timed(callback, "on_train_start")
    trainer = pl.Trainer(
        max_steps=STEPS,
        callbacks=[callback] if method else [],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(data, 32, shuffle=True))
    return seconds(), callback.warm_start.work if callback.warm_start else 0.0


def _transformers(method: str | None = None) -> tuple[float, float]:
    example = runpy.run_path(str(EXAMPLES / "transformers_training.py"))
    text = (EXAMPLES.parent / "src/ohgw/tasks/data/sonnets.txt").read_text(encoding="utf-8")
    data, vocabulary = example["windows"](text)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=example["CONTEXT"],
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        loss_type="ForCausalLM",
    )
    callback = OHGWTrainerCallback(SPACE, method=method or "vanilla")
    seconds = _timed(callback, "on_train_begin")
    with tempfile.TemporaryDirectory() as directory:
        args = TrainingArguments(
            directory,
            learning_rate=1e-3,
            per_device_train_batch_size=16,
            max_steps=STEPS,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
        )
        callbacks = [callback] if method else []
        Trainer(GPT2LMHeadModel(config), args, train_dataset=data, callbacks=callbacks).train()
    return seconds(), callback.warm_start.work if callback.warm_start else 0.0


def _seconds(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start
