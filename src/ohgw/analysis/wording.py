"""How numbers and findings are put into words: the same in reports and on the command line."""

import math
from collections.abc import Sequence

from ohgw.analysis.results import Cell, Criterion, Gain, Row, Spread, Summary
from ohgw.analysis.statistics import MIN_PAIRS
from ohgw.analysis.time_to_target import LABELS
from ohgw.analysis.verdict import ALPHA, DEVIATION_NAME, EXTRA_COST_NAME

MINUS = "\N{MINUS SIGN}"
NOTHING = "–"
TIE = "\N{NO-BREAK SPACE}"  # between a number and its unit
VERBS = {
    "wins": "wins against",
    "loses": "loses against",
    "ties": "ties with",
    "mixed": "has mixed results against",
}


def number(value: float | None, digits: int = 3) -> str:
    """At least `digits` significant digits, a real minus sign, ∞, and a dash for nothing."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    whole = 10**digits <= abs(value) < 1e7  # an exponent would be harder to read than the digits
    text = f"{value:.0f}" if whole else f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", MINUS)


def percent(value: float, signed: bool = True) -> str:
    """A fraction in per cent, with one decimal below 10 %: 0.013 is '+1.3 %'."""
    return NOTHING if math.isnan(value) else f"{_hundredths(value, signed)}{TIE}%"


def _hundredths(value: float, signed: bool) -> str:
    if math.isinf(value):
        return f"{'+' if value > 0 else MINUS}∞"
    hundred = 100 * value
    text = f"{abs(hundred):.{1 if abs(hundred) < 9.95 else 0}f}"
    sign = "" if float(text) == 0 else MINUS if value < 0 else "+" if signed else ""
    return f"{sign}{text}"


def p_value(p: float) -> str:
    return "not tested" if math.isnan(p) else number(p, 2)


def seconds(value: float) -> str:
    """Measured time for reading: seconds below two minutes, then minutes, then hours."""
    if value < 120:
        return f"{number(value)} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def spread(value: Spread | None, digits: int = 3) -> str:
    """Median and quartiles: '3.1 [2.5, 4]'."""
    if value is None or math.isnan(value.median):
        return NOTHING
    low, high = sorted((value.low, value.high))
    return f"{number(value.median, digits)} [{number(low, digits)}, {number(high, digits)}]"


def interval(low: float, high: float) -> str:
    """'[−41, −24] %', and nothing where there is no interval."""
    if math.isnan(low):
        return ""
    return f"[{_hundredths(low, True)},{TIE}{_hundredths(high, True)}]{TIE}%"


def effect(cell: Cell) -> str:
    """Change of T@tau with its interval and Holm's p: '−32 % [−41, −24] %, Holm p 1e−5'."""
    if math.isnan(cell.change):
        return NOTHING
    shown = " ".join(filter(None, [percent(cell.change), interval(cell.low, cell.high)]))
    return f"{shown}, {_p(cell)}"


def gain(value: Gain | None) -> str:
    """Relative change of a final score, + is better: '+1.4 % [+0.3, +2.2] %'."""
    if value is None or math.isnan(value.median):
        return NOTHING
    return " ".join(filter(None, [percent(value.median), interval(value.low, value.high)]))


def criterion(found: Criterion) -> str:
    if found.name == DEVIATION_NAME:
        return f"×{TIE}{number(found.value)}" if not math.isnan(found.value) else NOTHING
    return percent(found.value, signed=found.name != EXTRA_COST_NAME)


def verdict(found: Criterion) -> str:
    return {True: "met", False: "not met", None: "cannot tell"}[found.met]


def finding(row: Row) -> str:
    """One sentence: who wins, loses or ties against whom, with the numbers."""
    return headline(row) + details(row)


def headline(row: Row) -> str:
    """'screen/averaged wins against vanilla/plain at 2 of 3 targets'."""
    if row.reference is None or row.outcome is None:
        return f"{row.arm} has no reference in this plan"
    text = f"{row.arm} {VERBS[row.outcome]} {row.reference}"
    decided = sum(cell.outcome == row.outcome for cell in row.cells)
    return text + (
        f" at {decided} of {len(row.cells)} targets" if row.outcome in ("wins", "loses") else ""
    )


def details(row: Row) -> str:
    """The rest of the sentence that `headline` begins."""
    if row.reference is None:
        return ": nothing is compared."
    changes = [f"{effect(cell)} ({LABELS[cell.target]})" for cell in row.cells if row.pairs]
    parts = [f"change of T@τ {'; '.join(changes)}" if changes else "no time to target to compare"]
    for name, found in (("validation", row.validation_gain), ("test", row.test_gain)):
        if found is not None and not math.isnan(found.median):
            parts.append(f"final {name} score {percent(found.median)}")
    if not math.isnan(row.overhead):
        parts.append(f"overhead {percent(row.overhead, signed=False)}")
    seeds = f"{row.pairs} paired seed{'s' if row.pairs != 1 else ''}"
    return f" ({seeds}): {'; '.join(parts)}."


def explanation(summary: Summary) -> str:
    """What the words of the findings mean, for the line below them."""
    if not summary.tests:
        return f"Nothing is tested: no comparison has {MIN_PAIRS} pairs of seeds."
    return (
        f"A comparison ties unless Holm's p is below {ALPHA:g} at one target at least; the family "
        f"is all {summary.tests} tests of this study. Negative changes of T@τ are savings; "
        "positive changes of a score are improvements. Brackets hold 95 % bootstrap intervals."
    )


def listed(values: Sequence[int]) -> str:
    """Whole numbers with runs shortened: '0–31, 40'."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}–{r[-1]}" for r in runs) or "none"


def _p(cell: Cell) -> str:
    if math.isnan(cell.p):
        return f"not tested with fewer than {MIN_PAIRS} pairs"
    return f"Holm p{TIE}{p_value(cell.p_holm)}"
