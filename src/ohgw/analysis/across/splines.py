"""Natural cubic smoothing splines over a few settings, with the smoothing chosen by seeds.

The spline minimises the squared residuals at its knots plus lambda times the integral of its
squared second derivative (Reinsch 1967; Green & Silverman 1994, section 2.2, whose Q and R these
are). It is linear in the data, so a bootstrap is one matrix product. scipy's
`make_smoothing_spline` is the same spline, but needs five points and chooses lambda from the
points alone; here the seeds are replicates, and lambda is what predicts the seed left out best.
"""

import numpy as np
from scipy.interpolate import CubicSpline

from ohgw.analysis.frames import Floats

# Over knots scaled to [0, 1]: from as good as interpolation to as good as a straight line.
SMOOTHINGS = 10.0 ** np.linspace(-6, 3, 37)


def smoother(knots: Floats, smoothing: float) -> Floats:
    """The matrix (k, k) that maps values at the knots (k,), k >= 3, to the spline's."""
    h = np.diff(knots)
    k = knots.size
    q, r = np.zeros((k, k - 2)), np.zeros((k - 2, k - 2))
    for j in range(k - 2):
        q[j : j + 3, j] = 1 / h[j], -1 / h[j] - 1 / h[j + 1], 1 / h[j + 1]
        r[j, j] = (h[j] + h[j + 1]) / 3
        if j:
            r[j - 1, j] = r[j, j - 1] = h[j] / 6
    roughness = q @ np.linalg.solve(r, q.T)
    return np.asarray(np.linalg.inv(np.eye(k) + smoothing * roughness))


def evaluator(knots: Floats, smoothing: float, grid: Floats) -> Floats:
    """The matrix (g, k) that maps values at the knots to the smoothing spline on `grid` (g,)."""
    # The smoothing spline is the natural spline that interpolates its own values at the knots.
    fitted = smoother(knots, smoothing)
    return np.asarray(CubicSpline(knots, fitted, bc_type="natural")(grid))


def choose_smoothing(knots: Floats, values: Floats) -> float:
    """The largest lambda that predicts a seed's `values` (n, k) about as well as the best.

    Leave-one-seed-out cross-validation: the medians of all other seeds predict the seed, and the
    absolute error is averaged. "About as well" is within one standard error, over seeds, of the
    difference to the smallest error (Breiman et al. 1984, section 3.4.3), so that a bend which
    noise would explain is not drawn.
    """
    n = len(values)
    others = np.array([np.median(np.delete(values, i, axis=0), axis=0) for i in range(n)])
    fits = (others @ smoother(knots, smoothing).T for smoothing in SMOOTHINGS)
    errors = np.array([np.abs(values - fit).mean(axis=1) for fit in fits])  # (lambdas, n)
    worse = errors - errors[errors.mean(axis=1).argmin()]
    close = worse.mean(axis=1) <= worse.std(axis=1, ddof=1) / np.sqrt(n) + 1e-12
    return float(SMOOTHINGS[np.flatnonzero(close)[-1]])
