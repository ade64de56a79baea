import numpy as np
import pytest

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.space import Float, Space
from ohgw.schedulers import ASHA, SCHEDULERS, RandomSearch, check_spec, make

SPACE = Space({"x": Float(0.0, 1.0)})
SETTINGS = {"mode": "min", "min_resource": 1, "max_resource": 4}


def test_names():
    rng = np.random.default_rng(0)
    assert isinstance(make("random", SPACE, rng, **SETTINGS), RandomSearch)
    assert isinstance(make("asha", SPACE, rng, **SETTINGS), ASHA)
    assert {"random": RandomSearch, "asha": ASHA}.items() <= SCHEDULERS.items()


def test_options_reach_the_scheduler():
    scheduler = make("asha:eta=2", SPACE, np.random.default_rng(0), **SETTINGS)
    assert scheduler.expected_resource == 1 + 1 / 2 + 2 / 4


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"scheduler 'ahsa'. Did you mean 'asha'\?"):
        make("ahsa", SPACE, np.random.default_rng(0), **SETTINGS)


def test_an_unknown_option_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"option of scheduler 'asha' 'factor'\. .*eta\."):
        make("asha:factor=3", SPACE, np.random.default_rng(0), **SETTINGS)
    with pytest.raises(UnknownNameError, match=r"option of scheduler 'random' 'eta'\. .*none\."):
        check_spec("random:eta=3")
    for common in ("mode=max", "max_resource=3", "space=1"):
        with pytest.raises(UnknownNameError):
            check_spec(f"asha:{common}")


def test_a_setting_reads_option_equals_value_and_is_given_once():
    with pytest.raises(SettingError, match="'eta' in scheduler 'asha:eta' must read option=value"):
        check_spec("asha:eta")
    with pytest.raises(SettingError, match="sets eta twice"):
        check_spec("asha:eta=2:eta=3")
