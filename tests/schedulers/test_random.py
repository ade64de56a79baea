import numpy as np

from ohgw.core.space import Float, Space
from ohgw.schedulers import RandomSearch

SPACE = Space({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})


def test_every_ask_is_a_new_trial_trained_to_the_end():
    scheduler = RandomSearch(SPACE, np.random.default_rng(0), mode="max", max_resource=7)
    assert scheduler.expected_resource == 7.0
    for trial in range(5):
        asked = scheduler.ask()
        assert (asked.trial, asked.start, asked.resource) == (trial, 0, 7)
        scheduler.tell(trial, 7, -float(trial))


def test_trials_are_the_uniform_draws_of_the_generator():
    scheduler = RandomSearch(SPACE, np.random.default_rng(0), mode="max", max_resource=7)
    uniform = np.random.default_rng(0).random((3, 2))
    asked = [scheduler.ask().configuration for _ in range(3)]
    assert asked == [{"x": x, "y": y} for x, y in uniform]
