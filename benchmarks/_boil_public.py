"""Runs the public BOIL; a child process of benchmarks/boil.py.

Imports nothing of ohgw: it runs in the public code's own environment, which
tests/oracles/record_boil.py names. Trains nothing itself: for every decision it writes a line with
x in the unit cube, epochs, and the CPU seconds that deciding took (null before the first decision),
and reads a line with the curve of gains.

    PYTHON benchmarks/_boil_public.py CODE D FIRST LAST SEED
"""

import contextlib
import json
import sys
import time
import warnings

import numpy as np


def main(code: str, d: str, first: str, last: str, seed: str) -> None:
    sys.path.insert(0, code)
    warnings.simplefilter("ignore")
    from bayes_opt.sequentialBO.boil import BOIL

    replies, since = sys.stdout, None

    def train(points):
        curves, costs = [], []
        for point in np.atleast_2d(points):
            now = time.process_time()
            epochs = min(max(int(point[-1]), int(first)), int(last))
            seconds = None if since is None else now - since
            asked = {"x": point[:-1].tolist(), "epochs": epochs, "seconds": seconds}
            print(json.dumps(asked), file=replies, flush=True)
            line = sys.stdin.readline()
            if not line:
                sys.exit()
            curves.append(np.array(json.loads(line)))
            costs.append(float(epochs))
        return curves, costs

    space = {f"x{k}": (0.0, 1.0) for k in range(int(d))}
    search = BOIL(train, {**space, "epochs": (int(first), int(last))}, verbose=0)
    with contextlib.redirect_stdout(sys.stderr):  # it prints every decision
        search.init(seed=int(seed))
        while True:
            since = time.process_time()
            search.suggest_nextpoint()


if __name__ == "__main__":
    main(*sys.argv[1:])
