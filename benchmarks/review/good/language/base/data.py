"""A text as windows of character codes."""

import numpy as np


def read_corpus(path):
    """Codes of all characters in lower case, and the alphabet."""
    with open(path, encoding="utf-8") as f:
        text = " ".join(f.read().lower().split())
    alphabet = sorted(set(text))
    code = {c: k for k, c in enumerate(alphabet)}
    return np.array([code[c] for c in text]), alphabet


def windows(codes, context):
    """Every run of `context` codes, and the code that follows it."""
    rows = np.lib.stride_tricks.sliding_window_view(codes, context + 1)
    return rows[:, :-1], rows[:, -1]


def split(codes, context):
    """Training, validation and test windows, in order of the text."""
    a, b = int(0.7 * len(codes)), int(0.85 * len(codes))
    return {
        "train": windows(codes[:a], context),
        "valid": windows(codes[a:b], context),
        "test": windows(codes[b:], context),
    }
