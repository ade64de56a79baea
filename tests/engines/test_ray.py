"""The Ray engine on real clusters: two nodes of this machine, workers and heads that are killed."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch

from ohgw import tasks
from ohgw.core.layout import MANIFEST_NAME, Manifest
from ohgw.core.protocols import Metric
from ohgw.core.records import RECORDS_NAME, Arm, read_records
from ohgw.core.space import Float, Space
from ohgw.study.plan import make_plan
from ohgw.study.run import Watcher, run

ray = pytest.importorskip("ray", reason="needs the extra ray")
from ray.cluster_utils import Cluster  # noqa: E402

pytestmark = [
    # Ray's own, of sockets and log files that its processes outlive.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ARMS = (Arm(method="vanilla", recipe="plain"), Arm(method="screen", recipe="averaged"))


@pytest.fixture(scope="module")
def cluster():
    """A head with three CPUs and a second node with one."""
    head = {"num_cpus": 3, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def conducted(directory, engine, *, on_turn=lambda searches: None, task=None, budget=10.0):
    """Rows without seconds, and the manifest."""
    task = task or tasks.load("digits")
    plan = make_plan(
        task,
        arms=ARMS,
        seeds=(0,),
        scheduler="asha",
        budget=budget,
        workers=4,
        engine=engine,
        device="cpu",
        threads=1,
    )
    torch.set_num_threads(1)
    run(plan, task, directory, watcher=Watcher(on_turn=on_turn))
    return rows(directory), Manifest.model_validate_json(
        (directory / MANIFEST_NAME).read_text(encoding="utf-8")
    )


def rows(directory):
    """By search: which search is first depends on who answers first."""
    _, reports, finals = read_records(directory / RECORDS_NAME)
    return [
        [row.model_dump(exclude={"wall"}) for row in (*reports, *finals) if row.search == arm.label]
        for arm in ARMS
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return conducted(tmp_path_factory.mktemp("serial"), "serial")[0]


def actors(doing=""):
    """Processes of a Ray engine's workers, or those that are at this call at this moment."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] and f"ray::_Actor{doing}" in process.info["cmdline"][0]:
            found.append(process)
    return found


def training():
    return actors(".train")


def test_a_worker_killed_in_the_middle_of_a_trial(cluster, tmp_path, undisturbed):
    killed = []

    def on_turn(searches):
        if not killed and len(actors()) == 4 and (at_work := training()):
            victim = at_work[0]
            victim.send_signal(signal.SIGKILL)
            killed.append(victim.pid)

    found, manifest = conducted(tmp_path, "ray:workers=4", on_turn=on_turn)
    assert found == undisturbed
    (loss,) = manifest.cluster.losses
    assert loss.worker.endswith(f":{killed[0]}") and "died" in loss.reason
    (trial,) = loss.trials
    assert trial.startswith(tuple(f"{arm.label} seed 0 trial" for arm in ARMS))
    assert manifest.cluster.workers >= 3  # the others, and its successor if it was needed


class Slow:
    """Takes its time, not the processor's. Its state is an array that it changes in place."""

    name, metric = "slow", Metric("loss", "min")
    min_resource, max_resource = 1, 9
    space = Space({"x": Float(0.0, 1.0)})

    def __init__(self, pace):
        self.pace = pace  # seconds of an epoch

    def initial_state(self, seed):
        return np.zeros(1000)

    def train(self, configuration, state, resource):
        time.sleep(self.pace * (resource - state[0]))
        state[:] = resource
        return state, {"loss": configuration["x"] + 1 / resource}


def test_a_node_that_joins_is_used_and_one_that_goes_is_survived(cluster, tmp_path):
    """As many workers as there are CPUs: four, then six, then four again."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    nodes = []

    def on_turn(searches):
        if not nodes:
            if sum(search.reports for search in searches) >= 1:
                nodes.append(cluster.add_node(num_cpus=2))
        elif len(nodes) == 1 and len(training()) > 4:
            cluster.remove_node(nodes[0])
            nodes.append(None)

    serial, _ = conducted(tmp_path / "serial", "serial", task=Slow(0.0), budget=60.0)
    task = Slow(0.4)
    found, manifest = conducted(tmp_path, "ray", on_turn=on_turn, task=task, budget=60.0)
    assert found == serial
    assert len(nodes) == 2  # five trained at once, of which one at least on the new node
    assert 1 <= len(manifest.cluster.losses) <= 2 and manifest.cluster.losses[0].trials


def test_populations_on_workers(cluster, tmp_path):
    task = tasks.load("breast-cancer", dtype=torch.float64)
    serial, _ = conducted(tmp_path / "serial", "serial", task=task, budget=30.0)
    found, manifest = conducted(tmp_path / "ray", "ray:lanes=8", task=task, budget=30.0)
    assert manifest.cluster.engine == "ray" and not manifest.cluster.losses
    for ours, theirs in zip(found, serial, strict=True):
        for name in ("trial", "resource", "work"):
            assert [row[name] for row in ours] == [row[name] for row in theirs]
        scores = [[row["score"] for row in part] for part in (ours, theirs)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-6)


def test_a_head_restart(tmp_path, undisturbed):
    """The cluster dies and takes the run with it, or leaves it to be stopped; another goes on."""
    command = [sys.executable, "-m", "ohgw", "tune", "digits", "--method", "screen", "--quiet"]
    command += ["--device", "cpu", "--budget", "10", "--out", str(tmp_path), "--engine", "ray"]
    command += ["--resume"]
    label = ARMS[1].label
    environment = os.environ | {
        "RAY_gcs_rpc_server_reconnect_timeout_s": "2",
        "OMP_NUM_THREADS": "1",
    }

    def start():
        head = {"num_cpus": 2, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        place = environment | {"RAY_ADDRESS": cluster.address}
        return cluster, subprocess.Popen(command, env=place, stderr=subprocess.PIPE, text=True)

    cluster, process = start()
    try:
        records = tmp_path / RECORDS_NAME
        until = time.monotonic() + 60
        while not records.exists() or records.read_bytes().count(b"\n") < 3:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
    finally:
        cluster.shutdown()
    _, error = process.communicate(timeout=60)
    assert process.returncode != 0 and not (tmp_path / MANIFEST_NAME).exists(), error
    cluster, process = start()
    try:
        _, error = process.communicate(timeout=60)
    finally:
        cluster.shutdown()
    assert process.returncode == 0, error
    found = read_records(tmp_path / RECORDS_NAME)
    theirs = [row.model_dump(exclude={"wall"}) for part in found[1:] for row in part]
    assert theirs == next(part for part in undisturbed if part[0]["search"] == label)
    manifest = json.loads((tmp_path / MANIFEST_NAME).read_text(encoding="utf-8"))
    assert manifest["cluster"]["engine"] == "ray"


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:9"])
def test_an_address_at_which_nothing_answers(address, tmp_path):
    command = [sys.executable, "-m", "ohgw", "tune", "breast-cancer", "--engine", "ray", "--quiet"]
    environment = os.environ | {"RAY_ADDRESS": address, "COLUMNS": "200"}
    found = subprocess.run(
        [*command, "--out", str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert found.returncode == 2 and "Traceback" not in found.stderr
    assert f"RAY_ADDRESS='{address}'" in found.stderr and "ray start --head" in found.stderr
