"""Settings of the process that many small tensor operations profit from."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def tuned_process() -> Iterator[None]:
    """Keep freed memory for reuse, and flush denormals while inside.

    glibc returns large blocks to the system and maps them anew at each step, page fault by page
    fault; it refuses thresholds above 32 MiB. That setting stays: it cannot be read back, and it
    changes no result. Denormals are slow and mean nothing in a loss, but a user's own arithmetic
    after a search may want them back.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # absent from other C libraries
            m_trim_threshold, m_mmap_threshold = -1, -3
            libc.mallopt(m_mmap_threshold, 32 * 2**20)
            libc.mallopt(m_trim_threshold, 2**31 - 1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
