"""Runs inside the sandbox: calls metrics of the tree with predictions whose quality is known.

    python metric_driver.py CODE ASKED.json ANSWERS.jsonl

What a metric takes is not written down anywhere, so every layout of data is tried that predictions
and labels commonly have. One line is written for each that was taken without an exception, with
the numbers that came back; judging them is left to the reviewer. Any Python from 3.8.
"""

from __future__ import annotations

import copy
import importlib
import json
import math
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

POINTS, CLASSES = 120, 7
IMPORT_SECONDS, METRIC_SECONDS = 40.0, 8.0
SCENARIOS = ("perfect", "worst", "constant", "mixed")


class Late(BaseException):
    """Not an Exception: nothing that handles those may swallow it."""


def late(number: int, frame: Any) -> None:
    raise Late


# Layouts: (name, predictions by scenario, labels). A mixed prediction is right where RIGHT says.

DICE = random.Random(1)
LABELS = [k % CLASSES for k in range(POINTS)]
DICE.shuffle(LABELS)
WRONG = [(label + 1 + DICE.randrange(CLASSES - 1)) % CLASSES for label in LABELS]
RIGHT = [DICE.random() < 0.5 for _ in LABELS]
MOVED = sorted(range(POINTS), key=lambda k: not RIGHT[k])  # the right ones first


def scenarios(right: list[Any], wrong: list[Any], constant: Any) -> dict[str, list[Any]]:
    mixed = [right[k] if RIGHT[k] else wrong[k] for k in range(len(right))]
    return {"perfect": right, "worst": wrong, "constant": [constant] * len(right), "mixed": mixed}


def mapped(given: dict[str, list[Any]], change: Callable[[Any], Any]) -> dict[str, list[Any]]:
    return {name: [change(item) for item in items] for name, items in given.items()}


def row(highest: int, lowest: int, classes: int) -> list[float]:
    """Probabilities, no two of them alike, of no other row either."""
    raw = [0.02 + 0.02 * DICE.random() for _ in range(classes)]
    raw[lowest] = 0.005 + 0.005 * DICE.random()
    raw[highest] = 0.0
    share = 0.9 + 0.08 * DICE.random()
    total = sum(raw)
    found = [value / total * (1 - share) for value in raw]
    found[highest] = share
    return found


def rows(labels: list[int], wrong: list[int], classes: int) -> dict[str, list[Any]]:
    points = range(len(labels))
    right = [row(labels[k], wrong[k], classes) for k in points]
    return scenarios(right, [row(wrong[k], labels[k], classes) for k in points], row(1, 0, classes))


def logarithms(items: list[float]) -> list[float]:
    return [math.log(value) for value in items]


def picture(value: Any) -> list[list[Any]]:
    return [[value] * 3 for _ in range(2)]


def sequences(items: list[Any]) -> list[list[Any]]:
    return [items[k : k + 12] for k in range(0, POINTS, 12)]


def layouts() -> Iterator[Any]:
    probabilities = rows(LABELS, WRONG, CLASSES)
    logits = mapped(probabilities, logarithms)
    one_hot = [[int(k == label) for k in range(CLASSES)] for label in LABELS]
    yield "probabilities", probabilities, LABELS
    yield "logits", logits, LABELS
    yield "class numbers", scenarios(LABELS, WRONG, 3), LABELS
    yield "probabilities and one-hot labels", probabilities, one_hot
    yield "logits and one-hot labels", logits, one_hot

    binary = [label % 2 for label in LABELS]
    other = [1 - label for label in binary]
    both = rows(binary, other, 2)
    positive = mapped(both, lambda pair: pair[1])
    yield "two classes", scenarios(binary, other, 1), binary
    yield "probabilities of two classes", both, binary
    yield "probabilities of one class", positive, binary
    yield "logits of one class", mapped(positive, lambda p: math.log(p / (1 - p))), binary
    signs = [2 * label - 1 for label in binary]
    yield "signs", scenarios(signs, [-sign for sign in signs], 1), signs
    several = [[(label >> k) & 1 for k in range(3)] for label in LABELS]
    opposite = [[1 - value for value in item] for item in several]
    yield "several labels", scenarios(several, opposite, [1, 0, 1]), several

    reals = [DICE.uniform(-2, 2) for _ in LABELS]
    far = [value + 5 + DICE.random() for value in reals]
    yield "real numbers", scenarios(reals, far, 0.25), reals
    columns = [[value, 2 * value] for value in reals]
    off = [[value, 2 * value] for value in far]
    yield "columns of real numbers", scenarios(columns, off, [0.25, 0.5]), columns

    pictures = mapped(logits, lambda item: [picture(value) for value in item])
    yield "logits of pixels", pictures, [picture(label) for label in LABELS]
    tokens = {name: sequences(rows) for name, rows in logits.items()}
    yield "logits of tokens", tokens, sequences(LABELS)

    texts = [[f"word{k}{letter}" for letter in "abcdefgh"] for k in range(POINTS)]
    others = [[f"other{k}{letter}" for letter in "abcdefgh"] for k in range(POINTS)]
    said = scenarios(texts, others, ["some", "more", "of", "the", "same", "words", "as", "ever"])
    sentences, references = mapped(said, " ".join), [" ".join(text) for text in texts]
    yield "texts", sentences, references
    yield "texts and lists of references", sentences, [[text] for text in references]
    yield "lists of words", said, texts
    yield "lists of words and of references", said, [[text] for text in texts]


