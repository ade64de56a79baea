"""Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019) of a text.

GPT-2's own merges at its 50,257 entries; smaller vocabularies are learnt from the text once and
kept in the cache. Needs the extra `transformers`.
"""

import hashlib
import os
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from ohgw.core.errors import MissingExtraError, SettingError
from ohgw.tasks import _data

Tokenizer: TypeAlias = Any  # tokenizers.Tokenizer

GPT2 = 50_257
BLOCK = 10_000  # lines encoded at a time; bounds memory
SMALLEST = 257  # a token for each byte, and one merge
GPT2_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
GPT2_VOCABULARY = _data.Remote(
    file="gpt2_bpe/vocab.json",
    url=GPT2_URL + "encoder.json",
    sha256="196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    megabytes=1.0,
)
GPT2_MERGES = _data.Remote(
    file="gpt2_bpe/merges.txt",
    url=GPT2_URL + "vocab.bpe",
    sha256="1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    megabytes=0.5,
)


def tokenizer(vocabulary: int, text: str) -> Tokenizer:
    """GPT-2's, or one of `vocabulary` entries learnt from `text`."""
    package = _package()
    if vocabulary == GPT2:
        entries, merges = _data.obtain(GPT2_VOCABULARY), _data.obtain(GPT2_MERGES)
        return _byte_level(package, package.models.BPE.from_file(str(entries), str(merges)))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = _data.cache_directory() / f"bpe-{digest}-{vocabulary}.json"
    if path.is_file():
        return package.Tokenizer.from_file(str(path))
    learnt = _byte_level(package, package.models.BPE())
    trainer = package.trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=package.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learnt.train_from_iterator(text.splitlines(keepends=True), trainer)
    if learnt.get_vocab_size() < vocabulary:
        raise SettingError(
            f"vocabulary={vocabulary} cannot be learnt from {len(text)} characters of text, which "
            f"give {learnt.get_vocab_size()}. Ask for fewer, or for more text."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    learnt.save(str(partial))
    os.replace(partial, path)
    return learnt


def encode(learnt: Tokenizer, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of a text (n,), and how many words of it end in each.

    Words are what stands between white space, and the end of every line: the unit of published
    perplexities on WikiText, whatever the vocabulary.
    """
    # a token is written with a character for each of its bytes
    sizes = np.zeros(learnt.get_vocab_size(), np.int64)
    for token, code in learnt.get_vocab().items():
        sizes[code] = len(token)
    lines = text.splitlines(keepends=True)
    blocks = [
        _encode_lines(learnt, sizes, lines[first : first + BLOCK])
        for first in range(0, len(lines), BLOCK)
    ]
    tokens, words = zip(*blocks, strict=True)
    return np.concatenate(tokens), np.concatenate(words)


def _encode_lines(
    learnt: Tokenizer, sizes: np.ndarray, lines: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    encoded = learnt.encode_batch(lines, add_special_tokens=False)
    tokens = np.concatenate([np.asarray(line.ids, np.int64) for line in encoded])
    content = np.frombuffer("".join(lines).encode(), np.uint8)
    ends = np.cumsum(sizes[tokens])
    assert ends[-1] == len(content)
    newline = content == ord("\n")
    space = newline | (content == ord(" "))
    word = ~space & np.append(space[1:], True)
    ended = np.concatenate([[0], np.cumsum(word | newline)])
    return tokens, np.diff(ended[np.concatenate([[0], ends])])


def _byte_level(package: Any, model: Any) -> Tokenizer:
    made = package.Tokenizer(model)
    made.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return made


def _package() -> Any:
    try:
        return import_module("tokenizers")
    except ImportError:
        raise MissingExtraError("Task 'wikitext'", "transformers") from None
