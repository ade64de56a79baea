"""Everything that wants a GPU, in one call: what agrees with the CPU, what is faster, at what cost.

    scripts/gpu_check [--device cuda] [--small] [--json FILE]

Sections, each by itself; one that fails is reported and the others go on:

    device           what it is, and the versions
    hypergradients   of each task in the package, in float64, beside central differences
    agreement        a short search on the CPU and on the device: how far scores are apart; seconds,
                     device memory and energy as its manifest accounts for them
    steps            a step as it is, in bfloat16, compiled (`steps.py`)
    fusing           the population by parameters and lanes (`fusing.py`), in wall seconds
    full             gradients of the large models at their full sizes, on random inputs
    full             gradients of the large models at their full sizes, on random inputs

`--small` is the size at which a CPU takes a minute, to see that it works.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from fusing import make_task
from rich.console import Console
from steps import measure, stepping

from ohgw import tasks, tune
from ohgw.core.layout import MANIFEST_NAME
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.records import RECORDS_NAME, read_records
from ohgw.engines.process import tuned_process
from ohgw.hypergrad import get_estimator
from ohgw.tasks._common import cross_entropy
from ohgw.tasks.language._transformer import Transformer
from ohgw.tasks.vision._resnet import BottleneckResNet, ResNet
from ohgw.tasks.vision._vit import ViT
from ohgw.testing.estimators import central_differences, draw_probe
from ohgw.training.dynamics import decode, train_step

SEARCH = {"task": "breast-cancer", "budget": 60, "workers": 4, "engine": "population"}
REPEATS = 5

Section = Callable[[str, bool], Any]


def device_facts(device: str, small: bool) -> dict[str, Any]:
    facts = {"device": device, "torch": torch.__version__, "python": platform.python_version()}
    if torch.device(device).type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {
            "name": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "capability": list(torch.cuda.get_device_capability(device)),
            "cuda": torch.version.cuda,
        }
    return facts


def hypergradients(device: str, small: bool) -> list[dict[str, Any]]:
    """The largest difference beside the largest coordinate, through one step."""
    rows = []
    for name in tasks.BUNDLED[:1] if small else tasks.BUNDLED:
        task = tasks.load(name, device, torch.float64)
        assert isinstance(task, DifferentiableTask)
        probe = draw_probe(task, 1)
        _, gradient = get_estimator("reverse").gradient(task, *probe)
        low, high = (torch.from_numpy(bound) for bound in task.space.natural_bounds)

        def look(psi: torch.Tensor, task: Any = task, probe: Any = probe) -> torch.Tensor:
            batch = tuple(part[0] for part in probe.batches)
            after = train_step(task, probe.state, batch, decode(task.space, psi), probe.noise[0])
            return task.loss(after.theta, probe.validation)

        width = ((high - low) / 10).to(probe.psi)
        expected = central_differences(look, probe.psi, width).gradient
        worst = (gradient - expected).abs().max() / expected.abs().max()
        rows.append({"task": name, "relative_difference": float(worst)})
    return rows


def search(device: str, directory: Path) -> tuple[dict[tuple[int, int], float], dict[str, Any]]:
    """Scores by trial and resource, and the manifest."""
    tune(**SEARCH, device=device, out=directory)  # type: ignore[arg-type]
    _, reports, _ = read_records(directory / RECORDS_NAME)
    scores = {(row.trial, row.resource): row.score for row in reports if row.score is not None}
    return scores, json.loads((directory / MANIFEST_NAME).read_text())


def agreement(device: str, small: bool) -> dict[str, Any]:
    """Training amplifies the last digit: later reports may part, the first must not."""
    with tempfile.TemporaryDirectory() as folder:
        here, _ = search("cpu", Path(folder, "cpu"))
        there, manifest = search(device, Path(folder, "device"))
    common = sorted(here.keys() & there.keys())
    apart = [abs(here[key] - there[key]) / here[key] for key in common]
    keys = ("seconds", "device_seconds", "gpu_hours", "peak_cuda_bytes", "energy_joules")
    return {
        "reports_in_common": len(common),
        "reports": len(here),
        "first_apart": apart[0],
        "median_apart": sorted(apart)[len(apart) // 2],
        "accounting": {key: manifest[key] for key in keys},
    }


def steps(device: str, small: bool) -> list[dict[str, Any]]:
    lanes = (2,) if small else (16, 64, 256)
    rows = []
    for name in tasks.BUNDLED[:1] if small else tasks.BUNDLED:
        task = tasks.load(name, device)
        assert isinstance(task, DifferentiableTask)
        for count in lanes:
            rows += [vars(result) for result in measure(task, count)]
    return rows


def fusing(device: str, small: bool) -> list[dict[str, Any]]:
    """Wall seconds of a step of all lanes; one lane is the model alone."""
    rows = []
    for parameters in (1_000,) if small else (1_000, 10_000, 100_000, 1_000_000):
        task = make_task(parameters, device)
        for lanes in (1, 4) if small else (1, 4, 16, 64, 256, 1024):
            if parameters * lanes <= 2e8:
                step = stepping(task, lanes, "population")
                seconds = _best(step)
                rows.append({"parameters": parameters, "lanes": lanes, "seconds": seconds})
    return rows


def full(device: str, small: bool) -> list[dict[str, Any]]:
    """Seconds and memory of a mini-batch's gradient, in float32 and under autocast to bfloat16."""
    rows = []
    for name, net, x, y in _networks(small):
        theta = net.init(torch.Generator().manual_seed(0)).to(device)
        x, y = x.to(device), y.to(device)
        for precision in ("float32", "bf16"):
            if x.is_cuda:
                torch.cuda.reset_peak_memory_stats(x.device)
            seconds = _best(partial(_gradient, net, theta, x, y, precision == "bf16"))
            row = {"model": name, "batch": len(x), "precision": precision, "seconds": seconds}
            if x.is_cuda:
                row["peak_gib"] = torch.cuda.max_memory_allocated(x.device) / 2**30
            rows.append(row)
    return rows


