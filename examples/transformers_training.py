"""transformers' Trainer, warm-started in one line: the line with `OHGWTrainerCallback`."""

import tempfile
from importlib.resources import files

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

import ohgw
from ohgw.integrations.transformers import OHGWTrainerCallback

CONTEXT = 32


def windows(text):
    """The text by character, as mini-batches want it: a dictionary for each window."""
    characters = {character: index for index, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([characters[character] for character in text])
    ids = ids[: len(ids) // CONTEXT * CONTEXT].view(-1, CONTEXT)
    return [{"input_ids": window, "labels": window} for window in ids], len(characters)


def main():
    set_seed(0)
    text = (files("ohgw.tasks") / "data" / "sonnets.txt").read_text(encoding="utf-8")
    data, vocabulary = windows(text)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_positions=CONTEXT,
            n_embd=16,
            n_layer=2,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    space = ohgw.Space(
        {
            "learning_rate": ohgw.Float(1e-5, 1e-1, log=True),
            "weight_decay": ohgw.Float(1e-5, 1e-1, log=True),
        }
    )
    with tempfile.TemporaryDirectory() as directory:
        args = TrainingArguments(
            directory,
            learning_rate=1e-4,
            weight_decay=1e-3,
            per_device_train_batch_size=16,
            max_steps=300,
            logging_steps=150,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
        )
        trainer = Trainer(
            model,
            args,
            train_dataset=data[:-100],
            eval_dataset=data[-100:],
            callbacks=[OHGWTrainerCallback(space)],
        )
        trainer.train()
    loss = trainer.evaluate()["eval_loss"]
    print(f"trained at a learning rate of {args.learning_rate:.3g}: loss {loss:.3f}")


if __name__ == "__main__":
    main()
