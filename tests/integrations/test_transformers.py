"""`OHGWTrainerCallback`: the Trainer's own run, at x'."""

import random
import runpy
import sys
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ohgw.core.errors import MissingExtraError, SettingError, SpaceError
from ohgw.core.space import Float, Space

transformers = pytest.importorskip("transformers", reason="needs the extra 'transformers'")
pytest.importorskip("accelerate", reason="needs the extra 'transformers'")
from transformers import (  # noqa: E402
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from ohgw.integrations.transformers import OHGWTrainerCallback  # noqa: E402

EXAMPLES = Path(__file__).parents[2] / "examples"
X = {"learning_rate": 1e-3, "weight_decay": 1e-3}
SPACE = Space(
    {"learning_rate": Float(1e-5, 1e-1, log=True), "weight_decay": Float(1e-5, 1e-1, log=True)}
)
SCREEN = "screen:max_share=99"
CONTEXT = 16
TEXT = (files("ohgw.tasks") / "data" / "sonnets.txt").read_text(encoding="utf-8")[:8000]
CHARACTERS = {character: index for index, character in enumerate(sorted(set(TEXT)))}
IDS = torch.tensor([CHARACTERS[c] for c in TEXT])[: len(TEXT) // CONTEXT * CONTEXT]
WINDOWS = [
    {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    for ids in IDS.view(-1, CONTEXT)
]
TRAIN, VALIDATION = WINDOWS[:400], WINDOWS[400:464]


class Watch(TrainerCallback):
    """The learning rate of every step."""

    def __init__(self):
        self.rates = []

    def on_step_begin(self, args, state, control, optimizer, **_):
        self.rates.append(optimizer.param_groups[0]["lr"])


class Recording(Trainer):
    """Also what it was fed."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.fed = []

    def training_step(self, model, inputs, num_items_in_batch=None):
        self.fed.append(inputs["input_ids"].clone())
        return super().training_step(model, inputs, num_items_in_batch)


def make_model():
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(CHARACTERS),
            n_positions=CONTEXT,
            n_embd=8,
            n_layer=1,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
            loss_type="ForCausalLM",
        )
    )


def make_trainer(path, callback=None, make=make_model, x=X, data=TRAIN, collate=None, **options):
    set_seed(3)
    options = {"max_steps": 20, "save_strategy": "no", "lr_scheduler_type": "linear"} | options
    args = TrainingArguments(
        str(path),
        **x,
        per_device_train_batch_size=options.pop("batch_size", 16),
        logging_steps=5,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **options,
    )
    watch = Watch()
    trainer = Recording(
        make(),
        args,
        train_dataset=data,
        eval_dataset=VALIDATION,
        data_collator=collate,
        callbacks=[*([callback] if callback else []), watch],
    )
    trainer.rates = watch.rates
    return trainer


def train(*args, resume=None, **options):
    trainer = make_trainer(*args, **options)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def streams():
    kind, keys, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), (kind, keys.tolist(), *rest)


def said(trainer):
    """The log without what we say and what a clock says."""
    return [
        {key: value for key, value in entry.items() if "second" not in key and "time" not in key}
        for entry in trainer.state.log_history
        if "ohgw/work" not in entry
    ]


def same_weights(one, other):
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("method", ["null", "vanilla"])
def test_with_the_method_null_the_trainer_runs_as_without_us(method, tmp_path):
    options = {"eval_strategy": "steps", "eval_steps": 10}
    plain = train(tmp_path, **options)
    after = streams()
    callback = OHGWTrainerCallback(SPACE, method=method)
    ours = train(tmp_path, callback, **options)
    assert callback.warm_start.configuration == callback.warm_start.proposed == X
    assert (callback.warm_start.work > 0) == (method == "null")
    assert streams() == after
    assert len(ours.fed) == len(plain.fed) == 20
    assert all(torch.equal(a, b) for a, b in zip(ours.fed, plain.fed, strict=True))
    assert ours.rates == plain.rates and said(ours) == said(plain)
    same_weights(ours, plain)


@pytest.mark.parametrize(
    "schedule", ["linear", "cosine", "constant_with_warmup", "inverse_sqrt", "reduce_lr_on_plateau"]
)
def test_training_is_the_trainers_at_x_prime(schedule, tmp_path):
    """The run of somebody who gave x' as arguments in the first place."""
    options = {"lr_scheduler_type": schedule, "warmup_steps": 4 * ("warm" in schedule)}
    if schedule == "reduce_lr_on_plateau":
        options |= {"eval_strategy": "steps", "eval_steps": 5}
    callback = OHGWTrainerCallback(SPACE, method="ohgw:radius=0.3", seed=1)
    ours = train(tmp_path, callback, **options)
    new = callback.warm_start.configuration
    assert callback.warm_start.proposed == X and new["learning_rate"] != X["learning_rate"]
    SPACE.validate(new)
    told = train(tmp_path, x=new, **options)
    assert ours.rates == pytest.approx(told.rates, rel=1e-12)
    assert ours.args.learning_rate == new["learning_rate"]
    assert ours.args.weight_decay == new["weight_decay"]
    decays = [group["weight_decay"] for group in ours.optimizer.param_groups]
    assert decays == [new["weight_decay"], 0.0]
    entry = ours.state.log_history[0]
    assert {name: entry[f"ohgw/{name}"] for name in SPACE} == new
    assert entry["ohgw/work"] == callback.warm_start.work > 0
    ours_weights, told_weights = ours.model.state_dict(), told.model.state_dict()
    for name, weight in told_weights.items():
        torch.testing.assert_close(ours_weights[name], weight, rtol=1e-5, atol=1e-7)
    assert ours.optimizer.param_groups[0]["lr"] == pytest.approx(
        told.optimizer.param_groups[0]["lr"]
    )


def test_screening_trains_at_the_best_of_its_candidates(tmp_path):
    callback = OHGWTrainerCallback(SPACE, method=SCREEN, seed=1)
    ours = train(tmp_path, callback)
    warm = callback.warm_start
    kept, losses = warm.diagnostics["kept"], warm.diagnostics["losses"]
    assert kept == np.argmin(losses) != 0
    assert ours.rates[0] == warm.configuration["learning_rate"] != X["learning_rate"]
    same_weights(ours, train(tmp_path, x=warm.configuration))


def test_a_checkpoint_does_not_undo_it(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 10}
    first = OHGWTrainerCallback(SPACE, method=SCREEN, seed=1)
    whole = train(tmp_path / "whole", first, **options)
    again = OHGWTrainerCallback(SPACE, method=SCREEN, seed=99)
    checkpoint = str(tmp_path / "whole" / "checkpoint-10")
    resumed = train(tmp_path / "resumed", again, resume=checkpoint, **options)
    assert again.warm_start.configuration == first.warm_start.configuration != X
    assert again.warm_start.work == first.warm_start.work
    assert resumed.rates == whole.rates[10:]
    assert resumed.args.learning_rate == first.warm_start.configuration["learning_rate"]
    same_weights(resumed, whole)


def test_a_run_that_began_without_us_is_left_alone(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 10}
    plain = train(tmp_path, **options)
    callback = OHGWTrainerCallback(SPACE, method=SCREEN)
    resumed = train(tmp_path, callback, resume=str(tmp_path / "checkpoint-10"), **options)
    assert callback.warm_start is None
    same_weights(resumed, plain)


def test_a_warm_up_stands_in_the_way_of_screening(tmp_path, caplog):
    callback = OHGWTrainerCallback(SPACE, method=SCREEN)
    train(tmp_path, callback, warmup_steps=8, max_steps=10)
    assert callback.warm_start.configuration == X
    assert "within the learning rate's warm-up" in caplog.text


def make_bert():
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=len(CHARACTERS),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            max_position_embeddings=CONTEXT,
            num_labels=2,
        )
    )


def make_collator(**options):
    from tokenizers import Tokenizer, models

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(CHARACTERS, unk_token=" ")), pad_token=" "
    )
    return DataCollatorWithPadding(tokenizer, **options)


