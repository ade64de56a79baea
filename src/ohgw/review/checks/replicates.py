"""Fewer replicates in the full configuration than the specification asks for."""

from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding
from ohgw.review.meaning.seeds import declared_replicates, wanted_replicates


def _run(check: Check, context: Context) -> Iterator[Finding]:
    wanted, words = wanted_replicates(context.spec)
    has = declared_replicates(context.derived)
    if wanted is None or has is None or has.count >= wanted:
        return
    file = context.derived.tree.files[has.path]
    yield check.finding(
        "error",
        context.derived.at(has.path),
        has.line,
        f"The specification asks for {wanted} replicates ({words}); the full configuration "
        f"runs {has.count}.",
        evidence=file.lines[has.line - 1].strip() if has.line <= len(file.lines) else "",
        fix=f"Run every variation with {wanted} seeds; the smoke test may use fewer.",
    )


CHECK = Check("replicates", "Seeds", "method implemented", _run)
