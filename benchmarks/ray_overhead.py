"""What the Ray engine adds to a job.

    python benchmarks/ray_overhead.py

Jobs that train nothing, so that all that is left is the way to a worker and back. The fastest of
three repetitions, on this machine.
"""

import time

import numpy as np
import ray
import torch

from ohgw.core.protocols import Metric
from ohgw.core.records import Arm
from ohgw.core.space import Float, Space
from ohgw.engines.build import make_engine
from ohgw.engines.engine import drive
from ohgw.study.plan import make_plan, make_searches

REPEAT = 3


class Nothing:
    """A task that takes no time; its state has as many numbers as a small network."""

    name, metric = "nothing", Metric("loss", "min")
    min_resource, max_resource = 1, 27
    space = Space({"x": Float(0.0, 1.0)})

    def initial_state(self, seed):
        return np.zeros(10_000, dtype=np.float32)

    def train(self, configuration, state, resource):
        return state, {"loss": configuration["x"]}


def engine_seconds(spec):
    """Of one job, with four virtual workers and everything started before."""
    task = Nothing()
    plan = make_plan(
        task,
        arms=[Arm(method="vanilla", recipe="plain")],
        seeds=[0],
        scheduler="asha",
        budget=600.0,
        workers=4,
        engine=spec,
        device="cpu",
        threads=1,
    )
    found = []
    engine = make_engine(spec, task)
    for _ in range(REPEAT):
        rows = []
        began = time.perf_counter()
        drive(make_searches(plan, task, engine), engine, rows.append, lambda: None)
        found.append((time.perf_counter() - began) / len(rows))
        engine.states.bests.clear()
    engine.close()
    return min(found)  # the first one starts the workers


def main():
    torch.set_num_threads(1)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    print("milliseconds of a job that trains nothing")
    for spec in ("serial", "ray:workers=2", "ray:workers=2:lanes=4"):
        print(f"  {spec:24} {1e3 * engine_seconds(spec):8.2f}")
    ray.shutdown()


if __name__ == "__main__":
    main()
