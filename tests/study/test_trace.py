"""What is measured of a probe beside its work: peak memory, and a trace on request."""

import gzip
import json

from ohgw import tasks
from ohgw.core.layout import CELLS
from ohgw.study.configuration import compose_study
from ohgw.study.memory import measure_memory
from ohgw.study.trace import trace_probes


def cell_of(*methods):
    chosen = f"blocks.controls.method=[{','.join(methods)}]"
    plan = compose_study("desk", [chosen])
    return next(cell for cell in plan.cells if cell.block == "controls")


def test_memory_is_that_of_training_where_nothing_is_probed_and_more_with_a_long_lookahead():
    cell = cell_of("vanilla-plain", "ohgw", "'ohgw:steps=16/plain'")
    found = measure_memory(cell.plan, tasks.load(cell.plan.task))
    assert found.arms["vanilla/plain"] == found.step_bytes > 4 * 4 * 1000  # lanes, bytes, weights
    # A look one step ahead fits beside what trains, one of sixteen does not.
    assert found.arms["ohgw/plain"] <= 1.1 * found.arms["vanilla/plain"]
    assert found.arms["ohgw:steps=16/plain"] > 1.1 * found.arms["vanilla/plain"]


def test_a_trace_holds_what_a_probe_does(tmp_path):
    cell = cell_of("vanilla-plain", "ohgw")
    (tmp_path / CELLS / cell.id).mkdir(parents=True)
    plain, probed = trace_probes(cell, tasks.load(cell.plan.task), tmp_path)
    with gzip.open(probed) as file:
        events = json.load(file)["traceEvents"]
    with gzip.open(plain) as file:
        assert len(events) > len(json.load(file)["traceEvents"])
    assert any(event.get("name", "").startswith("aten::") for event in events)
