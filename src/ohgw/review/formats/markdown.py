"""Markdown, for a comment on a change or a page of a wiki."""

from ohgw.review.findings import CANNOT_TELL, Finding, Review
from ohgw.review.formats.excerpt import excerpt, harmless
from ohgw.review.tree import Tree

_SIGNS = {"passed": "✅", "failed": "❌", "not checked": "➖"}
_HEADINGS = {"error": "Errors", "warning": "Warnings", "note": "Notes"}


def as_markdown(review: Review, trees: dict[str, Tree]) -> str:
    review = harmless(review)
    if review.is_experiment_code_ready:
        verdict = "ready"
    else:
        verdict = "could not tell" if review.exit_code == CANNOT_TELL else "not ready"
    lines = [f"# Experiment code: {verdict}", ""]
    lines += [f"- could not tell: {_line(missing)}" for missing in review.missing]
    lines += ["", "| | rung | |", "|---|---|---|"]
    for name, rung in review.ladder.items():
        lines.append(f"| {_SIGNS[rung.status]} | {name} | {_cell(rung.reason)} |")
    for severity, heading in _HEADINGS.items():
        findings = [f for f in review.findings if f.severity == severity]
        if findings:
            lines += ["", f"## {heading} ({len(findings)})"]
        for finding in findings:
            lines += ["", *_finding(finding, trees)]
    if review.claims:
        lines += ["", "## Claims", "", "| claim | | evidence | in the text |", "|---|---|---|---|"]
        for claim in review.claims:
            where = f" ({claim.file}:{claim.line})" if claim.file else ""
            lines.append(
                f"| {_cell(f'{claim.kind}: {claim.value}')} | {claim.status} "
                f"| {_cell(claim.evidence + where)} | {_cell(claim.text)} |"
            )
    if review.silenced:
        lines += ["", f"## Silenced in the code ({len(review.silenced)})", ""]
        for silenced in review.silenced:
            finding = silenced.finding
            lines.append(f"- `{finding.id}` {_line(finding.message)}: {_line(silenced.reason)}")
    return "\n".join(lines)


def _finding(finding: Finding, trees: dict[str, Tree]) -> list[str]:
    lines = [f"**`{finding.id}`** {_line(finding.message)}"]
    for place, line in finding.places:
        lines += ["", f"`{place}{f':{line}' if line else ''}`"]
        shown = excerpt(trees, place, line)
        if shown:
            fence = "`" * max(3, 1 + _longest_run("\n".join(text for _, text in shown)))
            lines += ["", fence, *(f"{number:>5} {text}" for number, text in shown), fence]
    if finding.fix:
        lines += ["", f"*Fix:* {_line(finding.fix)}"]
    return lines


def _longest_run(text: str) -> int:
    """Of backticks: a fence must be longer."""
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")
