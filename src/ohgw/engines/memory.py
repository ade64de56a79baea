"""Peak memory of tensors while something runs."""

import gc
import os
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def quiet_profiler() -> None:
    """Some builds of the profiler announce every start and stop on standard error: not these."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")


def peak_bytes(device: torch.device, work: Callable[[], object]) -> int:
    """Most bytes that tensors held at once during `work`, beyond what they held before it.

    On CUDA the allocator tells; on a CPU the profiler's record of allocations is added up, which
    slows `work` down but counts what tensors asked for, not what the process kept.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    quiet_profiler()
    gc.collect()  # what is freed during the work should have been allocated during it
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as seen:
        work()
    held = peak = 0
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
