"""The verdict: the specification's success criteria, tuple by tuple, and the share that meets them.

A tuple is task x scheduler x workers x arm, for every arm that is not vanilla, against
vanilla/plain and against vanilla under the arm's own recipe. It is decided at the primary target
alone, fixed before any arm is compared; what the other targets show stands beside it and decides
nothing. A criterion is met, not met, or cannot be told; a tuple meets the verdict only where every
criterion is met, and fails it where one is not.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ohgw.analysis.across.cell import PRIMARY, judged_pairs, planned_pairs
from ohgw.analysis.across.results import (
    CellSummary,
    Family,
    Pair,
    PairTarget,
    TupleVerdict,
    Verdict,
)
from ohgw.analysis.across.sensitivity import Studied
from ohgw.analysis.results import Criterion
from ohgw.analysis.statistics import bonferroni, decidable, holm
from ohgw.analysis.verdict import (
    ALPHA,
    DEVIATION,
    DEVIATION_NAME,
    EXTRA_COST,
    EXTRA_COST_NAME,
    LESS_TIME,
    SCORE_DROP,
)

EXTRA_MEMORY = 0.10
REQUIRED = 0.75  # share of tuples

LESS_TIME_NAME, EXTRA_MEMORY_NAME = "less time to target", "extra memory"


def adjusted(cells: Sequence[CellSummary]) -> tuple[tuple[CellSummary, ...], Family]:
    """The cells with p-values adjusted over the study, and the family that was adjusted.

    The family is every test that the verdict rests on: each pair of a non-vanilla arm and a
    reference, at the primary target, in every cell.
    """
    judged = [(cell.id, pair) for cell in cells for pair in judged_pairs(cell)]
    tested = [(key, pair, pair.primary) for key, pair in judged]
    raw = np.array([t.p for _, _, t in tested if t is not None], dtype=float)
    pairs = [pair.pairs for _, pair, t in tested if t is not None]
    names = [(key, pair.key) for key, pair, t in tested if t is not None]
    columns = zip(holm(raw), bonferroni(raw), decidable(raw, pairs, ALPHA), strict=True)
    found = dict(zip(names, columns, strict=True))

    def target(cell: CellSummary, pair: Pair, at: PairTarget) -> PairTarget:
        if not at.primary or (cell.id, pair.key) not in found:
            return at
        p_holm, p_bonferroni, able = found[cell.id, pair.key]
        return replace(
            at, p_holm=float(p_holm), p_bonferroni=float(p_bonferroni), decidable=bool(able)
        )

    family = Family(
        "every arm that is not vanilla against each of its references, at the primary target, in "
        "all cells of the study",
        int(np.isfinite(raw).sum()),
        ALPHA,
    )
    return tuple(_mapped(cell, target) for cell in cells), family


def _mapped(
    cell: CellSummary, target: Callable[[CellSummary, Pair, PairTarget], PairTarget]
) -> CellSummary:
    pairs = tuple(
        replace(pair, targets=tuple(target(cell, pair, at) for at in pair.targets))
        for pair in cell.pairs
    )
    return replace(cell, pairs=pairs)


def tuples(studied: Sequence[Studied]) -> tuple[TupleVerdict, ...]:
    """Every planned tuple, judged; one that was not run, or not to the end, cannot be told."""
    found = []
    for one in studied:
        by_key = {(pair.arm, pair.reference): pair for pair in one.summary.pairs}
        for arm, reference in planned_pairs(one.cell):
            pair = by_key.get((arm, reference))
            criteria = () if pair is None or not pair.pairs else criteria_of(pair)
            found.append(
                TupleVerdict(
                    cell=one.summary.id,
                    block=one.summary.block,
                    task=one.summary.task,
                    scheduler=one.summary.scheduler,
                    workers=one.summary.workers,
                    arm=arm,
                    reference=reference,
                    pairs=pair.pairs if pair else 0,
                    criteria=criteria,
                    met=every(c.met for c in criteria) if criteria else None,
                    at=pair.primary if pair else None,
                )
            )
    return tuple(found)


def criteria_of(pair: Pair) -> tuple[Criterion, ...]:
    """The success criteria of one pair at the primary target, each with its number."""
    at = pair.primary
    found = [
        Criterion(
            LESS_TIME_NAME,
            f"change ≤ −{100 * LESS_TIME:g} %, Holm p < {ALPHA:g}",
            at.change.value if at else math.nan,
            _less_time(at),
            PRIMARY,
        )
    ]
    for name, gain in (("validation", pair.validation), ("test", pair.test)):
        if gain is not None:
            found.append(
                Criterion(
                    f"final {name} score kept",
                    f"relative drop ≤ {100 * SCORE_DROP:g} %",
                    gain.value,
                    _at_least(gain.value, -SCORE_DROP),
                )
            )
    for name, limit, value in (
        (EXTRA_COST_NAME, EXTRA_COST, pair.extra_cost),
        (EXTRA_MEMORY_NAME, EXTRA_MEMORY, pair.extra_memory),
    ):
        what = "probe work / all work" if name == EXTRA_COST_NAME else "peak bytes, extra"
        found.append(
            Criterion(name, f"{what} ≤ {100 * limit:g} %", value, _at_least(-value, -limit))
        )
    deviation = at.deviation if at else math.nan
    found.append(
        Criterion(
            DEVIATION_NAME,
            f"≤ {DEVIATION:.2f} × the reference's",
            deviation,
            _at_least(-deviation, -DEVIATION),
            PRIMARY,
        )
    )
    return tuple(found)


def _less_time(at: PairTarget | None) -> bool | None:
    if at is None or math.isnan(at.p):
        return None
    if not at.change.value <= -LESS_TIME:
        return False
    if not at.decidable:
        return None  # so few pairs that no outcome could have passed beside the other tests
    return at.p_holm < ALPHA and at.direction < 0


def _at_least(value: float, limit: float) -> bool | None:
    return None if math.isnan(value) else value >= limit


def every(met: Iterable[bool | None]) -> bool | None:
    """Three-valued 'and': False where one is, else None where one cannot be told."""
    found = list(met)
    return False if False in found else None if None in found else True


def verdicts(found: Sequence[TupleVerdict], required: float = REQUIRED) -> tuple[Verdict, ...]:
    """The share of tuples that meet the criteria, for each arm and reference.

    Over the whole study first, in which a tuple that several blocks repeat counts once, as it
    stands in the first that was run; then block by block where there are several.
    """
    once: dict[tuple[str, str, int, str, str], TupleVerdict] = {}
    for one in found:
        key = (one.task, one.scheduler, one.workers, one.arm, one.reference)
        if key not in once or (one.criteria and not once[key].criteria):
            once[key] = one
    lines = _lines(None, list(once.values()), required)
    blocks = dict.fromkeys(t.block for t in found)
    if len(blocks) > 1:
        for block in blocks:
            lines += _lines(block, [t for t in found if t.block == block], required)
    return tuple(lines)


def _lines(block: str | None, found: Sequence[TupleVerdict], required: float) -> list[Verdict]:
    lines = []
    for arm, reference in dict.fromkeys((t.arm, t.reference) for t in found):
        chosen = [t for t in found if (t.arm, t.reference) == (arm, reference)]
        met, not_met, cannot_tell = _counts(t.met for t in chosen)
        lines.append(
            Verdict(
                block=block,
                arm=arm,
                reference=reference,
                tuples=len(chosen),
                met=met,
                not_met=not_met,
                cannot_tell=cannot_tell,
                required=required,
                holds=share_holds(met, cannot_tell, len(chosen), required),
                by_criterion=_by_criterion(chosen),
            )
        )
    return lines


def share_holds(met: int, cannot_tell: int, total: int, required: float) -> bool | None:
    """Whether enough tuples meet the criteria, however those that cannot tell would turn out."""
    if met >= required * total:
        return True
    return False if met + cannot_tell < required * total else None


def _by_criterion(found: Sequence[TupleVerdict]) -> Mapping[str, tuple[int, int, int]]:
    names = dict.fromkeys(c.name for t in found for c in t.criteria)
    return {
        name: _counts(next((c.met for c in t.criteria if c.name == name), None) for t in found)
        for name in names
    }


def _counts(met: Iterable[bool | None]) -> tuple[int, int, int]:
    found = list(met)
    return found.count(True), found.count(False), found.count(None)
