"""ohgw: its own command line, with a listener for its reports.

    search_ohgw.py tune TASK ...   is   ohgw tune TASK ...

The search is the one that the command runs. Every report is written down as the peers write theirs,
and an incumbent is evaluated on the test split, which `ohgw tune` itself does once, at its end.
"""

import math

import record

from ohgw.cli import main
from ohgw.study import run

drive = run.drive


def listening_drive(searches, engine, on_row, on_turn, **more):
    (search,) = searches
    record.training_begins()

    def on_row_and_record(row):
        on_row(row)
        if row.kind != "report":
            return
        # Of reports that arrive together, the engine keeps the state of the best alone.
        best = search.incumbent
        kept = best is not None and (best.trial, best.resource) == (row.trial, row.resource)
        record.report(
            row.trial,
            row.resource,
            math.nan if row.score is None else row.score,
            (lambda: engine.test(search.index)["loss"]) if kept else None,
        )

    drive(searches, engine, on_row_and_record, on_turn, **more)


if __name__ == "__main__":
    run.drive = listening_drive
    main()
