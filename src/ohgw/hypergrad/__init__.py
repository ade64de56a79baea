"""Hypergradients: derivatives of a validation loss with respect to hyperparameters.

`estimator` says what an estimator offers; every other module is one, and one line in the table
here. What they differentiate, the training step as a function, is in `ohgw.training`.
"""

from ohgw.core.errors import UnknownNameError
from ohgw.hypergrad.analytic import Analytic
from ohgw.hypergrad.estimator import Estimator as Estimator
from ohgw.hypergrad.estimator import check_visible as check_visible
from ohgw.hypergrad.estimator import hypergradient as hypergradient
from ohgw.hypergrad.finite_difference import FiniteDifference
from ohgw.hypergrad.forward import Forward
from ohgw.hypergrad.implicit import Implicit
from ohgw.hypergrad.reverse import Reverse

ESTIMATORS: dict[str, Estimator] = {
    estimator.name: estimator
    for estimator in (Analytic(), Reverse(), Forward(), FiniteDifference(), Implicit())
}


def get_estimator(name: str) -> Estimator:
    """The named estimator with its default settings. Raises `UnknownNameError`."""
    try:
        return ESTIMATORS[name]
    except KeyError:
        raise UnknownNameError("estimator", name, ESTIMATORS) from None
