"""`wikitext`: GPT-2 small on WikiText-103, AdamW, exp-2's space.

Data: WikiText (Merity et al. 2016), CC BY-SA, or other text (`_text`). Nine tenths of the training
text train, the last tenth validates, the test text tests; tokens are byte-level BPE, pieces or
words (`_tokens`), cut into windows. `examples` asks for so many training windows from the text's
start; for those the first megabyte of WikiText-2 serves where no archive is found. A further
split, `ood`, is the test text's first twentieth with its headlines shuffled; it is scored after
every rung. With `adversarial` the final model is also attacked (`_substitution`). No text is in
this package.
Model: `_transformer` with GELU; 124,439,808 parameters at 12 layers of width 768.
Training: mini-batches of 20 windows, which makes some 5,000 updates of an epoch over all text;
linear warm-up over 1 % of a whole training at scale 1, then a cosine to zero (Loshchilov &
Hutter 2017) over all of it; Gaussian dropout.
"""

import math
from functools import cache, cached_property, partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.space import get_space
from ohgw.tasks._common import check_count, check_share, corrupted
from ohgw.tasks.language import _substitution, _text, _tokens
from ohgw.tasks.language._transformer import LanguageTask, Transformer, windows
from ohgw.training.optimizers import AdamW

BYTES = 8  # of text, at most, for a token: how much to read for a number of windows
WARMUP_SHARE = 0.01  # of a whole training, at warmup_scale 1
CHUNK = 2**23  # logits evaluated at a time; bounds memory
ATTACKED = 200  # test windows
TOP, BINS = 10, 15  # probabilities of a token, and their bins, in the calibration error


