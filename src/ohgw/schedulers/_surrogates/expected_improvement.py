"""Expected improvement on the log scale, where it does not underflow far from the incumbent."""

import math

import numpy as np
from scipy.special import erfcx, ndtr

from ohgw.core.space import Array

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


def log_expected_improvement(
    mean: Array, deviation: Array, incumbent: Array | float
) -> tuple[Array, Array, Array]:
    """log E[max(f - incumbent, 0)] for f ~ N(mean, deviation^2), elementwise.

    Also its derivatives by mean and by deviation, which must be positive.
    """
    z = (mean - incumbent) / deviation
    log_h, ratio = _log_h(z)
    by_z = ratio / deviation
    return np.log(deviation) + log_h, by_z, 1.0 / deviation - by_z * z


def _log_h(z: Array) -> tuple[Array, Array]:
    """log h for h = pdf(z) + z * cdf(z), and its derivative cdf(z) / h.

    Below -1 the two terms cancel, so h = pdf * (1 + z * mills) with the scaled complementary error
    function; below -1e4 that cancels too, and h is pdf / z^2 to 8 digits.
    """
    near, far = np.maximum(z, -1.0), np.clip(z, -1e4, -1.0)
    cdf = ndtr(near)
    h = np.exp(-0.5 * near * near - _LOG_SQRT_2PI) + near * cdf
    mills = math.sqrt(math.pi / 2.0) * erfcx(-far / math.sqrt(2.0))
    rest = 1.0 + far * mills
    log_pdf = -0.5 * z * z - _LOG_SQRT_2PI
    beyond = np.minimum(z, -1.0)
    log_h = np.where(
        z > -1.0,
        np.log(h),
        np.where(z > -1e4, log_pdf + np.log(rest), log_pdf - 2.0 * np.log(-beyond)),
    )
    return log_h, np.where(z > -1.0, cdf / h, np.where(z > -1e4, mills / rest, -beyond))