def one_text() -> tuple[dict[str, Any], Any]:
    """A text each, not a list of them."""
    text = "the quick brown fox jumps over the lazy dog again"
    half = "the quick brown fox jumps while nothing else ever happens"
    worst, constant = "none of these was said in what came before", "some more words for every case"
    return {"perfect": text, "worst": worst, "constant": constant, "mixed": half}, text


def containers(labels: Any) -> Iterator[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]]:
    """(name, what predictions become, what labels become): of the libraries that the tree uses."""
    first = labels
    while isinstance(first, list):
        first = first[0]
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and not isinstance(first, str):
        yield "torch", torch.tensor, torch.tensor
        if isinstance(first, int):
            yield "torch, real labels", torch.tensor, lambda y: torch.tensor(y).float()
    if numpy is not None and not isinstance(first, str):
        yield "numpy", numpy.asarray, numpy.asarray
    yield "lists", copy.deepcopy, copy.deepcopy


def number(value: Any) -> float | None:
    """Of a number, or of an array that holds one; nan is none."""
    if type(value).__module__.partition(".")[0] in ("torch", "numpy", "jax", "jaxlib"):
        if getattr(value, "size", None) == 1 or getattr(value, "ndim", None) == 0:
            value = value.item()
    if isinstance(value, (int, float)) and not math.isnan(value):
        return float(value)
    return None


def numbers(value: Any) -> dict[str, float]:
    """By key where several came back in a dictionary; '' is the key of one alone."""
    given = value if isinstance(value, dict) else {"": value}
    found = {str(key): number(item) for key, item in list(given.items())[:50]}
    return {key: item for key, item in found.items() if item is not None}


def answers(function: Any, first: str) -> Iterator[dict[str, Any]]:
    """What one metric says of each layout that it takes."""

    def call(predictions: Any, labels: Any) -> dict[str, float]:
        pair = (predictions, labels) if first == "predictions" else (labels, predictions)
        return numbers(function(*pair))

    for name, given, labels in layouts():
        items = len(labels)
        for container, as_predictions, as_labels in containers(labels):
            try:
                said = {s: call(as_predictions(given[s]), as_labels(labels)) for s in SCENARIOS}
                again = call(as_predictions(given["mixed"]), as_labels(labels))
                order = MOVED if items == POINTS else list(reversed(range(items)))
                moved = [given["mixed"][k] for k in order]
                moved_labels = [labels[k] for k in order]
                said["moved"] = call(as_predictions(moved), as_labels(moved_labels))
            except Exception:  # it does not take this
                continue
            count = [items, sum(isinstance(k, int) for k in flat(labels))]
            if said["mixed"] == again:
                yield {"layout": f"{name} ({container})", "counts": count, "said": said}
    try:
        texts, label = one_text()
        said = {scenario: call(text, label) for scenario, text in texts.items()}
    except Exception:
        return
    yield {"layout": "a text each", "counts": [], "said": said}


def flat(items: list[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, list):
            yield from flat(item)
        else:
            yield item


def imported(code: str, asked: dict[str, Any]) -> Any:
    """The module under its name in the tree, else as a script beside its neighbours."""
    try:
        return importlib.import_module(asked["module"])
    except Exception:
        folder, file = os.path.split(os.path.join(code, asked["path"]))
        sys.path.insert(0, folder)
        return importlib.import_module(file[: -len(".py")])


def main() -> None:
    code, wanted, out = sys.argv[1:4]
    with open(wanted) as file:
        questions = json.load(file)
    sys.path[0] = code
    sys.argv[1:] = []  # what a module may read when it is imported
    signal.signal(signal.SIGALRM, late)
    with open(out, "a") as answered:
        for asked in questions:
            try:
                signal.setitimer(signal.ITIMER_REAL, IMPORT_SECONDS)
                function = imported(code, asked)
                for part in asked["name"].split("."):
                    function = getattr(function, part)
                signal.setitimer(signal.ITIMER_REAL, METRIC_SECONDS)
                for answer in answers(function, asked["first"]):
                    answered.write(json.dumps({"asked": asked["number"], **answer}) + "\n")
                    answered.flush()
            except BaseException:  # whatever it does, the next one is asked
                pass
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0.0)


if __name__ == "__main__":
    main()
