"""One review: run every check, honour what the code silences, climb the ladder, conclude."""

import platform
import re
from collections.abc import Iterable, Sequence

from ohgw.review import tools
from ohgw.review.checks import CHECKS, Check, Context
from ohgw.review.claims import check_claims
from ohgw.review.findings import (
    LADDER,
    Finding,
    Review,
    Rung,
    Silenced,
    Status,
    issue_text,
)
from ohgw.review.llm import Opinions
from ohgw.review.smoke import CHECKS as SMOKE_CHECKS
from ohgw.review.smoke import Observation
from ohgw.version import __version__

_IGNORE = re.compile(r"#\s*ohgw:\s*ignore\[([\w, -]+)\]\s*(.*)")
_SEVERITIES = ("error", "warning", "note")


def review(
    context: Context,
    *,
    checks: Sequence[Check] = CHECKS,
    honour_ignores: bool = True,
    observation: Observation | None = None,
) -> Review:
    """Everything that can be said of `context`.

    `observation` comes from running the code (`ohgw.review.smoke`). A check that fails on hostile
    input costs its own answer, never the review: the review then says that it could not tell.
    """
    seen = observation or Observation()
    findings, missing = list(seen.findings), list(seen.missing)
    if not context.derived.modules:
        missing.append(f"{context.derived.tree.origin} holds no Python file")
    for check in checks:
        try:
            findings += check.run(check, context)
        except Exception as error:  # whatever a reviewed tree makes a check do
            missing.append(f"check {check.id} failed: {type(error).__name__}: {error}")
    findings, silenced = _silence(findings, context) if honour_ignores else (findings, [])
    findings = sorted(_distinct(findings), key=_order)
    claims = check_claims(context)
    ready = not missing and all(finding.severity != "error" for finding in findings)
    return Review(
        is_experiment_code_ready=ready,
        experiment_code_issue=issue_text(findings, missing),
        findings=findings,
        ladder=_ladder(findings, checks, seen.rungs),
        claims=claims,
        silenced=silenced,
        missing=missing,
        tool={**_versions(), **seen.tool},
    )


def with_opinions(review: Review, opinions: Opinions, model: str) -> Review:
    """The same verdict; what the model said stands among the warnings."""
    return review.model_copy(
        update={
            "findings": sorted([*review.findings, *opinions.findings], key=_order),
            "tool": {**review.tool, "model": f"{model}: {opinions.summary}"},
        }
    )


def could_not_tell(missing: str) -> Review:
    """The review of what could not even be read."""
    return Review(
        is_experiment_code_ready=False,
        experiment_code_issue=issue_text([], [missing]),
        findings=[],
        ladder={name: Rung(status="not checked", reason=missing) for name in LADDER},
        claims=[],
        silenced=[],
        missing=[missing],
        tool=_versions(),
    )


def _versions() -> dict[str, str]:
    return {"ohgw": __version__, "python": platform.python_version(), **tools.versions()}


def _distinct(findings: Iterable[Finding]) -> list[Finding]:
    """Without repetitions: two checks' parts may see one place."""
    unique = {(f.id, str(f.file), str(f.line), f.message): f for f in findings}
    return list(unique.values())


def _order(finding: Finding) -> tuple[int, str, int, str]:
    file, line = finding.places[0] if finding.places else ("", None)
    return (_SEVERITIES.index(finding.severity), file, line or 0, finding.id)


def _silence(findings: list[Finding], context: Context) -> tuple[list[Finding], list[Silenced]]:
    """Take out what `# ohgw: ignore[id] reason` on the line, or the one above it, asks for."""
    kept, silenced = [], []
    for finding in findings:
        reason = _reason(finding, context)
        if reason:
            silenced.append(Silenced(finding=finding, reason=reason))
        else:
            kept.append(finding)
    return kept, silenced


def _reason(finding: Finding, context: Context) -> str:
    """The reason given for silencing; a comment without one silences nothing."""
    for place, line in finding.places:
        label, _, path = place.partition("/")
        if label != context.derived.label or line is None:
            continue
        file = context.derived.tree.files.get(path)
        lines = file.lines if file else []
        for number in (line, line - 1):
            if not 0 < number <= len(lines):
                continue
            found = _IGNORE.search(lines[number - 1])
            alone = found is not None and lines[number - 1].lstrip().startswith("#")
            if found and (number == line or alone):
                ids = [part.strip() for part in found[1].split(",")]
                if finding.id in ids and found[2].strip():
                    return found[2].strip()
    return ""


def _ladder(
    findings: Sequence[Finding],
    checks: Sequence[Check],
    observed: dict[str, Rung],
) -> dict[str, Rung]:
    """Each rung: what running showed, else what the checks that bear on it found."""
    home = {check.id: check.rung for check in (*checks, *SMOKE_CHECKS)}
    answered = {check.rung for check in checks}
    ladder: dict[str, Rung] = {}
    for name in LADDER:
        own = [finding for finding in findings if home.get(finding.id) == name]
        errors = [finding for finding in own if finding.severity == "error"]
        status: Status
        if errors:
            first = errors[0].message
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            status, reason = "failed", first + more
        elif name in observed:
            ladder[name] = observed[name]
            continue
        elif name not in answered:
            status, reason = "not checked", "needs --smoke"
        else:
            status, reason = "passed", "statically; nothing found"
        ladder[name] = Rung(status=status, reason=reason)
    return ladder
