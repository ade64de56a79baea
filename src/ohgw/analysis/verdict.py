"""Outcomes and success criteria: from the numbers of a row to what may be said about it.

The criteria are the specification's, judged at every target; none of them is primary.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from ohgw.analysis.results import Cell, Criterion, Outcome, Row

ALPHA = 0.05
LESS_TIME = 0.15
SCORE_DROP = 0.002
EXTRA_COST = 0.05
DEVIATION = 1.10

EXTRA_COST_NAME, DEVIATION_NAME = "extra cost", "deviation of T@τ"


def judged(row: Row, adjusted: Sequence[float]) -> Row:
    """The row with Holm's p-values, outcomes and criteria; unchanged without a reference."""
    if row.reference is None:
        return row
    cells = tuple(
        replace(cell, p_holm=p, outcome=_cell_outcome(cell, p))
        for cell, p in zip(row.cells, adjusted, strict=True)
    )
    won = any(cell.outcome == "wins" for cell in cells)
    lost = any(cell.outcome == "loses" for cell in cells)
    outcome: Outcome = "mixed" if won and lost else "wins" if won else "loses" if lost else "ties"
    row = replace(row, cells=cells, outcome=outcome)
    return replace(row, criteria=tuple(_criteria(row)))


def _cell_outcome(cell: Cell, p_holm: float) -> Outcome:
    # The test speaks about ranks, the change about the median: a result needs both.
    if not p_holm < ALPHA or cell.direction * cell.change < 0:
        return "ties"
    return "wins" if cell.direction < 0 else "loses"


def _criteria(row: Row) -> list[Criterion]:
    less = f"change ≤ −{100 * LESS_TIME:g} %, Holm p < {ALPHA:g}"
    found = [
        Criterion(
            "less time to target",
            less,
            cell.change,
            None if math.isnan(cell.p) else cell.change <= -LESS_TIME and cell.outcome == "wins",
            cell.target,
        )
        for cell in row.cells
    ]
    for name, gain in (("validation", row.validation_gain), ("test", row.test_gain)):
        if gain is not None:
            found.append(
                Criterion(
                    f"final {name} score kept",
                    f"relative drop ≤ {100 * SCORE_DROP:g} %",
                    gain.median,
                    None if math.isnan(gain.median) else gain.median >= -SCORE_DROP,
                )
            )
    found.append(
        Criterion(
            EXTRA_COST_NAME,
            f"probe work / all work ≤ {100 * EXTRA_COST:g} %",
            row.overhead,
            None if math.isnan(row.overhead) else row.overhead <= EXTRA_COST,
        )
    )
    found += [
        Criterion(
            DEVIATION_NAME,
            f"≤ {DEVIATION:.2f} × the reference's",
            cell.deviation,
            None if math.isnan(cell.deviation) else cell.deviation <= DEVIATION,
            cell.target,
        )
        for cell in row.cells
    ]
    return found
