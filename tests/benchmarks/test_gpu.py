"""The GPU check, on a CPU: its sections run, and one that fails does not hide the others."""

import importlib
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("gpu")


def check(gpu, path: Path, *sections: str) -> dict:
    words = ["--device", "cpu", "--small", "--json", str(path), "--sections", *sections]
    try:
        gpu.main(words)
    finally:
        found = json.loads(path.read_text())
    return found


def test_it_compares_the_device_with_the_cpu(gpu, tmp_path):
    sections = ("device", "hypergradients", "agreement", "fusing", "full")
    found = check(gpu, tmp_path / "gpu.json", *sections)
    assert all(row["relative_difference"] < 1e-4 for row in found["hypergradients"])
    agreement = found["agreement"]  # of the CPU with itself
    assert agreement["reports_in_common"] == agreement["reports"] > 0
    assert agreement["median_apart"] == 0
    assert {row["lanes"] for row in found["fusing"]} == {1, 4}
    assert {row["precision"] for row in found["full"]} == {"float32", "bf16"}


def test_a_section_that_fails_is_reported_and_the_others_go_on(gpu, tmp_path, monkeypatch):
    def broken(device, small):
        raise RuntimeError("out of memory")

    monkeypatch.setitem(gpu.SECTIONS, "steps", broken)
    path = tmp_path / "gpu.json"
    with pytest.raises(SystemExit, match="failed: steps"):
        check(gpu, path, "steps", "device")
    found = json.loads(path.read_text())
    assert "out of memory" in found["steps"]["error"] and found["device"]["device"] == "cpu"


def test_without_a_gpu_it_says_so(gpu, capsys, monkeypatch):
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "torch sees no CUDA device" in capsys.readouterr().err
