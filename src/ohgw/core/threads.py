"""Linear algebra of small matrices, on one thread.

Threads of BLAS cost more than they save at some hundred rows, a hundredfold where other programs
want the cores; and how many there are decides how sums are split, so with the number of cores the
last bits of a model would change, and then decisions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy.linalg  # noqa: F401  (loads the libraries that are looked up once)
import scipy.linalg  # noqa: F401
from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
    """While inside, BLAS under numpy and scipy uses one thread in this process."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield
