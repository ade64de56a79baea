"""The table of methods and how their specifications are read."""

import pytest

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.warmstart import DEFAULT_METHOD, METHODS, make_method
from ohgw.warmstart.guided import Guided
from ohgw.warmstart.method import Method
from ohgw.warmstart.moves import Move


@pytest.mark.parametrize("name", METHODS)
def test_each_is_made_by_its_name_and_afresh(name):
    method = make_method(name)
    assert isinstance(method, Method) and method.name == name
    assert make_method(name) is not method


def test_default_is_in_the_table():
    assert isinstance(make_method(DEFAULT_METHOD), Guided)


def test_the_literal_method_is_the_paper_s():
    method = make_method("ohgw")
    assert isinstance(method, Move)
    assert (method.eta, method.steps, method.radius, method.only) == (1e-3, 1, None, None)
    assert method.direction == "gradient"


def test_controls_differ_in_direction_alone():
    own = vars(make_method("ohgw"))
    for name in ("random", "null"):
        assert vars(make_method(name)) == own | {"name": name, "direction": name}


@pytest.mark.parametrize(
    ("spec", "option", "value"),
    [
        ("ohgw:eta=0.01", "eta", 0.01),
        ("ohgw:eta=1e-2", "eta", 0.01),
        ("ohgw:eta=1E-2:steps=3", "eta", 0.01),
        ("ohgw:steps=4", "steps", 4),
        ("ohgw:estimator=reverse", "estimator", "reverse"),
        ("ohgw:only=learning_rate+momentum", "only", ("learning_rate", "momentum")),
        ("ohgw-multistep:radius=0.05", "radius", 0.05),
        ("random:radius=0.2", "direction", "random"),
        ("screen:candidates=5:steps=8", "candidates", 5),
        ("screen:guard=false", "guard", False),
        ("screen:guard=true", "guard", True),
        ("screen:max_share=1e-1", "max_share", 0.1),
    ],
)
def test_options_are_read(spec, option, value):
    found = getattr(make_method(spec), option)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("ohgv", UnknownNameError, r"'ohgv'.*Did you mean 'ohgw'"),
        ("", UnknownNameError, "''"),
        ("ohgw:etta=1", UnknownNameError, r"'etta'.*Did you mean 'eta'"),
        ("ohgw:name=x", UnknownNameError, "'name'"),
        ("screen:eta=1", UnknownNameError, r"'eta'.*candidates"),
        ("vanilla:eta=1", UnknownNameError, "'eta'"),
        ("ohgw:", SettingError, r"''.*'ohgw:'.*option=value"),
        ("ohgw:eta", SettingError, r"'eta'.*option=value"),
        ("ohgw:eta=", SettingError, "eta=''"),
        ("ohgw:eta=inf", SettingError, "eta=inf"),
        ("ohgw:eta=[", SettingError, r"eta='\['"),
        ("ohgw:steps=2.5", SettingError, "steps=2.5"),
        ("ohgw:only=5", SettingError, "only=5"),
        ("ohgw:direction=foo", UnknownNameError, "'foo'.*gradient"),
        ("ohgw:estimator=revers", UnknownNameError, "Did you mean 'reverse'"),
        ("ohgw-normalised:radius=2", SettingError, "radius=2"),
        ("screen:candidates=3.5", SettingError, "candidates=3.5"),
        ("screen:guard=maybe", SettingError, "guard='maybe'"),
        ("screen:max_share=abc", SettingError, "max_share='abc'"),
        ("ohgw:eta=fast", SettingError, "fast"),
        ("ohgw:eta=-0.1", SettingError, "-0.1"),
        ("ohgw:steps=0", SettingError, "steps=0"),
        ("screen:candidates=1", SettingError, "candidates=1"),
    ],
)
def test_mistakes_are_answered_with_the_remedy(spec, error, message):
    with pytest.raises(error, match=message):
        make_method(spec)
