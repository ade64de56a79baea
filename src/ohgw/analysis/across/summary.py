"""From a study's directory to every number of its report."""

import math
from collections.abc import Sequence
from pathlib import Path

from ohgw.analysis.across.cell import PRIMARY, See, summarise_cell
from ohgw.analysis.across.profiles import profiles
from ohgw.analysis.across.results import CellSummary, Family, StudySummary
from ohgw.analysis.across.sensitivity import Studied, sensitivities
from ohgw.analysis.across.verdict import adjusted, tuples, verdicts
from ohgw.core.layout import StudyRecord, read_study


def summarise_study(directory: Path | str | StudyRecord, see: See | None = None) -> StudySummary:
    """Every number of a study: of each cell, over the cells, and the verdict.

    A study that was stopped is summarised as far as it went; `notes` say what is missing. `see` is
    called with each cell that has a record, its searches and their summary. Raises
    `RecordError` where there is no study, or the record of a complete cell is broken.
    """
    record = directory if isinstance(directory, StudyRecord) else read_study(directory)
    read = [summarise_cell(cell, see) for cell in record.cells]  # rows are forgotten cell by cell
    cells, family = adjusted([summary for summary, _ in read])
    studied = [
        Studied(cell, summary, outcomes)
        for cell, summary, (_, outcomes) in zip(record.cells, cells, read, strict=True)
    ]
    judged = tuples(studied)
    return StudySummary(
        name=record.plan.name,
        title=record.plan.title,
        description=record.plan.description,
        primary=PRIMARY,
        family=family,
        cells=cells,
        tuples=judged,
        verdicts=verdicts(judged),
        profiles=profiles(cells),
        sensitivities=sensitivities(studied),
        notes=tuple(_notes(cells, family)),
    )


def _notes(cells: Sequence[CellSummary], family: Family) -> list[str]:
    notes = []
    for state, what in (("absent", "not begun"), ("partial", "not complete")):
        names = [cell.id for cell in cells if cell.state == state]
        if names:
            notes.append(f"{len(names)} of {len(cells)} cells {what}: {', '.join(names)}.")
    if any(cell.state != "complete" for cell in cells):
        notes.append(
            "The study has not ended: its numbers are provisional, and stopping it because of "
            "them would make false positives more likely than is stated. Resume it to finish."
        )
    tested = [at for cell in cells for pair in cell.pairs for at in pair.targets if at.p_holm >= 0]
    idle = sum(not at.decidable for at in tested)
    if idle:
        enough = math.floor(1 + math.log2(family.tests / family.alpha)) + 1
        notes.append(
            f"{idle} of the {family.tests} tests of the study's family have so few pairs that no "
            f"outcome could have Holm's p below {family.alpha:g} beside the others: where the "
            f"change is large enough, the verdict cannot tell. From {enough} paired seeds on, "
            "every test of a family of this size could."
        )
    return notes
