"""Kill a running study again and again, resume it, and compare it with an undisturbed one.

    python benchmarks/kill_study.py [--kills 50] [--seeds 12] [--seed 0]

The study is that of the tests (three cells of breast-cancer), with snapshots as often as possible
so that kills meet every state. SIGKILL comes at moments drawn at random; a process that finished
first does not count, and the study then begins anew in another directory.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ohgw.core.layout import CELLS
from ohgw.core.records import RECORDS_NAME

CONF = Path(__file__).resolve().parent.parent / "tests" / "study" / "conf"
SCRIPT = """
import sys
from pathlib import Path
from ohgw.study import conduct, run
from ohgw.study.configuration import compose_study
conf, directory, seeds, quick = sys.argv[1:]
if quick == "1":
    run.SNAPSHOT_SECONDS, run.SNAPSHOT_SHARE = 0.02, 1e9
original = conduct.run
conduct.run = lambda *a, **options: original(*a, **options | {"memory": False})
plan = compose_study("tiny", [f"seeds={seeds}"], config_dir=Path(conf))
plan = conduct.begin(plan, Path(directory), resume=True)
print("ready", flush=True)
conduct.conduct(plan, Path(directory))
"""


def start(directory: Path, seeds: int, quick: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SCRIPT, str(CONF), str(directory), str(seeds), str(int(quick))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def rows(directory: Path) -> dict[str, list[dict]]:
    """The rows of all cells, without measured seconds."""
    found = {}
    for path in sorted((directory / CELLS).glob(f"*/{RECORDS_NAME}")):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            line.pop("wall", None)
            line.pop("started", None)
        found[path.parent.name] = lines
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill a study at random moments.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=12, help="of the study")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as room:
        whole = Path(room) / "whole"
        process = start(whole, arguments.seeds, quick=False)
        process.stdout.readline()
        began = time.monotonic()
        assert process.wait() == 0
        seconds = time.monotonic() - began
        expected = rows(whole)
        kills, studies = 0, 0
        while kills < arguments.kills:
            studies += 1
            directory = Path(room) / f"killed-{studies}"
            while kills < arguments.kills:
                process = start(directory, arguments.seeds, quick=True)
                process.stdout.readline()
                time.sleep(moments.uniform(0.0, 0.25) * seconds)
                if process.poll() is not None:
                    break
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
            process = start(directory, arguments.seeds, quick=True)
            assert process.wait() == 0
            same = rows(directory) == expected
            print(f"{kills} kills so far, study {studies}: {'equal' if same else 'DIFFERENT'}")
            if not same:
                sys.exit(1)
    count = sum(len(lines) for lines in expected.values())
    print(f"{kills} kills in {studies} studies: all {count} rows equal each time")


if __name__ == "__main__":
    main()
