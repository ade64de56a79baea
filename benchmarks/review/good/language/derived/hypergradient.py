"""The method: a learning rate that descends its own gradient."""

RANGE = (1e-4, 2.0)  # outside of it training stands still or diverges


class LearningRate:
    """The derivative of a loss with respect to the rate of the step before is minus the inner
    product of the gradients of the two steps.
    """

    def __init__(self, rate, eta):
        self.rate = rate
        self.eta = eta
        self.previous = None

    def update(self, grads):
        """The rate for a step along `grads`."""
        if self.previous is not None:
            pairs = zip(grads, self.previous, strict=True)
            product = sum(float((g * p).sum()) for g, p in pairs)
            low, high = RANGE
            self.rate = min(max(self.rate + self.eta * product, low), high)
        self.previous = grads
        return self.rate