class WikiText(LanguageTask):
    """Next-token prediction in encyclopedia articles; the loss is in nats per token."""

    name = "wikitext"
    small = (
        "wikitext:layers=2:width=32:heads=2:context=64:vocabulary=512:examples=1024:batch_size=8"
    )
    bundled = False
    space = get_space("exp-2")
    min_resource = 2
    max_resource = 50
    batch_size = 20
    rung_splits: ClassVar = {"ood": "perplexity"}

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        label_noise: float = 0.0,
        token_noise: float = 0.0,
        data: str = _text.DEFAULT,
        layers: int = 12,
        width: int = 768,
        heads: int = 12,
        context: int = 1024,
        vocabulary: int = _tokens.GPT2,
        tokenizer: str = "bpe",
        examples: int | None = None,
        adversarial: bool = False,
    ):
        """`token_noise` corrupts training inputs, `label_noise` the tokens to predict.

        `data` is wikitext-103, wikitext-2, hf:OWNER/NAME or the path of a text file or folder.
        `context` is in tokens; `examples` is the number of training windows, by default all.
        `batch_tokens` says the size of a mini-batch in tokens instead of in windows.
        """
        if batch_tokens is not None:
            batch_size = self._windows(batch_size, batch_tokens, context)
        super().__init__(device, dtype, batch_size=batch_size, label_noise=label_noise)
        check_share(self.name, "token_noise", token_noise)
        sizes = {
            "layers": layers,
            "width": width,
            "heads": heads,
            "context": context,
            "vocabulary": vocabulary,
        }
        for option, value in sizes.items():
            check_count(self.name, option, value)
        if examples is not None:
            check_count(self.name, "examples", examples)
        if tokenizer not in _tokens.KINDS:
            raise UnknownNameError(f"tokenizer of {self.name!r}", str(tokenizer), _tokens.KINDS)
        if not isinstance(adversarial, bool):
            raise SettingError(
                f"adversarial={adversarial!r} of {self.name!r} must be true or false."
            )
        if not _tokens.SMALLEST <= vocabulary <= _tokens.GPT2:
            raise SettingError(
                f"vocabulary={vocabulary} of {self.name!r} must be from {_tokens.SMALLEST} to "
                f"{_tokens.GPT2}, which is GPT-2's own."
            )
        self._options |= {
            **sizes,
            "data": str(data),
            "token_noise": token_noise,
            "tokenizer": tokenizer,
            "examples": examples,
            "adversarial": adversarial,
        }
        self._build(Transformer(vocabulary, width, layers, heads, context, "gelu"))

    def _windows(self, batch_size: int | None, batch_tokens: int, context: int) -> int:
        """Windows of a mini-batch of so many tokens."""
        check_count(self.name, "batch_tokens", batch_tokens)
        if batch_size is not None:
            raise SettingError(
                f"batch_size={batch_size} and batch_tokens={batch_tokens} of {self.name!r} say "
                "the same thing twice: give one."
            )
        if batch_tokens < context:
            raise SettingError(
                f"batch_tokens={batch_tokens} of {self.name!r} are less than a window of "
                f"context={context}."
            )
        return batch_tokens // context

    @property
    def source(self) -> str:
        """The file that the text comes from."""
        return self._source_text.origin

    @property
    def _source_text(self) -> _text.Text:
        data, examples = self._options["data"], self._options["examples"]
        if examples is None:
            return _text.read(data, None)
        windows = examples + _validation(examples) + 1
        return _text.read(data, BYTES * self.net.context * windows)

    def _read(self) -> dict[str, tuple[Tensor, ...]]:
        """'train', 'val', 'test' and 'ood'.

        Tokens and next tokens, (windows, context) each; but for training, also how many words end
        in each next token. Raises `DataError`, and `SettingError` for too many examples.
        """
        options, text = self._options, self._source_text
        cut = {
            split: self._cut(part)
            for split, part in (("train", text.train), ("test", text.test), ("ood", text.shifted))
        }
        whole = cut["train"]
        have, count = len(whole[0]), options["examples"]
        if count is None:
            count = have - have // 10
        if have < count + _validation(count):
            raise SettingError(
                f"examples={count} of {self.name!r} and {_validation(count)} to validate are more "
                f"windows than the {have} of {text.origin}."
            )
        x, y, _ = (part[:count] for part in whole)
        last = count + _validation(count) if options["examples"] else have
        few = None if options["examples"] is None else max(count, self.batch_size)
        return {
            "train": self._place(
                corrupted(x, options["token_noise"]), corrupted(y, options["label_noise"])
            ),
            "val": self._place(*(part[count:last] for part in whole)),
            "test": self._place(*(part[:few] for part in cut["test"])),
            "ood": self._place(*(part[:few] for part in cut["ood"])),
        }

    def _cut(self, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        kind = self._options["tokenizer"]
        return _windows(self.net.vocabulary, kind, self.net.context, part, self._source_text.train)

    def examine(self, theta: Tensor) -> dict[str, float]:
        """With `adversarial`, the loss on attacked test windows beside that on the same ones.

        A window is passed through the model once for each word that has neighbours, and up to
        eight times for each that is tried: nine times its words at most.
        """
        if not self._options["adversarial"]:
            return {}
        x, y, _ = (part[:ATTACKED] for part in self.data["test"])
        learnt = _tokens.tokenizer(
            self.net.vocabulary, self._source_text.train, self._options["tokenizer"]
        )
        begins, lines = _tokens.words(learnt)
        code, follows = x.cpu().numpy(), y.cpu().numpy()
        whole = begins[code] & (begins | lines)[follows]
        clean = self._cut(self._source_text.train)[0][: len(self.data["train"][0])].reshape(-1)
        unit = _substitution.embedding(clean, self.net.vocabulary)
        known = np.flatnonzero(begins & (np.linalg.norm(unit, axis=1) > 0))
        near = _substitution.neighbours(unit, np.unique(code[whole]), known)
        often = np.bincount(clean, minlength=self.net.vocabulary) * begins
        with torch.no_grad():
            losses = partial(self._window_losses, self.layout.split(theta))
            found = _substitution.attack(losses, x, y, whole, near, int(often.argmax()))
            before, after = (float(losses(inputs, y).mean()) for inputs in (x, found.inputs))
        return {
            "adversarial_clean_loss": before,
            "adversarial_loss": after,
            "adversarial_perplexity": math.exp(after),
            "adversarial_share": found.replaced / max(found.words, 1),
        }

    def _window_losses(self, weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Mean loss of each window, (n,)."""
        size = max(1, CHUNK // (self.net.context * self.net.vocabulary))
        parts = zip(torch.split(x, size), torch.split(y, size), strict=True)
        return torch.cat(
            [
                -self.logits(weights, seen)
                .log_softmax(-1)
                .gather(-1, follows.unsqueeze(-1))
                .squeeze(-1)
                .mean(-1)
                for seen, follows in parts
            ]
        )

    @cached_property
    def optimizer(self) -> AdamW:
        steps = self.max_resource * self.steps_per_epoch
        return AdamW(
            decay_mask=self._decay_mask(),
            warmup_steps=WARMUP_SHARE * steps,
            cosine_steps=steps,
        )

    def metrics(self, theta: Tensor, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Loss and perplexity by token, perplexity by word, and calibration.

        A word has several tokens, so the two perplexities are different numbers of one model; the
        published ones of WikiText are by word. `calibration_error` is the expected calibration
        error (Guo et al. 2017) of each token's ten largest probabilities.
        """
        weights = self.layout.split(theta)
        size = max(1, CHUNK // (self.net.context * self.net.vocabulary))
        parts = zip(*(torch.split(part, size) for part in batch), strict=True)
        totals = torch.stack([self._totals(weights, *part) for part in parts]).sum(0)
        tokens = batch[1].numel()
        nats, hits, words = totals[:3]
        confidence, correct = totals[3:].reshape(2, BINS)
        return {
            "loss": nats / tokens,
            "accuracy": hits / tokens,
            "perplexity": (nats / tokens).exp(),
            "word_perplexity": (nats / words).exp(),
            "calibration_error": (confidence - correct).abs().sum() / (TOP * tokens),
        }

    def _totals(self, weights: dict[str, Tensor], x: Tensor, y: Tensor, words: Tensor) -> Tensor:
        """Sums over windows: nats, hits, words; by bin, probability and how often it was right."""
        log_p = self.logits(weights, x).log_softmax(-1)
        nats = -log_p.gather(-1, y.unsqueeze(-1)).sum()
        top, codes = log_p.topk(TOP, -1)
        right = (codes == y.unsqueeze(-1)).to(self.dtype)
        p = top.exp().reshape(-1)
        where = (p * BINS).long().clamp(max=BINS - 1)
        empty = p.new_zeros(BINS)
        first = torch.stack([nats, right[..., 0].sum(), words.to(self.dtype).sum()])
        return torch.cat(
            [
                first,
                empty.scatter_add(0, where, p),
                empty.scatter_add(0, where, right.reshape(-1)),
            ]
        )


def _validation(examples: int) -> int:
    """Windows to validate on: a tenth of both together."""
    return max(1, examples // 9)


@cache
def _windows(
    vocabulary: int, kind: str, context: int, text: str, learnt_from: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens, next tokens, and how many words end in the next tokens; (windows, context) each."""
    tokens, words = _tokens.encode(_tokens.tokenizer(vocabulary, learnt_from, kind), text)
    return *windows(tokens, context), windows(words, context)[1]
