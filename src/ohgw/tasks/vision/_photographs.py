"""Photographs of any size with class labels, still encoded, where people keep them.

A folder `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`, as ImageNet is laid out; or a data set of
Hugging Face with the columns `image` and `label` and the splits `train` and `validation`: saved to
disk, as Parquet files, or by name. The official validation images are those that test.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ohgw.core.errors import DataError, MissingExtraError
from ohgw.tasks import _data

SUFFIXES = (".jpeg", ".jpg", ".png")
HUB = "hf:"  # before the name of a data set on the hub
LABELLED = {"train": ("train",), "test": ("validation", "val")}  # names of the splits there
FORMS = (
    "a folder with train/CLASS/*.JPEG and val/CLASS/*.JPEG, a data set saved by Hugging Face's "
    "`datasets`, or its Parquet files (train-*.parquet, validation-*.parquet)"
)


class Encoded(NamedTuple):
    """One split: labels (n,), and what yields (name, file content) at increasing positions."""

    labels: np.ndarray
    read: Callable[[np.ndarray], Iterable[tuple[str, bytes]]]


class Photographs(NamedTuple):
    """Labels are from 0 to `classes` - 1 in both."""

    classes: int
    train: Encoded
    test: Encoded


class Place(NamedTuple):
    """Where photographs are; `identity` is another one when other files are there."""

    origin: str
    identity: str
    open: Callable[[], Photographs]


def find(task: str, data: str | None) -> Place:
    """What is at `data`: a path, `hf:NAME`, or None for the folder of the task's name.

    Raises `DataError`, which says what was looked for.
    """
    if data is not None and data.startswith(HUB):
        name = data.removeprefix(HUB)
        if not name:
            raise DataError(f"data={data!r} of {task!r} names no data set: hf:OWNER/NAME.")
        return Place(data, data, partial(_hub, name))
    if data is None:
        found = next((p / task for p in _data.places() if (p / task).is_dir()), None)
        if found is None:
            raise DataError(
                f"No folder {task!r} is in {', '.join(map(str, _data.places()))}. Put there, or "
                f"name by data=PATH, {FORMS}; or download it by data=hf:ILSVRC/imagenet-1k, whose "
                "terms have to be accepted on Hugging Face's site first."
            )
        path = found
    else:
        path = Path(data).expanduser().resolve()
    if (path / "train").is_dir() and (path / "val").is_dir():
        return _folder(path)
    if (path / "dataset_dict.json").is_file():
        return _saved(path)
    if shards := _shards(path):
        return _parquet(path, shards)
    raise DataError(f"{path} of task {task!r} should be {FORMS}.")


def _identity(path: Path, content: Iterable[object]) -> str:
    digest = hashlib.sha256(str(path.resolve()).encode())
    for part in content:
        digest.update(f"\0{part}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _folder(path: Path) -> Place:
    files: dict[str, list[str]] = {}
    for part in ("train", "val"):
        with os.scandir(path / part) as entries:
            kinds = sorted(entry.name for entry in entries if entry.is_dir())
        for kind in kinds:
            names = sorted(os.listdir(path / part / kind))
            files[f"{part}/{kind}"] = [n for n in names if n.lower().endswith(SUFFIXES)]
    kinds = [folder.removeprefix("train/") for folder in files if folder.startswith("train/")]
    for folder, names in files.items():
        if not names or folder.partition("/")[2] not in kinds:
            lack = "has no image" if not names else "is of a class that is not in train"
            raise DataError(f"{path / folder} {lack}: {path} should be {FORMS}.")
    if not any(folder.startswith("val/") for folder in files):
        raise DataError(f"{path / 'val'} has no folder for each class: {path} should be {FORMS}.")

    def split(name: str) -> Encoded:
        where = [(k, f"{name}/{kind}") for k, kind in enumerate(kinds) if f"{name}/{kind}" in files]
        labels = np.repeat([k for k, _ in where], [len(files[folder]) for _, folder in where])
        paths = [path / folder / file for _, folder in where for file in files[folder]]

        def read(positions: np.ndarray) -> Iterator[tuple[str, bytes]]:
            return ((str(paths[k]), paths[k].read_bytes()) for k in positions)

        return Encoded(labels, read)

    listed = (f"{folder}/{name}" for folder, names in files.items() for name in names)
    return Place(
        str(path),
        _identity(path, listed),
        lambda: Photographs(len(kinds), split("train"), split("val")),
    )


def _shards(path: Path) -> dict[str, list[Path]]:
    """Parquet files of either split, in order; empty unless both have some."""
    found: dict[str, list[Path]] = {}
    for split, names in LABELLED.items():
        for folder in (path, path / "data"):
            files = {file for name in names for file in folder.glob(f"{name}*.parquet")}
            if files and split not in found:
                found[split] = sorted(files)
    return found if len(found) == len(LABELLED) else {}


def _parquet(path: Path, shards: dict[str, list[Path]]) -> Place:
    import pyarrow.parquet as pq

    def split(files: list[Path]) -> Encoded:
        def read(positions: np.ndarray) -> Iterator[tuple[str, bytes]]:
            first = 0
            for file in files:
                content = pq.ParquetFile(file)
                for group in range(content.num_row_groups):
                    count = content.metadata.row_group(group).num_rows
                    here = positions[(positions >= first) & (positions < first + count)] - first
                    if len(here):
                        cells = content.read_row_group(group, columns=["image"])["image"]
                        for row in here:
                            yield f"{file}, image {first + row}", cells[int(row)].as_py()["bytes"]
                    first += count

        try:
            labels = [pq.read_table(file, columns=["label"])["label"] for file in files]
            return Encoded(np.concatenate([part.to_numpy() for part in labels]), read)
        except (OSError, KeyError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            raise DataError(
                f"{files[0].parent}: a column `label` cannot be read from its Parquet files: "
                f"{str(error).splitlines()[0]}."
            ) from None

    sizes = (f"{file} {file.stat().st_size}" for files in shards.values() for file in files)
    return Place(
        str(path),
        _identity(path, sizes),
        lambda: _counted(str(path), split(shards["train"]), split(shards["test"])),
    )


def _saved(path: Path) -> Place:
    states = [state.read_text() for state in sorted(path.glob("*/state.json"))]

    def content() -> Photographs:
        return _splits(str(path), _library().load_from_disk(str(path)))

    return Place(str(path), _identity(path, states), content)


def _hub(name: str) -> Photographs:
    library = _library()
    try:
        return _splits(f"{HUB}{name}", library.load_dataset(name))
    except DataError:
        raise
    except Exception as error:  # whatever the hub's client, the network or the disk raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"The data set {name!r} cannot be had from Hugging Face: {reason} Accept its terms on "
            "its page and log in (`hf auth login`) where it asks for that, or name local files by "
            "data=PATH."
        ) from None


def _library() -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("A data set of Hugging Face", "huggingface") from None
    return datasets


def _splits(origin: str, found: Any) -> Photographs:
    """Of a `datasets.DatasetDict`."""
    parts = []
    for names in LABELLED.values():
        part = next((found[name] for name in names if name in found), None)
        if part is None or not {"image", "label"} <= set(part.column_names):
            raise DataError(
                f"{origin} has no split {names[0]!r} with the columns `image` and `label`."
            )
        parts.append(_encoded(origin, part))
    return _counted(origin, *parts)


def _encoded(origin: str, part: Any) -> Encoded:
    part = part.cast_column("image", _library().Image(decode=False))

    def read(positions: np.ndarray) -> Iterator[tuple[str, bytes]]:
        for k in positions:
            cell = part[int(k)]["image"]
            content = cell["bytes"]
            yield f"{origin}, image {k}", content or Path(cell["path"]).read_bytes()

    return Encoded(np.asarray(part["label"][:], np.int64), read)


def _counted(origin: str, train: Encoded, test: Encoded) -> Photographs:
    classes = int(train.labels.max()) + 1
    for labels in (train.labels, test.labels):
        if labels.min() < 0 or labels.max() >= classes:
            raise DataError(f"{origin} has labels outside 0 to {classes - 1}, those of training.")
    return Photographs(classes, train, test)
