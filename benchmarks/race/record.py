"""What every arm writes down: a JSON line for each report, into the file that RACE_RECORD names.

Times are those of the machine's monotonic clock, the same in every process. Processes of one arm
append to one file; a line is a single write. The smallest loss so far lies in a file beside it, so
that test losses are computed for incumbents alone, whichever process finds them.

Runs in the peers' environments: nothing but the standard library.
"""

import json
import math
import os
import time
from collections.abc import Callable

_begun = False


def report(
    trial: int | str, epoch: int, loss: float, test: Callable[[], float] | None = None
) -> None:
    """A trial's validation loss after `epoch` epochs; `test()` where it is the best so far."""
    row = {"t": time.monotonic(), "trial": trial, "epoch": epoch, "loss": None}
    if math.isfinite(loss):
        row["loss"] = loss
        if test is not None and _improves(loss):
            row["test"] = test()
    _write(row)


def training_begins() -> None:
    """Called before every first training step of a process; what went before is start-up."""
    global _begun
    if not _begun:
        _begun = True
        _write({"t": time.monotonic(), "event": "training"})


def _improves(loss: float) -> bool:
    best = os.environ["RACE_RECORD"] + ".best"
    try:
        with open(best) as file:
            if float(file.read()) <= loss:
                return False
    except FileNotFoundError:
        pass
    temporary = f"{best}.{os.getpid()}"
    with open(temporary, "w") as file:
        file.write(repr(loss))
    os.replace(temporary, best)
    return True


def _write(row: dict) -> None:
    line = (json.dumps(row) + "\n").encode()
    file = os.open(os.environ["RACE_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)
