"""Photographs decoded once, at one size, into files that are mapped instead of read.

What is mapped takes no memory until it is looked at, and processes share it: ImageNet's 1.2 million
training images are 185 GB at 224 x 224. A map is a folder of the cache: `images.u8`, (n, 3, S, S)
bytes, `labels.npy`, (n,), and `manifest.json`, which says whose they are. It comes into being whole
or not at all, and what does not fit its manifest is made again.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ohgw.core.errors import DataError, StorageError
from ohgw.tasks import _data

FORMAT = 1
MARGIN = 8 / 7  # shorter side before the crop, over the crop's: 256 of 224, as for published scores
TOGETHER = 256  # images in memory while decoding
TOLD = 100_000  # images between two lines of progress


class Chosen(NamedTuple):
    """Images of a source in the order of the map: their positions there, (n,), and labels, (n,)."""

    positions: np.ndarray
    labels: np.ndarray
    classes: int
    read: Callable[[np.ndarray], Iterable[tuple[str, bytes]]]


class Mapped(NamedTuple):
    """Images (n, 3, S, S) uint8, which must not be written to, labels (n,) int64, and classes."""

    images: Tensor
    labels: Tensor
    classes: int


def mapped(identity: dict[str, Any], size: int, choose: Callable[[], Chosen]) -> Mapped:
    """The map of what `identity` names; without one, what `choose` gives is decoded.

    Raises `DataError` for an image that cannot be decoded and `StorageError` where the cache
    cannot take the map.
    """
    identity = {**identity, "size": size, "format": FORMAT}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    folder = _data.cache_directory() / "pixels" / digest[:16]
    if folder.exists():
        fault = _fault(folder, identity)
        if fault is None:
            return _open(folder, size)
        print(f"{folder} {fault}: it is made again.", file=sys.stderr)
    _make(folder, identity, size, choose())
    return _open(folder, size)


def _fault(folder: Path, identity: dict[str, Any]) -> str | None:
    """What is wrong with a map, if anything."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        count, theirs = manifest["count"], manifest["identity"]
        length = (folder / "images.u8").stat().st_size
        labels = len(np.load(folder / "labels.npy"))
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return "is half-written or damaged"
    if theirs != identity:
        return "holds other images than its name says"
    if labels != count or length != count * 3 * identity["size"] ** 2:
        return "is cut short"
    return None


def _open(folder: Path, size: int) -> Mapped:
    labels = np.load(folder / "labels.npy")
    pixels = np.memmap(folder / "images.u8", np.uint8, "r", shape=(len(labels), 3, size, size))
    with warnings.catch_warnings():
        # Of tensors that cannot be written to. A private map could be, but the system would have
        # to promise memory for all of it.
        warnings.simplefilter("ignore", UserWarning)
        images = torch.from_numpy(pixels)
    classes = json.loads((folder / "manifest.json").read_text())["classes"]
    return Mapped(images, torch.from_numpy(labels), classes)


def _make(folder: Path, identity: dict[str, Any], size: int, chosen: Chosen) -> None:
    count = len(chosen.labels)
    need = count * 3 * size**2
    room: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
        if need > free:
            raise StorageError(
                f"{count} images of {size} x {size} need {need / 1e9:.1f} GB in {folder.parent}, "
                f"which has {free / 1e9:.1f}. Set OHGW_CACHE to a larger disk, or ask for fewer "
                "(examples=N) or smaller ones (size=N)."
            )
        print(
            f"Decoding {count} images of {identity['origin']} to {folder} ({need / 1e9:.2f} GB)",
            file=sys.stderr,
        )
        room = Path(tempfile.mkdtemp(dir=folder.parent))
        _write(room / "images.u8", size, chosen)
        np.save(room / "labels.npy", chosen.labels.astype(np.int64))
        manifest = {"identity": identity, "count": count, "classes": chosen.classes}
        (room / "manifest.json").write_text(json.dumps(manifest, indent=2))
        _put(room, folder, identity)
    except (StorageError, DataError):
        raise
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error}. Make room, or set OHGW_CACHE to another place."
        ) from None
    finally:
        if room is not None:
            shutil.rmtree(room, ignore_errors=True)


def _put(room: Path, folder: Path, identity: dict[str, Any]) -> None:
    """Move a finished map to its place, unless another process was first."""
    if folder.exists():
        if _fault(folder, identity) is None:
            return
        os.replace(folder, room / "old")
    try:
        os.replace(room, folder)
    except OSError:
        if _fault(folder, identity) is not None:
            raise
    shutil.rmtree(folder / "old", ignore_errors=True)


def _write(path: Path, size: int, chosen: Chosen) -> None:
    """Decode in the order of the source, each image to its place in the map."""
    places = np.argsort(chosen.positions, kind="stable")
    target = np.memmap(path, np.uint8, "w+", shape=(len(places), 3, size, size))
    files = iter(chosen.read(chosen.positions[places]))
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for first in range(0, len(places), TOGETHER):
            part = pool.map(lambda file: decoded(file[0], file[1], size), _next(files))
            for place, image in zip(places[first : first + TOGETHER], part, strict=True):
                target[place] = image
            done = first + TOGETHER
            if done // TOLD > first // TOLD and done < len(places):
                print(f"{done} of {len(places)} images decoded", file=sys.stderr)
    target.flush()


def _next(files: Iterator[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    try:
        return list(islice(files, TOGETHER))
    except (OSError, KeyError, ValueError) as error:  # pyarrow's own are ValueErrors
        raise DataError(f"An image cannot be read: {error}. Restore the file.") from None


def decoded(name: str, content: bytes, size: int) -> np.ndarray:
    """(3, S, S) bytes: the shorter side at 8/7 of S, bilinear, and its centre.

    Raises `DataError` with the name of an image that cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(content)) as file:
            image = file.convert("RGB")
    except (OSError, SyntaxError, ValueError, TypeError) as error:
        raise DataError(
            f"{name} cannot be decoded: {error}. Replace it, or remove it from the data."
        ) from None
    shorter = round(size * MARGIN)
    scale = shorter / min(image.size)
    width, height = (max(shorter, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    pixels = np.asarray(image.crop((left, top, left + size, top + size)))
    return pixels.transpose(2, 0, 1)
