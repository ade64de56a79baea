"""Tables of numbers and categories: where they are, how they are read, and how they are encoded.

A named table is a Parquet file with a column `target` and a column `split` (0 train, 1 val,
2 test), looked for like all data; a number instead of a name is the id of a data set at OpenML
(Vanschoren et al. 2014), downloaded once by scikit-learn, which compares it with OpenML's MD5.

What is learnt from data is learnt from the training rows alone. A number is standardised, a
missing one is the mean; a category becomes an indicator, a missing or unseen one none. A target
is a class, or a number that is standardised.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ohgw.core.errors import DataError, SettingError, UnknownNameError
from ohgw.tasks import _data

SPLITS = ("train", "val", "test")
MAX_CATEGORIES = 256  # of a feature; the rarer ones count as unseen
Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Source:
    """A named table: its file, and what its columns do not say about themselves."""

    file: str
    openml: int
    """The id of a similar data set, for those who lack the file."""
    regression: bool = False
    categorical: tuple[str, ...] = ()
    """Categories that are written as numbers."""
    dropped: tuple[str, ...] = ()


TABLES = {
    "adult": Source("adult.parquet", 1590),
    # How long the call was is known when its outcome is (the donors' own remark).
    "bank-marketing": Source("bank_marketing.parquet", 1461, dropped=("duration",)),
    "california-housing": Source("california_housing.parquet", 44977, regression=True),
    "covertype": Source("covertype_11k.parquet", 1596),
    "credit-default": Source(
        "credit_default.parquet", 42477, categorical=("SEX", "EDUCATION", "MARRIAGE")
    ),
    "electricity": Source("electricity.parquet", 151),
    "letter": Source("letter.parquet", 6),
    "magic": Source("magic.parquet", 1120),
}


class Table(NamedTuple):
    """Rows as numbers. Columns of x: first the numbers, then indicators by feature."""

    origin: str
    numbers: int
    """How many columns are numbers."""
    categories: tuple[int, ...]
    """How many indicators each categorical feature has."""
    deviation: np.ndarray
    """Of each column over the training rows, (F,)."""
    classes: tuple[str, ...]
    """Labels in the order of their codes; none where the target is a number."""
    unit: float
    """The deviation of the target over the training rows, where that is a number; 1 otherwise."""
    splits: dict[str, Split]
    """x (n, F) and y (n,), of whole numbers where it is a class."""


class _Rows(NamedTuple):
    """A table as it was found."""

    origin: str
    features: Any  # DataFrame
    target: Any  # Series
    split: np.ndarray  # 0, 1, 2
    regression: bool


def check_table(task: str, data: str | int) -> None:
    """Raises `UnknownNameError` for a name, `SettingError` for a number that is no id."""
    if isinstance(data, str):
        if data not in TABLES:
            raise UnknownNameError(f"table of task {task!r}", data, TABLES)
    elif isinstance(data, bool) or not isinstance(data, int) or data < 1:
        raise SettingError(
            f"data={data!r} of task {task!r} must be the id of a data set at openml.org, a whole "
            f"number from 1, or one of {', '.join(TABLES)}."
        )


def read_table(data: str | int, examples: int | None) -> Table:
    """A table of this name or OpenML id; `examples` are so many of its training rows.

    Then half as many rows validate. Raises `DataError`, and `SettingError` for too many examples.
    """
    if isinstance(data, int):
        return _encoded(_openml(data, str(_data.cache_directory())), examples)
    source = TABLES[data]
    path = _data.find(source.file)
    if path is None:
        places = ", ".join(str(place) for place in _data.places())
        raise DataError(
            f"{source.file} is not in {places}. Put it into one of these directories, set "
            f"{_data.VARIABLE} to one that has it, or use OpenML's version of the data, "
            f"data={source.openml}, which is downloaded and has other rows and splits."
        )
    return _encoded(_parquet(str(path), data), examples)


@cache
def _parquet(path: str, name: str) -> _Rows:
    import pandas as pd

    source = TABLES[name]
    try:
        frame = pd.read_parquet(path)
        split, target = frame["split"].to_numpy(), frame["target"]
        features = frame.drop(columns=["split", "target", *source.dropped])
        features = features.astype({column: "category" for column in source.categorical})
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Remove or replace it.") from None
    return _Rows(source.file, features, target, split, source.regression)


@cache
def _openml(number: int, cache_directory: str) -> _Rows:
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A network error occurred")  # it tries again
            found = fetch_openml(
                data_id=number, as_frame=True, data_home=cache_directory, parser="pandas"
            )
    except (OSError, ValueError) as error:  # what it raises for no network, and for an unknown id
        raise DataError(
            f"Data set {number} of openml.org is not in {cache_directory}/openml and could not be "
            f"had: {error}. Run this once where there is a network and copy that directory here."
        ) from None
    target = found.target
    if target is None or target.ndim != 1:
        raise DataError(f"Data set {number} of openml.org has no single column to predict.")
    known = target.notna().to_numpy()
    features, target = found.data[known], target[known]
    regression = target.dtype.kind in "iuf"
    codes = target.to_numpy() if regression else target.astype("category").cat.codes.to_numpy()
    name = f"{found.details['name']}, {number} of openml.org"
    return _Rows(name, features, target, _three_one_one(codes), regression)


def _three_one_one(target: np.ndarray) -> np.ndarray:
    """Splits by row: of five rows that are neighbours in the target, three train. Fixed."""
    rng = np.random.default_rng(0)
    order = np.lexsort((rng.random(len(target)), target))
    split = np.empty(len(target), np.int8)
    split[order] = np.resize([0, 1, 0, 2, 0], len(target))
    return split


def _encoded(rows: _Rows, examples: int | None) -> Table:
    parts = {split: np.flatnonzero(rows.split == k) for k, split in enumerate(SPLITS)}
    if examples is not None:
        have = len(parts["train"])
        if examples > have:
            raise SettingError(f"examples={examples}: {rows.origin} has {have} training rows.")
        rng = np.random.default_rng(0)
        for split, count in (("train", examples), ("val", max(1, examples // 2))):
            parts[split] = rng.permutation(parts[split])[:count]
    x, numbers, categories = _columns(rows.features, parts["train"])
    y, classes, unit = _target(rows, parts["train"])
    return Table(
        origin=rows.origin,
        numbers=numbers,
        categories=categories,
        deviation=x[parts["train"]].std(0),
        classes=classes,
        unit=unit,
        splits={split: (x[part], y[part]) for split, part in parts.items()},
    )


def _columns(features: Any, train: np.ndarray) -> tuple[np.ndarray, int, tuple[int, ...]]:
    """All rows encoded; how many columns are numbers; how many each category has."""
    import pandas as pd

    numeric = [name for name in features if features[name].dtype.kind in "iufb"]
    values = features[numeric].to_numpy(np.float64, na_value=np.nan)
    mean, deviation = _moments(values[train])
    values = np.where(np.isnan(values), mean, values)
    deviation = np.where(deviation > 0, deviation, 1.0)  # a constant says nothing
    blocks, sizes = [(values - mean) / deviation], []
    for name in features.columns.difference(numeric, sort=False):
        text = features[name].astype("str").where(features[name].notna())
        known = sorted(text.iloc[train].value_counts().index[:MAX_CATEGORIES])
        codes = pd.Index(known).get_indexer(text)  # -1: missing or unseen
        blocks.append((codes[:, None] == np.arange(len(known))).astype(np.float64))
        sizes.append(len(known))
    return np.concatenate(blocks, axis=1), len(numeric), tuple(sizes)


def _moments(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each column over what is not missing; 0 and 0 where all is."""
    there = ~np.isnan(seen)
    count = np.maximum(there.sum(0), 1)
    mean = np.where(there, seen, 0.0).sum(0) / count
    square = np.where(there, (seen - mean) ** 2, 0.0).sum(0) / count
    return mean, np.sqrt(square)


def _target(rows: _Rows, train: np.ndarray) -> tuple[np.ndarray, tuple[str, ...], float]:
    if rows.regression:
        y = rows.target.to_numpy(np.float64)
        unit = float(y[train].std())
        return (y - y[train].mean()) / unit, (), unit
    classes, codes = np.unique(rows.target.astype("str").to_numpy(str), return_inverse=True)
    return codes.astype(np.int64), tuple(classes.tolist()), 1.0
