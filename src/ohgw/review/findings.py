"""What a review says: findings, the ladder, the verdict. Plain data, written as JSON.

The verdict follows from the evidence alone: any finding of severity error makes the code not
ready, and where something could not be established that had to be, the review says that it cannot
tell. Nothing else has a vote.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Severity = Literal["error", "warning", "note"]
Status = Literal["passed", "failed", "not checked"]

# The rungs of the ladder, in the order in which code has to climb them.
LADDER = (
    "parses",
    "dependencies resolve",
    "imports resolve",
    "configurations compose",
    "smoke runs",
    "variations differ",
    "method implemented",
    "metrics valid",
)

READY, NOT_READY, CANNOT_TELL = 0, 1, 2


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Finding(_Data):
    """One thing that is wrong, where it is, how we know, and what to do.

    `file` is relative and POSIX, under `base/`, `derived/` or `before/`; where two places
    contradict each other, `file` and `line` are lists of equal length. Lines count from 1.
    """

    id: str
    severity: Severity
    criterion: str
    file: str | list[str] | None = None
    line: int | list[int] | None = None
    message: str
    evidence: str = ""
    fix: str = ""

    @property
    def places(self) -> list[tuple[str, int | None]]:
        """Every (file, line) that the finding points at."""
        if self.file is None:
            return []
        files = self.file if isinstance(self.file, list) else [self.file]
        lines = self.line if isinstance(self.line, list) else [self.line] * len(files)
        return list(zip(files, lines, strict=False))


class Rung(_Data):
    """One rung of the ladder."""

    status: Status
    reason: str = ""


class Claim(_Data):
    """Something the texts say the experiment does, and whether the code does it."""

    kind: str  # seeds, scheduler, metric, data set, model, dimensions, budget, test ...
    value: str  # what is claimed of it: PASHA, 5
    text: str  # the words that make the claim
    status: Literal["supported", "contradicted", "not found", "not checked"]
    file: str | None = None
    line: int | None = None
    evidence: str = ""


class Silenced(_Data):
    """A finding that a comment in the reviewed code silenced, with the reason given there."""

    finding: Finding
    reason: str


class Review(_Data):
    """The whole answer."""

    is_experiment_code_ready: bool
    experiment_code_issue: str
    findings: list[Finding]
    ladder: dict[str, Rung]  # by name, in the order of LADDER
    claims: list[Claim]
    silenced: list[Silenced]
    missing: list[str]  # what kept the review from telling; empty where it could tell
    tool: dict[str, Any]

    @property
    def exit_code(self) -> int:
        if any(finding.severity == "error" for finding in self.findings):
            return NOT_READY
        return CANNOT_TELL if self.missing else READY


def issue_text(findings: list[Finding], missing: list[str]) -> str:
    """`experiment_code_issue`: every error in a line, or what was missing to tell; else empty."""
    lines = []
    for finding in findings:
        if finding.severity == "error":
            where = ", ".join(f"{file}:{line}" if line else file for file, line in finding.places)
            lines.append(f"{where + ': ' if where else ''}{finding.message} [{finding.id}]")
    if not lines and missing:
        return "Could not tell: " + "; ".join(missing)
    return "\n".join(lines)
