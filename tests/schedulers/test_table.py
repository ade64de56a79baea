import numpy as np
import pytest

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.space import Float, Space
from ohgw.schedulers import ASHA, SCHEDULERS, RandomSearch, make

SPACE = Space({"x": Float(0.0, 1.0)})
SETTINGS = {"mode": "min", "min_resource": 1, "max_resource": 4}


def test_names():
    rng = np.random.default_rng(0)
    assert isinstance(make("random", SPACE, rng, **SETTINGS), RandomSearch)
    assert isinstance(make("asha", SPACE, rng, **SETTINGS), ASHA)
    assert {"random": RandomSearch, "asha": ASHA}.items() <= SCHEDULERS.items()


def test_options_reach_the_scheduler():
    scheduler = make("asha", SPACE, np.random.default_rng(0), eta=2, **SETTINGS)
    assert scheduler.expected_resource == 1 + 1 / 2 + 2 / 4


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"scheduler 'ahsa'. Did you mean 'asha'\?"):
        make("ahsa", SPACE, np.random.default_rng(0), **SETTINGS)


def test_an_unknown_option_is_answered_with_the_known_ones():
    with pytest.raises(SettingError, match=r"'asha' has no option 'factor' .*It has: eta\."):
        make("asha", SPACE, np.random.default_rng(0), factor=3, **SETTINGS)
    with pytest.raises(SettingError, match=r"'random' has no option 'eta' .*It has: none\."):
        make("random", SPACE, np.random.default_rng(0), eta=3, **SETTINGS)