def _networks(small: bool) -> Iterator[tuple[str, Any, torch.Tensor, torch.Tensor]]:
    """Name, network, and a random mini-batch of inputs and targets."""
    batch = 2 if small else 64
    side = 32 if small else 224
    photographs = {
        "ResNet-50": BottleneckResNet(14 if small else 50, 8 if small else 64, classes=1000),
        "ViT-S/16": ViT(side, 16, 384, 2 if small else 12, 6, classes=1000),
    }
    for name, net in photographs.items():
        x = torch.randn(batch, 3, side, side)
        yield name, net, x, torch.randint(1000, (batch,))
    batch = 2 if small else 128
    x = torch.randn(batch, 3, 32, 32)
    yield "ResNet-20", ResNet(20, 16, classes=10), x, torch.arange(batch) % 10
    batch, context, vocabulary = (2, 32, 500) if small else (8, 1024, 50_257)
    gpt2 = Transformer(vocabulary, 768, 1 if small else 12, 12, context, "gelu")
    code = torch.randint(vocabulary, (batch, context))
    yield "GPT-2 small", gpt2, code, code


def _gradient(
    net: Any, theta: torch.Tensor, x: torch.Tensor, y: torch.Tensor, autocast: bool
) -> float:
    """Seconds of the gradient of the mean cross-entropy."""
    began = time.perf_counter()
    theta = theta.detach().requires_grad_()
    weights = net.layout.split(theta)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
        if isinstance(net, Transformer):
            future = torch.full((net.context, net.context), -torch.inf, device=x.device).triu(1)
            logits = net.logits(weights, x, future, {}, None)
        else:
            logits = net.logits(weights, x)
        loss = cross_entropy(logits.float(), y)
    torch.autograd.grad(loss, theta)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - began


def _best(step: Callable[[], float]) -> float:
    """Seconds of the fastest of a few steps, after one that warms up."""
    step()
    return min(step() for _ in range(REPEATS))


SECTIONS: dict[str, Section] = {
    "device": device_facts,
    "hypergradients": hypergradients,
    "agreement": agreement,
    "steps": steps,
    "fusing": fusing,
    "full": full,
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Everything that wants a GPU, in one call.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes for a look on a CPU")
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), metavar="FILE")
    options = parser.parse_args(argv)
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device; --device cpu --small tries the script itself")
    console, found, failed = Console(stderr=True), {}, []
    with tuned_process():
        for name in options.sections:
            began = time.perf_counter()
            with console.status(name):
                try:
                    found[name] = SECTIONS[name](options.device, options.small)
                except Exception:  # the others may still tell something
                    found[name] = {"error": traceback.format_exc()}
                    failed.append(name)
            console.print(f"{name}: {time.perf_counter() - began:.0f} s", highlight=False)
            options.json.write_text(json.dumps(found, indent=2) + "\n")
    console.print(f"Written: {options.json}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; the reasons are in {options.json}")


if __name__ == "__main__":
    main()
