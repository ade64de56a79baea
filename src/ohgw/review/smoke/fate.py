"""How a smoke run ended: by itself, at a limit, or with an exception somewhere in the tree."""

import re
from collections.abc import Iterator

from ohgw.review.checks import Context
from ohgw.review.findings import Finding
from ohgw.review.smoke.kinds import EXIT, STOPPED
from ohgw.review.smoke.sandbox import Limits, Outcome

_FRAME = re.compile(r'File "(?:[^"]*/review/code/)([^"]+)", line (\d+)')
_OFFLINE = re.compile(
    r"Network is unreachable|Name or service not known|Temporary failure in name resolution|"
    r"ConnectionError|gaierror|Max retries exceeded|OfflineModeIsEnabled|LocalEntryNotFoundError|"
    r"couldn't connect to|outgoing traffic has been disabled|is offline mode",
    re.IGNORECASE,
)
_RESERVED = 8  # processes of the limit that a run near it may not have used


def fate(
    context: Context, limits: Limits, outcome: Outcome, missing: list[str]
) -> Iterator[Finding]:
    if outcome.peak_processes >= limits.processes - _RESERVED:
        yield STOPPED.finding(
            "error",
            None,
            None,
            f"The smoke test started {outcome.peak_processes} processes; the limit is "
            f"{limits.processes}.",
            fix="Bound the number of workers.",
        )
    if outcome.disk_full:
        yield STOPPED.finding(
            "error",
            None,
            None,
            f"The smoke test filled its disk of {limits.disk_bytes >> 20:,} MiB.",
            fix="Write what the evaluation reads, and no more.",
        )
    if outcome.stopped:
        limit = (
            f"{limits.seconds:g} s"
            if outcome.stopped == "time"
            else (f"{limits.memory_bytes >> 20:,} MiB")
        )
        yield STOPPED.finding(
            "error",
            None,
            None,
            f"The smoke test was stopped at its limit of {outcome.stopped}, {limit}.",
            evidence=_tail(outcome.stderr.text),
            fix="A smoke test runs every variation in lightweight form, within minutes.",
        )
        return
    if outcome.exit_code == 0:
        return
    tail = _tail(outcome.stderr.text) or _tail(outcome.stdout.text)
    if _OFFLINE.search(outcome.stderr.text[-20000:] + outcome.stdout.text[-20000:]):
        missing.append(f"the smoke test needs the network, which a sandbox has not: {_last(tail)}")
        return
    file, line = _frame(context, outcome)
    fate = f"exited with {outcome.exit_code}"
    if outcome.exit_code is not None and outcome.exit_code < 0:
        fate = f"died of signal {-outcome.exit_code}"
    yield EXIT.finding(
        "error",
        file,
        line,
        f"The smoke test {fate}: {_last(tail)}",
        evidence=tail,
        fix="Run the smoke command and correct what it reports.",
    )


def _frame(context: Context, outcome: Outcome) -> tuple[str | None, int | None]:
    """The innermost line of the tree in the first traceback: later ones follow from it."""
    text = outcome.stderr.text or outcome.stdout.text
    block = text.split("Traceback (most recent call last)")
    for part in block[1:]:
        frames = [f for f in _FRAME.findall(part) if f[0] in context.derived.tree.files]
        if frames:
            return context.derived.at(frames[-1][0]), int(frames[-1][1])
    return None, None


def _tail(text: str, lines: int = 12) -> str:
    return "\n".join(line[:300] for line in text.strip().splitlines()[-lines:])


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"
