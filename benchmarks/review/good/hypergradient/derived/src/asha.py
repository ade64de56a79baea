"""Asynchronous successive halving, run with one worker."""

from collections import defaultdict


class Asha:
    """Promotes a trial as soon as it is among the best 1/eta of its rung; else starts a new one."""

    def __init__(self, trials: int, reduction_factor: int, min_epochs: int, max_epochs: int):
        self.trials = trials
        self.reduction_factor = reduction_factor
        self.levels = [min_epochs]
        while self.levels[-1] * reduction_factor <= max_epochs:
            self.levels.append(self.levels[-1] * reduction_factor)
        self.started = 0
        self.scores: dict[int, dict[int, float]] = defaultdict(dict)  # rung -> trial -> score
        self.promoted: dict[int, set[int]] = defaultdict(set)

    def next(self) -> tuple[int, int] | None:
        """(trial, epochs to train it to); None when everything has been done."""
        for rung in reversed(range(len(self.levels) - 1)):
            scores = self.scores[rung]
            ranked = sorted(scores, key=scores.get, reverse=True)
            for trial in ranked[: len(ranked) // self.reduction_factor]:
                if trial not in self.promoted[rung]:
                    self.promoted[rung].add(trial)
                    return trial, self.levels[rung + 1]
        if self.started < self.trials:
            self.started += 1
            return self.started - 1, self.levels[0]
        return None

    def report(self, trial: int, epochs: int, accuracy: float) -> None:
        """Higher is better."""
        self.scores[self.levels.index(epochs)][trial] = accuracy
