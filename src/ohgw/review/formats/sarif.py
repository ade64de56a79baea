"""SARIF 2.1.0 (OASIS), which code hosts show as alerts beside the code."""

import hashlib
import json
from typing import Any
from urllib.parse import quote

from ohgw.review.findings import Finding, Review
from ohgw.review.tree import Tree

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {"error": "error", "warning": "warning", "note": "note"}


def as_sarif(review: Review, trees: dict[str, Tree]) -> str:
    """Paths of the derived tree are relative to its root, as a code host needs them.

    Those of another tree have a base of their own, and findings without a place point at the root
    file of the derived tree. Silenced findings are results with a suppression.
    """
    ids = sorted({finding.id for finding in _all(review)})
    criteria = {finding.id: finding.criterion for finding in _all(review)}
    rules = [
        {
            "id": name,
            "name": "".join(word.capitalize() for word in name.split("-")),
            "shortDescription": {"text": f"{criteria[name]}: {name.replace('-', ' ')}"},
            "help": {"text": f"See docs/review/{name}.md for what this finds, why, and examples."},
            "properties": {"tags": [criteria[name]]},
        }
        for name in ids
    ]
    results = [_result(finding, ids, trees) for finding in review.findings]
    for silenced in review.silenced:
        result = _result(silenced.finding, ids, trees)
        result["suppressions"] = [{"kind": "inSource", "justification": silenced.reason}]
        results.append(result)
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "ohgw review",
                        "semanticVersion": review.tool["ohgw"],
                        "rules": rules,
                    }
                },
                "originalUriBaseIds": {
                    label.upper(): {"description": {"text": f"Root of the {label} tree."}}
                    for label in trees
                },
                "results": results,
                "invocations": [
                    {
                        "executionSuccessful": not review.missing,
                        "toolExecutionNotifications": [
                            {"level": "error", "message": {"text": text}} for text in review.missing
                        ],
                    }
                ],
                "properties": {
                    "isExperimentCodeReady": review.is_experiment_code_ready,
                    "ladder": {name: rung.status for name, rung in review.ladder.items()},
                },
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False)


def _all(review: Review) -> list[Finding]:
    return [*review.findings, *(silenced.finding for silenced in review.silenced)]


def _result(finding: Finding, ids: list[str], trees: dict[str, Tree]) -> dict[str, Any]:
    text = finding.message + (f"\nFix: {finding.fix}" if finding.fix else "")
    result: dict[str, Any] = {
        "ruleId": finding.id,
        "ruleIndex": ids.index(finding.id),
        "level": _LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [_location(place, line) for place, line in finding.places],
        "partialFingerprints": {"ohgw/v1": _fingerprint(finding, trees)},
    }
    return result


def _location(place: str, line: int | None) -> dict[str, Any]:
    label, _, path = place.partition("/")
    physical: dict[str, Any] = {
        "artifactLocation": {"uri": quote(path), "uriBaseId": label.upper()}
    }
    if label == "derived":
        del physical["artifactLocation"]["uriBaseId"]
    if line is not None:
        physical["region"] = {"startLine": line}
    return {"physicalLocation": physical}


def _fingerprint(finding: Finding, trees: dict[str, Tree]) -> str:
    """Of the id and the text of the line: an edit elsewhere in the file does not change it."""
    parts = [finding.id]
    for place, line in finding.places:
        label, _, path = place.partition("/")
        tree = trees.get(label)
        file = tree.files.get(path) if tree else None
        lines = file.lines if file else []
        parts += [
            place,
            lines[line - 1].strip() if line and line <= len(lines) else finding.message,
        ]
    if not finding.places:
        parts.append(finding.message)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
