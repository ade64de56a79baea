"""Where a language model's text comes from: WikiText's archives, files of one's own, the hub.

Merity et al. 2016, raw (no unknown words). A source gives a training and a test text; validation
is the task's matter, so that an official validation text is left alone everywhere.
"""

import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ohgw.core.errors import DataError, MissingExtraError
from ohgw.tasks import _data

DEFAULT = "wikitext-103"
HUB = "hf:"  # before the name of a data set on the hub
SITE = "https://wikitext.smerity.com/"
ARCHIVES = {
    DEFAULT: _data.Remote(
        file="wikitext-103-raw-v1.zip",
        url=SITE + "wikitext-103-raw-v1.zip",
        sha256="91c00ae287f0d699e18605c84afc9e45c192bc6b7797ff8837e5474655a33794",
        megabytes=192.0,
    ),
    "wikitext-2": _data.Remote(
        file="wikitext-2-raw-v1.zip",
        url=SITE + "wikitext-2-raw-v1.zip",
        sha256="ef7edb566e3e2b2d31b29c1fdb0c89a4cc683597484c3dc2517919c615435a11",
        megabytes=4.7,
    ),
}
MEMBER = "{}-raw/wiki.{}.raw"
EXCERPT = "wikitext2_raw_train_first1MB.txt.zst"
EXCERPT_TEST = "wikitext_raw_test.txt.zst"
ENDINGS = (".txt", ".raw", ".tokens")
TEST_SHARE = 0.1  # of the lines of a single file
SHIFTED_SHARE = 0.05  # of the test text


class Text(NamedTuple):
    """Texts of whole lines."""

    origin: str
    train: str
    test: str
    shifted: str


@cache
def read(data: str, limit: int | None) -> Text:
    """The text of `data`, and the first `limit` bytes of its training part. Raises `DataError`.

    `data` is a name of `ARCHIVES`, `hf:OWNER/NAME` or `hf:OWNER/NAME/CONFIGURATION`, or the path
    of a file or of a folder. With a limit, the excerpt serves where no archive is found.
    """
    if data in ARCHIVES:
        origin, train, test = _archive(data, limit)
    elif data.startswith(HUB):
        origin, train, test = _hub(data)
    else:
        origin, train, test = _local(Path(data).expanduser())
    if limit is not None and len(train) > limit:
        train = train[:limit]
        train = train[: train.rfind(b"\n") + 1]  # without what the cut left of the last line
    try:
        parts = [part.decode() for part in (train, test)]
    except UnicodeDecodeError as error:
        raise DataError(f"{origin} is not text in UTF-8: {error.reason}.") from None
    if not all(part.strip() for part in parts):
        raise DataError(f"{origin} has no whole line of text to train on or to test on.")
    lines = parts[1].splitlines(keepends=True)
    return Text(origin, parts[0], parts[1], "".join(_shuffled(lines)))


def _archive(name: str, limit: int | None) -> tuple[str, bytes, bytes]:
    remote = ARCHIVES[name]
    excerpt, test = _data.find(EXCERPT), _data.find(EXCERPT_TEST)
    if limit and excerpt and test and _data.find(remote.file) is None:
        train = _data.read_zst(excerpt, limit)
        return excerpt.name, train[: train.rfind(b"\n") + 1], _data.read_zst(test)
    remark = f"{excerpt} serves a small part: wikitext:examples=N." if excerpt and test else ""
    path = _data.obtain(remote, remark)
    most = None if limit is None else limit + 1
    train = _data.read_zip(path, MEMBER.format(name, "train"), most)
    return path.name, train, _data.read_zip(path, MEMBER.format(name, "test"))


def _local(path: Path) -> tuple[str, bytes, bytes]:
    """A folder's files of the splits' names, or a file, whose last tenth of lines tests."""
    try:
        if path.is_file():
            lines = path.read_bytes().splitlines(keepends=True)
            first = math.ceil((1 - TEST_SHARE) * len(lines))
            return str(path), b"".join(lines[:first]), b"".join(lines[first:])
        if path.is_dir():
            train, test = (_named(path, split).read_bytes() for split in ("train", "test"))
            return str(path), train, test
    except DataError:  # an OSError too
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    raise DataError(
        f"data={str(path)!r} of 'wikitext' is neither a file nor a folder. Name either, or "
        f"one of {', '.join(ARCHIVES)}, or hf:OWNER/NAME."
    )


def _named(folder: Path, split: str) -> Path:
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in ENDINGS and split in path.name.split(".")
    ]
    if len(found) != 1:
        raise DataError(
            f"{folder} has {len(found)} files of the split {split!r}: it must have one, as "
            f"{split}.txt or wiki.{split}.raw."
        )
    return found[0]


def _hub(data: str) -> tuple[str, bytes, bytes]:
    owner, _, rest = data.removeprefix(HUB).partition("/")
    name, _, configuration = rest.partition("/")
    if not owner or not name:
        raise DataError(f"data={data!r} of 'wikitext' names no data set: hf:OWNER/NAME.")
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("A data set of Hugging Face", "huggingface") from None
    try:
        found: Any = datasets.load_dataset(f"{owner}/{name}", configuration or None)
    except Exception as error:  # whatever the hub's client, the network or the disk raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"The data set {data!r} cannot be had from Hugging Face: {reason} Name local files "
            "by data=PATH."
        ) from None
    for split in ("train", "test"):
        if split not in found or "text" not in found[split].column_names:
            raise DataError(f"{data} has no split {split!r} with the column `text`.")
    return data, _joined(found["train"]["text"]), _joined(found["test"]["text"])


def _joined(lines: Iterable[str]) -> bytes:
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines).encode()


def _shuffled(lines: list[str]) -> list[str]:
    """The first lines, with the headlines among them in another order."""
    lines = lines[: math.ceil(SHIFTED_SHARE * len(lines))]
    places = [row for row, line in enumerate(lines) if line.startswith(" =")]
    order = np.random.default_rng(0).permutation(len(places))
    headlines = [lines[places[k]] for k in order]
    for row, headline in zip(places, headlines, strict=True):
        lines[row] = headline
    return lines
