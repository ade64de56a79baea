"""Workflow commands that GitHub turns into annotations beside the changed lines."""

from ohgw.review.findings import Review
from ohgw.review.formats.excerpt import harmless
from ohgw.review.tree import Tree

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def as_github(review: Review, trees: dict[str, Tree]) -> str:
    """Places in the derived tree become annotations, others are named in the message."""
    review = harmless(review)
    lines = []
    for finding in review.findings:
        properties = {"title": f"{finding.id} ({finding.criterion})"}
        message = finding.message
        for place, line in finding.places:
            label, _, path = place.partition("/")
            if label == "derived" and "file" not in properties:
                properties["file"] = path
                if line:
                    properties["line"] = str(line)
            else:
                message += f" ({place}{f':{line}' if line else ''})"
        if finding.fix:
            message += f"\n{finding.fix}"
        settings = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
        lines.append(f"::{_COMMANDS[finding.severity]} {settings}::{_data(message)}")
    for missing in review.missing:
        lines.append(f"::error title=could not tell::{_data(missing)}")
    verdict = "ready" if review.is_experiment_code_ready else "not ready"
    lines.append(f"::notice title=ohgw review::{verdict}")
    return "\n".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
