"""What must hold of any metric, held against what the tree's own metrics said of known predictions.

A metric is called with every layout of data that predictions commonly have, of which most are not
its own. So one layout in which everything is as it must be clears it; it is wrong only where none
does, and where one shows the fault plainly, or where nothing that it is given makes a difference.
"""

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ohgw.review.findings import Finding
from ohgw.review.project import Project
from ohgw.review.smoke import metric_driver
from ohgw.review.smoke.kinds import METRIC
from ohgw.review.smoke.metric_calls import (
    Metric,
    family_of,
    higher_is_better,
    metrics_of,
    order_counts,
)
from ohgw.review.smoke.sandbox import CODE, OUT, PROBE, Limits, Outcome

SECONDS = 90.0
_MOST = 60  # functions of one tree
_SCENARIOS = ("perfect", "worst", "constant", "mixed")


@dataclass(frozen=True)
class Answer:
    """What a metric said in one layout of the data."""

    layout: str
    counts: tuple[float, ...]  # of examples and of labels: what a number of right ones would be
    said: dict[str, float]  # by scenario


@dataclass(frozen=True)
class Plan:
    """The metrics that are called, and the command that does it."""

    metrics: Sequence[Metric]
    command: Sequence[str]
    limits: Limits


def plan(project: Project, watch: Path, python: str, limits: Limits) -> Plan | None:
    """With the driver and its questions beside the probe; None where there is nothing to call."""
    metrics = list(metrics_of(project))[:_MOST]
    if not metrics:
        return None
    asked = [
        {
            "number": number,
            "module": metric.module.name,
            "path": metric.module.path,
            "name": metric.definition.name,
            "first": metric.first,
        }
        for number, metric in enumerate(metrics)
    ]
    shutil.copy(metric_driver.__file__, watch / "metric_driver.py")
    (watch / "metrics_asked.json").write_text(json.dumps(asked), encoding="utf-8")
    words = (f"{PROBE}/metric_driver.py", CODE, f"{PROBE}/metrics_asked.json")
    command = [python, *words, f"{OUT}/metrics.jsonl"]
    return Plan(metrics, command, replace(limits, seconds=min(limits.seconds, SECONDS)))


def judged(project: Project, asked: Plan, outcome: Outcome) -> tuple[list[Finding], int]:
    """The findings, and how many metrics were called in a layout that they take."""
    findings = []
    answers = _read(outcome.files.get("out/metrics.jsonl", b""))
    for number, metric in enumerate(asked.metrics):
        for key, given in answers.get(number, {}).items():
            family = family_of(key) if key else metric.family
            fault = _fault(metric, family, given) if family else None
            if fault:
                findings.append(_finding(project, metric, key, *fault))
    return findings, len(answers)


def _finding(project: Project, metric: Metric, key: str, what: str, answer: Answer) -> Finding:
    name = f"{metric.definition.name}[{key!r}]" if key else metric.definition.name
    line = metric.definition.line
    values = ", ".join(f"{scenario} {value:.4g}" for scenario, value in answer.said.items())
    return METRIC.finding(
        "error",
        project.at(metric.module.path),
        line,
        f"{name} {what}.",
        evidence=f"{metric.module.source(line)}\n{answer.layout}: {values}",
        fix="Correct the metric, and test it with predictions whose quality is known.",
    )


def _fault(metric: Metric, family: str, answers: Sequence[Answer]) -> tuple[str, Answer] | None:
    """What is wrong beyond doubt, and the answer that shows it."""
    shown: list[tuple[str, Answer]] = []
    answers = [answer for answer in answers if _fits(metric, answer.layout)]
    for answer in answers:
        what = _broken(metric, family, answer)
        if what:
            shown.append((what, answer))
        elif _sound(family, answer):
            return None
    if shown:
        return shown[0]
    if answers and metric.plain and all(map(_blind, answers)):
        value = answers[0].said["perfect"]
        return f"is {value:.4g} whatever is predicted", answers[0]
    return None


def _fits(metric: Metric, layout: str) -> bool:
    """Whether predictions of that name may come so: probabilities are no logits."""
    name = metric.given.lower()
    if "log" in name:
        return not layout.startswith("probabilities")
    return "prob" not in name or not layout.startswith("logits")


def _blind(answer: Answer) -> bool:
    return all(_same(value, answer.said["perfect"]) for value in answer.said.values())


def _broken(metric: Metric, family: str, answer: Answer) -> str:
    """A relation that must hold and does not, in a layout that is evidently the metric's own: what
    is half right is judged between what is right and what is wrong.
    """
    perfect, worst, mixed = (answer.said[name] for name in ("perfect", "worst", "mixed"))
    if not higher_is_better(family):
        perfect, worst, mixed = -perfect, -worst, -mixed
    shown = answer.said["perfect"], answer.said["worst"]
    if _less(perfect, mixed) and _less(mixed, worst):
        return "is {:.4g} of perfect predictions and {:.4g}, which is better, of wrong ones".format(
            *shown
        )
    if not (_less(worst, mixed) and _less(mixed, perfect)):
        return ""
    if family == "accuracy" and not _full(answer):
        return f"is {perfect:.4g} of perfect predictions, not 1" if metric.bare else ""
    moved = answer.said.get("moved")
    if moved is not None and not order_counts(family) and not _same(moved, answer.said["mixed"]):
        return (
            f"depends on the order of the examples: {answer.said['mixed']:.4g} becomes {moved:.4g} "
            "where predictions and labels are reordered alike"
        )
    return ""


def _sound(family: str, answer: Answer) -> bool:
    """What is right is better than what is half right, and that than what is wrong."""
    sign = 1 if higher_is_better(family) else -1
    perfect, worst, mixed = (sign * answer.said[name] for name in ("perfect", "worst", "mixed"))
    ordered = _less(worst, mixed) and _less(mixed, perfect)
    return ordered and (family != "accuracy" or _full(answer))


def _full(answer: Answer) -> bool:
    """All right: as a share, per cent, or number of examples."""
    perfect = answer.said["perfect"]
    return any(math.isclose(perfect, full, rel_tol=2e-3) for full in (1.0, 100.0, *answer.counts))


def _same(first: float, second: float) -> bool:
    return math.isclose(first, second, rel_tol=1e-4, abs_tol=1e-6)


def _less(first: float, second: float) -> bool:
    return first < second and not _same(first, second)


def _read(data: bytes) -> dict[int, dict[str, list[Answer]]]:
    """Answers by metric and by key; whatever else the code has written there is left out."""
    found: dict[int, dict[str, list[Answer]]] = {}
    for line in data.decode("utf-8", errors="replace").splitlines():
        try:
            for number, key, answer in _answers(json.loads(line)):
                found.setdefault(number, {}).setdefault(key, []).append(answer)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            continue
    return found


def _answers(row: dict[str, object]) -> Iterator[tuple[int, str, Answer]]:
    said = row["said"]
    assert isinstance(said, dict)
    counts = tuple(float(count) for count in row["counts"])  # type: ignore[attr-defined]
    for key in said["perfect"]:
        if all(key in said[scenario] for scenario in _SCENARIOS):
            values = {name: float(numbers[key]) for name, numbers in said.items() if key in numbers}
            if not any(map(math.isnan, values.values())):
                yield (
                    int(row["asked"]),  # type: ignore[call-overload]
                    str(key),
                    Answer(str(row["layout"])[:80], counts, values),
                )
