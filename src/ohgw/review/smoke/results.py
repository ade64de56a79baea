"""The results that a smoke run wrote, by variation, reduced to numbers that can be compared."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

# What two honest runs of one seed may differ in.
_TIMING = re.compile(
    r"time|sec|duration|elapsed|wall|clock|date|stamp|hour|minute|throughput|speed|memory|mem_|_mb|"
    r"_gb|vram|rss|pid|path|dir|host|uuid|_per_s",
    re.IGNORECASE,
)


@dataclass
class Results:
    """One file of results."""

    path: str  # below the results directory
    numbers: dict[str, float] = field(default_factory=dict)  # by dotted key, finite or not
    problem: str = ""
    values: list[Any] = field(default_factory=list)  # as parsed; of JSON lines one a line

    @property
    def comparable(self) -> dict[str, float]:
        """Without what measures the machine."""
        return {key: value for key, value in self.numbers.items() if not _TIMING.search(key)}

    @property
    def non_finite(self) -> list[str]:
        return [key for key, value in self.numbers.items() if not math.isfinite(value)]

    def belongs_to(self, variation: str) -> bool:
        """Its folder or file is named for the variation, also with a suffix such as -smoke."""
        for part in PurePosixPath(self.path).with_suffix("").parts:
            if part == variation or re.fullmatch(
                rf"{re.escape(variation)}[-_.](smoke|test|trial|debug|seed.*|\d+)", part
            ):
                return True
        return False

    def owned(self, variations: Sequence[str]) -> dict[str, dict[str, float]]:
        """Comparable numbers by variation, where rows or keys of a common table name it.

        A row names it by a text of its own (`{"run": "a", "loss": 0.5}`), a mapping by a key
        (`{"a": {"loss": 0.5}}`). Keys count from there, several rows of one variation in order.
        """
        found: dict[str, dict[str, float]] = {}
        rows: dict[str, int] = {}
        pending = list(reversed(self.values))
        while pending:
            value = pending.pop()
            if isinstance(value, list):
                pending += reversed(value)
                continue
            if not isinstance(value, dict):
                continue
            texts = {item for item in value.values() if isinstance(item, str)}
            names = [name for name in variations if name in texts]
            if len(names) == 1:
                parts = [(names[0], value)]
            else:
                parts = [(name, value[name]) for name in variations if name in value]
                pending += [item for key, item in value.items() if key not in variations]
            for name, part in parts:
                row = rows[name] = rows.get(name, 0) + 1
                own = found.setdefault(name, {})
                own |= {f"{row}.{k}": v for k, v in _numbers(part) if not _TIMING.search(k)}
        return found


def read_results(files: Mapping[str, bytes]) -> list[Results]:
    """Every JSON file below out/ that is not a copy of a configuration; those that do not parse
    say why.
    """
    read = []
    for name, data in sorted(files.items()):
        path = name.removeprefix("out/")
        if not name.startswith("out/") or not name.endswith((".json", ".jsonl")):
            continue
        result = Results(path)
        try:
            text = data.decode("utf-8")
            rows = text.splitlines() if name.endswith(".jsonl") else [text]
            for number, row in enumerate(row for row in rows if row.strip()):
                prefix = f"{number}." if name.endswith(".jsonl") else ""
                value = json.loads(row)
                result.values.append(value)
                result.numbers |= {prefix + key: found for key, found in _numbers(value)}
        except (ValueError, RecursionError) as error:
            result.problem = f"not JSON: {error}"
        read.append(result)
    return read


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Numbers of a JSON value by dotted key; an echoed configuration is not a result."""
    pending = [(key, value)]
    while pending:
        key, value = pending.pop()
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            yield key, float(value)
        elif isinstance(value, dict):
            for name, item in value.items():
                if name not in ("config", "cfg", "args", "hyperparameters", "params", "settings"):
                    pending.append((f"{key}.{name}" if key else str(name), item))
        elif isinstance(value, list):
            pending += [(f"{key}[{k}]", item) for k, item in enumerate(value)]


def differences(first: Mapping[str, float], second: Mapping[str, float]) -> list[str]:
    """Keys whose numbers differ by more than rounding, or that only one side has."""
    found = sorted(first.keys() ^ second.keys())
    for key in first.keys() & second.keys():
        a, b = first[key], second[key]
        if not (math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) or (a != a and b != b)):
            found.append(key)
    return found
