"""Results that came with the code: metrics in files of the tree, before anything was run."""

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.meaning.metrics import number_like, quantity
from ohgw.review.tree import File

_FOLDERS = re.compile(r"(?:.*[-_])?(?:results?|outputs?|runs?|logs?|metrics|iteration\d*)")
_NAMES = re.compile(r"(?:.*[-_])?(?:results?|metrics|scores|summary|report|history)(?:[-_].*)?")
_FIXTURES = frozenset("tests test fixtures docs examples config configs conf".split())
_MAX_VALUES = 10_000


def _run(check: Check, context: Context) -> Iterator[Finding]:
    base = context.base.tree.files if context.base else {}
    held: dict[str, list[tuple[File, int, str]]] = {}  # by folder at the top
    for file in context.derived.tree.texts(".json", ".jsonl", ".csv"):
        parts = PurePosixPath(file.path).parts
        inside = any(_FOLDERS.fullmatch(part.lower()) for part in parts[:-1])
        named = _NAMES.fullmatch(PurePosixPath(file.path).stem.lower())
        known = base.get(file.path)
        if (not inside and not named) or _FIXTURES & {part.lower() for part in parts[:-1]}:
            continue
        if known is not None and known.data == file.data:
            continue
        found = _metric(file)
        if found:
            held.setdefault(str(PurePosixPath(*parts[:-1][:1])), []).append((file, *found))
    for folder, files in held.items():
        file, line, name = files[0]
        more = f", and {len(files) - 1} more files below {folder}/ are like it" if files[1:] else ""
        yield check.finding(
            "warning",
            context.derived.at(file.path),
            line,
            f"{file.path} holds {name} before anything was run{more}.",
            evidence=(file.lines[line - 1].strip()[:120] if file.lines else ""),
            fix="Take results out of the code; let the run write them.",
        )


def _metric(file: File) -> tuple[int, str] | None:
    """The line and name of the first metric with a number."""
    text = file.text or ""
    if file.path.endswith(".csv"):
        head = file.lines[0][:2000].split(",") if len(file.lines) > 1 else []
        name = next((cell.strip(' "') for cell in head if quantity(cell.strip(' "'))), None)
        return (1, name) if name else None
    pending: list[object] = []
    for line in file.lines[:1000] if file.path.endswith(".jsonl") else [text]:
        try:
            pending.append(json.loads(line))
        except (ValueError, RecursionError):
            return None
    for _ in range(_MAX_VALUES):
        if not pending:
            return None
        value = pending.pop()
        if isinstance(value, list):
            pending += value[:100]
        elif isinstance(value, dict):
            for key, item in value.items():
                if quantity(str(key)) and number_like(item):
                    return _line(file, str(key)), str(key)
                if isinstance(item, dict | list):
                    pending.append(item)
    return None


def _line(file: File, key: str) -> int:
    return next((k for k, line in enumerate(file.lines, 1) if f'"{key}"' in line), 1)


CHECK = Check("results-without-run", "Results Honesty", "metrics valid", _run)
