"""The findings that running can make, and what a run comes to."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ohgw.review.checks import Check, Context
from ohgw.review.findings import Finding, Rung


def _none(check: Check, context: Context) -> Iterator[Finding]:
    return iter(())


def _check(name: str, criterion: str, rung: str = "smoke runs") -> Check:
    return Check(name, criterion, rung, _none)


EXIT = _check("smoke-exit", "Not Executable")
STOPPED = _check("smoke-stopped", "Not Executable")
OUTSIDE = _check("smoke-outside", "Not Executable")
RESULTS = _check("smoke-results", "Not Executable")
FINITE = _check("smoke-non-finite", "Evaluation Validity", "metrics valid")
VARIATION = _check("smoke-variation", "Configuration", "variations differ")
ALIKE = _check("smoke-alike", "Method Fidelity", "variations differ")
REPEAT = _check("smoke-repeat", "Seeds")
METRIC = _check("smoke-metric", "Evaluation Validity", "metrics valid")
FLOOD = _check("smoke-flood", "Not Executable")
CHECKS = (EXIT, STOPPED, OUTSIDE, RESULTS, FINITE, VARIATION, ALIKE, REPEAT, METRIC, FLOOD)


@dataclass
class Observation:
    """What running showed; `missing` says why it could not be run or concluded."""

    findings: list[Finding] = field(default_factory=list)
    rungs: dict[str, Rung] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    tool: dict[str, str] = field(default_factory=dict)