def test_padded_sequences_that_a_tokeniser_collates(tmp_path):
    """A BatchEncoding with an attention mask, on whose values the model branches."""
    rows = [
        {"input_ids": window["input_ids"][: 4 + i % 9].tolist(), "label": i % 2}
        for i, window in enumerate(TRAIN)
    ]
    callback = OHGWTrainerCallback(SPACE, method="ohgw")
    with pytest.raises(SettingError, match="shape of an example.*pad to one length, or give batch"):
        train(tmp_path, callback, make=make_bert, data=rows, collate=make_collator())
    collate = make_collator(padding="max_length", max_length=CONTEXT)
    train(tmp_path, callback, make=make_bert, data=rows, collate=collate, max_steps=2)
    assert callback.warm_start.configuration != X


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"label_smoothing_factor": 0.1}, SettingError, "label_smoothing_factor=0.1 .* give loss="),
        ({"optim": "adafactor"}, SettingError, "'Adafactor' cannot be probed"),
        ({"x": {"learning_rate": 0.5, "weight_decay": 1e-3}}, SpaceError, "learning_rate"),
    ],
)
def test_what_cannot_be_probed_is_refused_by_name(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        train(tmp_path, OHGWTrainerCallback(SPACE), **options)


def test_a_model_without_a_loss_needs_one(tmp_path):
    class Headless(Recording):
        def compute_loss(self, model, inputs, **_):
            return model(inputs["input_ids"]).logits.square().mean()

    def loss(model, batch):
        return model(batch["input_ids"]).logits.square().mean()

    unlabelled = [{"input_ids": window["input_ids"]} for window in TRAIN]
    for given in (None, loss):
        callback = OHGWTrainerCallback(SPACE, method="null", loss=given)
        trainer = make_trainer(tmp_path, callback, data=unlabelled, max_steps=2)
        trainer.__class__ = Headless
        if given is None:
            with pytest.raises(SettingError, match="GPT2LMHeadModel .* loss=lambda module, batch"):
                trainer.train()
        else:
            trainer.train()
            assert callback.warm_start.work > 0


def test_several_processes_are_refused():
    args, state = SimpleNamespace(world_size=2), SimpleNamespace(global_step=0)
    parts = dict.fromkeys(("model", "optimizer", "lr_scheduler", "train_dataloader"))
    with pytest.raises(SettingError, match="one process, not in 2"):
        OHGWTrainerCallback(SPACE).on_train_begin(args, state, None, **parts)


def test_without_transformers_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "ohgw.integrations.transformers")
    with pytest.raises(MissingExtraError, match=r"pip install 'ohgw\[transformers\]'"):
        import_module("ohgw.integrations.transformers")


def test_mixed_precision_and_accumulation(tmp_path):
    callback = OHGWTrainerCallback(SPACE, method="null", seed=1)
    ours = train(
        tmp_path, callback, bf16=True, gradient_accumulation_steps=2, batch_size=8, max_steps=3
    )
    plain = train(tmp_path, bf16=True, gradient_accumulation_steps=2, batch_size=8, max_steps=3)
    assert callback.warm_start.work > 0
    same_weights(ours, plain)


def test_the_example(capsys):
    runpy.run_path(str(EXAMPLES / "transformers_training.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "trained at" in printed and float(printed.split()[-1]) < 3.2
