"""Tokenised splits of a text classification data set."""

from datasets import DatasetDict, load_dataset
from omegaconf import DictConfig
from transformers import AutoTokenizer, PreTrainedTokenizerBase


def load_splits(cfg: DictConfig, limit: int | None, seed: int) -> DatasetDict:
    """Splits `train`, `val` and `test`, each with at most `limit` examples.

    The labels of GLUE's test split are not public: its validation split is what is tested on.
    """
    raw = load_dataset(cfg.path, cfg.name)
    parts = raw["train"].train_test_split(test_size=cfg.val_share, seed=seed)
    splits = {"train": parts["train"], "val": parts["test"], "test": raw["validation"]}
    if limit is not None:
        splits = {name: s.select(range(min(limit, len(s)))) for name, s in splits.items()}
    return DatasetDict(splits)


def tokenize(
    splits: DatasetDict, tokenizer: PreTrainedTokenizerBase, text: str, max_length: int
) -> DatasetDict:
    """`input_ids`, `attention_mask` and `label` as tensors of one length."""

    def encode(batch):
        return tokenizer(batch[text], truncation=True, padding="max_length", max_length=max_length)

    encoded = splits.map(encode, batched=True)
    encoded.set_format("torch", columns=["input_ids", "attention_mask", "label"])
    return encoded


def make_tokenizer(name: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(name)
