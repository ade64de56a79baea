"""Tokens of a text, by one of three vocabularies.

- `bpe`: byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019); GPT-2's own
  merges at its 50,257 entries, smaller vocabularies learnt from the text.
- `unigram`: SentencePiece's unigram model (Kudo 2018; Kudo & Richardson 2018), learnt from it.
- `word`: the most frequent words and the line's end; the rest is one entry for the unknown.

What is learnt is kept in the cache. Needs the extra `transformers`, whose `tokenizers` has all
three: the package `sentencepiece` would be another way to the second.
"""

import hashlib
import os
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from ohgw.core.errors import MissingExtraError, SettingError
from ohgw.tasks import _data

Tokenizer: TypeAlias = Any  # tokenizers.Tokenizer

KINDS = ("bpe", "unigram", "word")
UNKNOWN = "<unk>"
BYTE_SPACE, PIECE_SPACE = "\u0120", "\u2581"  # how the first two write the space before a word
BYTE_NEWLINE = "\u010a"

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


def tokenizer(vocabulary: int, text: str, kind: str = "bpe") -> Tokenizer:
    """GPT-2's for 'bpe' of its size, else one of `vocabulary` entries learnt from `text`."""
    package = _package()
    if kind == "bpe" and vocabulary == GPT2:
        entries, merges = _data.obtain(GPT2_VOCABULARY), _data.obtain(GPT2_MERGES)
        return _byte_level(package, package.models.BPE.from_file(str(entries), str(merges)))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = _data.cache_directory() / f"{kind}-{digest}-{vocabulary}.json"
    if path.is_file():
        return package.Tokenizer.from_file(str(path))
    learnt, trainer = {"bpe": _bpe, "unigram": _unigram, "word": _word}[kind](package, vocabulary)
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
    perplexities on WikiText. Their number is the text's, whatever the vocabulary.
    """
    lines = text.splitlines(keepends=True)
    blocks = [
        _encode_lines(learnt, lines[first : first + BLOCK]) for first in range(0, len(lines), BLOCK)
    ]
    tokens, words = zip(*blocks, strict=True)
    return np.concatenate(tokens), np.concatenate(words)


def words(learnt: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Two masks (vocabulary,): tokens that begin a word, and those that end a line."""
    entries = {code: token for token, code in learnt.get_vocab().items()}
    tokens = [entries.get(code, "") for code in range(learnt.get_vocab_size())]
    lines = np.array([token.endswith(("\n", BYTE_NEWLINE)) for token in tokens])
    if any(token.startswith(BYTE_SPACE) for token in tokens):
        # other letters than ASCII's stand for bytes, which may be half a letter
        begins = [t[:1] == BYTE_SPACE and t[1:].isascii() and t[1:].isalpha() for t in tokens]
    elif any(token.startswith(PIECE_SPACE) for token in tokens):
        begins = [t[:1] == PIECE_SPACE and t[1:].isalpha() for t in tokens]
    else:
        begins = [t.isalpha() for t in tokens]
    return np.array(begins), lines


def _encode_lines(learnt: Tokenizer, lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    encoded = learnt.encode_batch(lines, add_special_tokens=False)
    tokens = np.concatenate([np.asarray(line.ids, np.int64) for line in encoded])
    starts = np.cumsum([0, *map(len, lines)])[:-1]
    ends = np.concatenate(
        [
            start + np.array([end for _, end in line.offsets], np.int64)
            for start, line in zip(starts, encoded, strict=True)
        ]
    )
    # The last of several tokens of one character is where a word may end.
    ends = np.where(np.append(ends[1:] == ends[:-1], False), ends - 1, ends)
    content = np.array(list("".join(lines)))
    newline = content == "\n"
    space = newline | (content == " ")
    word = ~space & np.append(space[1:], True)
    ended = np.concatenate([[0], np.cumsum(word | newline)])
    return tokens, np.diff(ended[np.concatenate([[0], ends])])


def _bpe(package: Any, vocabulary: int) -> tuple[Tokenizer, Any]:
    trainer = package.trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=package.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return _byte_level(package, package.models.BPE()), trainer


def _unigram(package: Any, vocabulary: int) -> tuple[Tokenizer, Any]:
    learnt = package.Tokenizer(package.models.Unigram())
    learnt.pre_tokenizer = package.pre_tokenizers.Sequence(
        [
            package.pre_tokenizers.Split("\n", "isolated"),
            package.pre_tokenizers.Metaspace(prepend_scheme="never"),
        ]
    )
    trainer = package.trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=[UNKNOWN],
        unk_token=UNKNOWN,
        show_progress=False,
    )
    return learnt, trainer


def _word(package: Any, vocabulary: int) -> tuple[Tokenizer, Any]:
    learnt = package.Tokenizer(package.models.WordLevel(unk_token=UNKNOWN))
    learnt.pre_tokenizer = package.pre_tokenizers.Sequence(
        [
            package.pre_tokenizers.Split("\n", "isolated"),
            package.pre_tokenizers.Split(" ", "removed"),
        ]
    )
    trainer = package.trainers.WordLevelTrainer(
        vocab_size=vocabulary, special_tokens=[UNKNOWN], show_progress=False
    )
    return learnt, trainer


def _byte_level(package: Any, model: Any) -> Tokenizer:
    made = package.Tokenizer(model)
    made.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return made


def _package() -> Any:
    try:
        return import_module("tokenizers")
    except ImportError:
        raise MissingExtraError("Task 'wikitext'", "transformers") from None
