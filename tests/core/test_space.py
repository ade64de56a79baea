import json
import math
import pickle
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ohgw.core.errors import SpaceError, UnknownNameError
from ohgw.core.space import SPACES, Categorical, Float, Int, Space, get_space

MIXED = Space(
    {
        "learning_rate": Float(1e-4, 1.0, log=True),
        "layers": Int(1, 8),
        "momentum": Float(0.0, 0.9),
        "width": Int(16, 4096, log=True),
        "activation": Categorical(("relu", "gelu", None, True, 1.5)),
    }
)
CONFIGURATION = {
    "learning_rate": 0.01,
    "layers": 3,
    "momentum": 0.45,
    "width": 64,
    "activation": None,
}


@st.composite
def floats(draw):
    log = draw(st.booleans())
    ends = st.floats(1e-12 if log else -1e9, 1e9)
    low, high = sorted((draw(ends), draw(ends)))
    assume(high - low > 1e-9 * max(abs(low), abs(high)))
    return Float(low, high, log)


@st.composite
def ints(draw):
    log = draw(st.booleans())
    ends = st.integers(1 if log else -(2**40), 2**40)
    low, high = sorted((draw(ends), draw(ends)))
    assume(low < high)
    return Int(low, high, log)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
)
CATEGORICALS = st.lists(SCALARS, min_size=1, max_size=6).map(
    lambda values: Categorical([v for k, v in enumerate(values) if v not in values[:k]])
)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
SPACE = st.dictionaries(
    NAMES, st.one_of(floats(), ints(), CATEGORICALS), min_size=1, max_size=5
).map(Space)
POINTS = SPACE.flatmap(
    lambda space: st.tuples(
        st.just(space), st.lists(st.floats(0, 1), min_size=space.d, max_size=space.d)
    )
)


# Domains


@given(floats(), st.floats(0, 1))
def test_float_unit_round_trip(domain, u):
    value = domain.from_unit(u)
    assert type(value) is float
    assert domain.low <= value <= domain.high
    assert 0.0 <= domain.to_unit(value) <= 1.0
    # What the bounds' own rounding leaves of the interval, in units of its width.
    ends = abs(domain.natural(domain.low)), abs(domain.natural(domain.high))
    width = domain.natural(domain.high) - domain.natural(domain.low)
    assert domain.to_unit(value) == pytest.approx(u, abs=1e-15 * (4 + 4 * max(*ends, 1) / width))


@given(floats())
def test_float_ends_are_exact(domain):
    assert domain.from_unit(0.0) == domain.from_unit(-3.0) == domain.low
    assert domain.from_unit(1.0) == domain.from_unit(3.0) == domain.high
    assert domain.to_unit(domain.low) == 0.0
    assert domain.to_unit(domain.high) == 1.0


@given(floats())
def test_float_next_to_a_bound_stays_inside(domain):
    low, high = domain.natural(domain.low), domain.natural(domain.high)
    for coordinate in (math.nextafter(low, math.inf), math.nextafter(high, -math.inf)):
        assert domain.low <= domain.from_natural(coordinate) <= domain.high
    for value in (math.nextafter(domain.low, 1e10), math.nextafter(domain.high, -1e10)):
        assert 0.0 <= domain.to_unit(value) <= 1.0


def test_log_means_uniform_in_the_logarithm():
    assert Float(1e-4, 1.0, log=True).from_unit(0.5) == pytest.approx(1e-2)
    assert Float(0.0, 1.0).from_unit(0.5) == 0.5
    assert Float(1e-4, 1.0, log=True).to_unit(0.1) == pytest.approx(0.75)


@given(ints(), st.data())
def test_int_round_trip_is_exact(domain, data):
    value = data.draw(st.integers(domain.low, domain.high))
    u = domain.to_unit(value)
    assert 0.0 <= u <= 1.0
    again = domain.from_unit(u)
    assert type(again) is int
    assert again == value


@pytest.mark.parametrize("domain", [Int(-3, 5), Int(0, 1), Int(1, 3000, log=True)])
def test_int_every_value_and_both_ends(domain):
    values = range(domain.low, domain.high + 1)
    u = [domain.to_unit(value) for value in values]
    assert [domain.from_unit(x) for x in u] == list(values)
    assert u == sorted(set(u))
    assert (u[0], u[-1]) == (0.0, 1.0)


def test_int_bins_have_equal_width():
    values = [Int(1, 4).from_unit(u) for u in np.linspace(0, 1, 4001)]
    counts = [values.count(k) for k in (1, 2, 3, 4)]
    assert max(counts) - min(counts) <= 1


def test_int_log_bins_have_equal_ratio():
    domain = Int(1, 1000, log=True)
    low, high = math.log10(0.5), math.log10(1000.5)
    edge = (math.log10(1.5) - low) / (high - low)
    assert domain.from_unit(edge - 1e-9) == 1
    assert domain.from_unit(edge + 1e-9) == 2


@given(CATEGORICALS, st.data())
def test_categorical_round_trip_is_exact(domain, data):
    choice = data.draw(st.sampled_from(domain.choices))
    again = domain.from_unit(domain.to_unit(choice))
    assert again == choice
    assert type(again) is type(choice)
    assert domain.from_unit(0.0) == domain.choices[0]
    assert domain.from_unit(1.0) == domain.choices[-1]
    assert domain.to_unit(domain.choices[0]) == 0.0
    if len(domain.choices) > 1:
        assert domain.to_unit(domain.choices[-1]) == 1.0


def test_categorical_bins_have_equal_width():
    values = [Categorical("a b c".split()).from_unit(u) for u in np.linspace(0, 1, 3001)]
    assert {v: values.count(v) for v in "abc"} == {"a": 1000, "b": 1000, "c": 1001}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Float(1.0, 1.0), "both 1.0; a hyperparameter that cannot vary"),
        (lambda: Float(2.0, 1.0), "low 2.0 is above high 1.0; swap"),
        (lambda: Float(math.nan, 1.0), "low nan is not finite"),
        (lambda: Float(0.0, math.inf), "high inf is not finite"),
        (lambda: Float(0, 10**400), "is not finite"),
        (lambda: Float(0.0, 1.0, log=True), "low 0.0 has no logarithm"),
        (lambda: Float(-1.0, 1.0, log=True), "low -1.0 has no logarithm"),
        (lambda: Float(False, 1.0), "low False is not a number"),
        (lambda: Float(0.0, None), "high None is not a number"),
        (lambda: Float(0.0, Decimal(1)), "is not a number"),
        (lambda: Float("1e-5", 1.0), r"low '1e-5' .* write 1\.0e-5 or 0\.00001\."),
        (lambda: Float(0.0, "2.5e3"), r"high '2.5e3' .* write 2\.5e\+3 or 2500\.0\."),
        (lambda: Float(0.0, "a lot"), "high 'a lot' is not a number.$"),
        (lambda: Float(0.0, "inf"), "high 'inf' is not a number.$"),
        (lambda: Float(0.1, 1.0, log="yes"), "log 'yes' is not true or false"),
        (lambda: Float(-1.7e308, 1.7e308), "too far apart"),
        (lambda: Float(1e300, math.nextafter(1e300, 2e300), log=True), "too close together"),
        (lambda: Int(3, 3), "both 3"),
        (lambda: Int(3, 2), "low 3 is above high 2"),
        (lambda: Int(0, 2, log=True), "low 0 has no logarithm"),
        (lambda: Int(0, 2.0), "high 2.0 is not a whole number"),
        (lambda: Int(False, 2), "low False is not a whole number"),
        (lambda: Int("1", 2), "low '1' is not a whole number"),
        (lambda: Int(0, 2**40 + 1), r"beyond \+-2\*\*40"),
        (lambda: Int(-(2**40) - 1, 0), r"beyond \+-2\*\*40"),
        (lambda: Categorical(()), "choices is empty"),
        (lambda: Categorical("abc"), "choices must be a list"),
        (lambda: Categorical(("a", "b", "a")), "'a' repeats 'a'"),
        (lambda: Categorical((1, True)), "True repeats 1"),
        (lambda: Categorical(((1, 2),)), r"\(1, 2\) \(tuple\) cannot be stored"),
        (lambda: Categorical((math.inf,)), "inf .* cannot be stored"),
        (lambda: Categorical((math.nan,)), "nan equals nothing"),
        (lambda: Categorical((np.float64(1.0),)), "float64.* cannot be stored"),
    ],
)
def test_malformed_domains_are_refused(build, message):
    with pytest.raises(SpaceError, match=message):
        build()


def test_bounds_become_python_numbers():
    domain = Float(np.float32(0.5), 2)
    assert (type(domain.low), type(domain.high)) == (float, float)
    assert type(Int(np.int64(1), 2).low) is int
    assert Float(0, 1) == Float(0.0, 1.0)


# Space: mapping


def test_space_is_an_ordered_mapping():
    assert MIXED.names == tuple(MIXED) == tuple(CONFIGURATION)
    assert MIXED.d == len(MIXED) == 5
    assert MIXED.continuous == ("learning_rate", "momentum")
    assert MIXED.discrete == ("layers", "width", "activation")
    assert MIXED["layers"] == Int(1, 8)


def test_equality_and_hash_follow_contents_and_order():
    a, b = Float(0.0, 1.0), Int(0, 3)
    space = Space({"a": a, "b": b})
    assert space == Space({"a": a, "b": b})
    assert hash(space) == hash(Space({"a": a, "b": b}))
    assert space != Space({"b": b, "a": a})
    assert space != Space({"a": a})
    assert space != {"a": a, "b": b}
    assert eval(repr(space)) == space
    assert pickle.loads(pickle.dumps(space)) == space


def test_space_is_not_changed_from_outside():
    domains = {"a": Float(0.0, 1.0)}
    space = Space(domains)
    domains["b"] = Float(0.0, 1.0)
    assert space.names == ("a",)
    with pytest.raises(TypeError):
        space["b"] = Float(0.0, 1.0)
    with pytest.raises(AttributeError):
        space.names = ("b",)


@pytest.mark.parametrize(
    ("domains", "message"),
    [
        ({}, "at least one hyperparameter"),
        ([("a", Float(0, 1))], "at least one hyperparameter"),
        ({"": Float(0, 1)}, "name '' must be non-empty"),
        ({3: Float(0, 1)}, "name 3 must be"),
        ({"lr": (0, 1)}, r"lr: \(0, 1\) is not a domain"),
    ],
)
def test_malformed_spaces_are_refused(domains, message):
    with pytest.raises(SpaceError, match=message):
        Space(domains)


# Space: unit cube


@given(POINTS)
def test_unit_round_trip(point):
    space, u = point
    configuration = space.from_unit(u)
    space.validate(configuration)
    assert tuple(configuration) == space.names
    again = space.from_unit(space.to_unit(configuration))
    for name in space.discrete:
        assert again[name] == configuration[name]
    for name in space.continuous:
        # Going through log10 and back costs a few units in the last place of the bounds.
        scale = max(abs(space[name].low), abs(space[name].high))
        assert again[name] == pytest.approx(configuration[name], rel=1e-13, abs=1e-15 * scale)


@pytest.mark.parametrize("space", [MIXED, *SPACES.values()], ids=["mixed", *SPACES])
def test_unit_cube_corners_are_exact(space):
    assert space.to_unit(space.from_unit(np.zeros(space.d))).tolist() == [0.0] * space.d
    assert space.to_unit(space.from_unit(np.ones(space.d))).tolist() == [1.0] * space.d


def test_unit_coordinates_are_clipped_and_checked():
    for beyond in (0.3, 1e9, math.inf):
        assert MIXED.from_unit([-beyond] * 5) == MIXED.from_unit(np.zeros(5))
        assert MIXED.from_unit([1 + beyond] * 5) == MIXED.from_unit(np.ones(5))
    with pytest.raises(SpaceError, match=r"u has shape \(4,\); give \(5,\)"):
        MIXED.from_unit(np.zeros(4))
    with pytest.raises(SpaceError, match="momentum: the coordinate in u is nan"):
        MIXED.from_unit([0.0, 0.0, math.nan, 0.0, 0.0])
    with pytest.raises(SpaceError, match="layers: 9 is outside"):
        MIXED.to_unit({**CONFIGURATION, "layers": 9})
    with pytest.raises(SpaceError, match="layers: 9 is outside"):
        MIXED.to_natural({**CONFIGURATION, "layers": 9})


# Space: natural coordinates


def test_natural_coordinates_are_decades_or_values():
    assert MIXED.to_natural(CONFIGURATION) == pytest.approx([-2.0, 0.45])
    low, high = MIXED.natural_bounds
    assert low.tolist() == [-4.0, 0.0]
    assert high.tolist() == [0.0, 0.9]
    assert MIXED.unit_scale.tolist() == [4.0, 0.9]


@given(POINTS, st.data())
def test_natural_step_over_width_is_unit_step(point, data):
    space, u = point
    assume(space.continuous)
    x = space.from_unit(u)
    low, high = space.natural_bounds
    fraction = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(low), max_size=len(low))))
    y = space.from_natural(low + fraction * (high - low), x)
    step = (space.to_natural(y) - space.to_natural(x)) / space.unit_scale
    unit_step = (space.to_unit(y) - space.to_unit(x))[
        [space.names.index(name) for name in space.continuous]
    ]
    noise = 1e-14 * (1 + np.maximum(np.abs(low), np.abs(high)) / (high - low))
    assert np.all(np.abs(step - unit_step) <= noise)


@pytest.mark.parametrize("space", [MIXED, *SPACES.values()], ids=["mixed", *SPACES])
def test_a_move_by_zero_is_no_move(space):
    rng = np.random.default_rng(0)
    for _ in range(50):
        x = space.sample(rng)
        assert space.from_natural(space.to_natural(x), x) == x


def test_single_precision_values_are_mapped_in_double_precision():
    single = {**CONFIGURATION, "momentum": np.float32(0.3), "learning_rate": np.float32(0.03)}
    double = {
        **single,
        "momentum": float(np.float32(0.3)),
        "learning_rate": float(np.float32(0.03)),
    }
    assert MIXED.to_unit(single).tolist() == MIXED.to_unit(double).tolist()
    assert MIXED.to_natural(single).tolist() == MIXED.to_natural(double).tolist()
    moved = MIXED.from_natural(MIXED.to_natural(single), single)
    assert (moved, type(moved["momentum"])) == (double, float)


@given(POINTS, st.floats(0, 1e6))
def test_moves_beyond_the_bounds_stop_there_exactly(point, beyond):
    space, u = point
    x = space.from_unit(u)
    low, high = space.natural_bounds
    down, up = space.from_natural(low - beyond, x), space.from_natural(high + beyond, x)
    for name in space.continuous:
        assert down[name] == space[name].low
        assert up[name] == space[name].high
    for name in space.discrete:
        assert down[name] == up[name] == x[name]


def test_from_natural_takes_discrete_values_from_its_base_and_leaves_it_alone():
    base = dict(CONFIGURATION)
    moved = MIXED.from_natural([-1.0, 0.2], base)
    assert moved == {**CONFIGURATION, "learning_rate": 0.1, "momentum": 0.2}
    assert base == CONFIGURATION
    with pytest.raises(SpaceError, match=r"psi has shape \(3,\); give \(2,\)"):
        MIXED.from_natural([0.0, 0.0, 0.0], base)
    with pytest.raises(SpaceError, match="momentum: the coordinate in psi is nan"):
        MIXED.from_natural([0.0, math.nan], base)
    with pytest.raises(SpaceError, match="layers: 0 is outside"):
        MIXED.from_natural([0.0, 0.0], {**base, "layers": 0})


def test_a_space_without_floats_has_no_natural_coordinates():
    space = Space({"layers": Int(1, 8)})
    assert space.to_natural({"layers": 3}).shape == space.unit_scale.shape == (0,)
    assert space.from_natural([], {"layers": 3}) == {"layers": 3}


# Space: sampling, clipping, validation


def test_sample_consumes_exactly_d_uniforms_in_order():
    rng, reference = np.random.default_rng(0), np.random.default_rng(0)
    for _ in range(3):
        assert MIXED.sample(rng) == MIXED.from_unit(reference.random(5))
    assert rng.random() == reference.random()


def test_sample_gives_python_scalars():
    configuration = MIXED.sample(np.random.default_rng(0))
    assert json.loads(json.dumps(configuration)) == configuration
    assert [type(v) for v in configuration.values()][:4] == [float, int, float, int]


def test_samples_fill_the_space_evenly():
    rng = np.random.default_rng(0)
    samples = [MIXED.sample(rng) for _ in range(4000)]
    rates = np.array([sample["learning_rate"] for sample in samples])
    assert np.mean(rates < 1e-2) == pytest.approx(0.5, abs=0.04)  # five standard errors
    layers = [sample["layers"] for sample in samples]
    assert all(abs(layers.count(k) - 500) < 105 for k in range(1, 9))


@given(POINTS)
def test_clip_leaves_a_valid_configuration_alone(point):
    space, u = point
    x = space.from_unit(u)
    assert space.clip(x) == x


def test_clip_goes_to_the_nearest_bound():
    wild = {**CONFIGURATION, "learning_rate": 7, "layers": -5, "momentum": -math.inf}
    clipped = MIXED.clip(wild)
    assert clipped == {**CONFIGURATION, "learning_rate": 1.0, "layers": 1, "momentum": 0.0}
    assert type(clipped["learning_rate"]) is float
    assert MIXED.clip({**CONFIGURATION, "momentum": 10**400})["momentum"] == 0.9
    clipped = MIXED.clip({**CONFIGURATION, "momentum": np.float32(0.5), "layers": np.int64(4)})
    assert (type(clipped["momentum"]), type(clipped["layers"])) == (float, int)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"momentum": math.nan}, "momentum: nan cannot be clipped"),
        ({"momentum": "0.5"}, "momentum: '0.5' cannot be clipped"),
        ({"momentum": True}, "momentum: True cannot be clipped"),
        ({"layers": 2.5}, "layers: 2.5 cannot be clipped"),
        ({"layers": True}, "layers: True cannot be clipped"),
        ({"activation": "tanh"}, "activation: 'tanh' is not one of 'relu', 'gelu', None"),
        ({"depth": 3}, "Unknown hyperparameter 'depth'"),
    ],
)
def test_clip_refuses_what_has_no_nearest_value(changes, message):
    with pytest.raises(SpaceError, match=message):
        MIXED.clip({**CONFIGURATION, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"momentum": 0.91}, r"momentum: 0.91 is outside \[0.0, 0.9\]"),
        ({"momentum": math.nan}, "momentum: nan is outside"),
        ({"momentum": math.inf}, "momentum: inf is outside"),
        ({"momentum": "1e-3"}, r"momentum: '1e-3' is not a number\. .* write 1\.0e-3 or 0\.001"),
        ({"momentum": True}, "momentum: True is not a number"),
        ({"momentum": None}, "momentum: None is not a number"),
        ({"layers": 0}, r"layers: 0 is outside \[1, 8\]"),
        ({"layers": 3.0}, "layers: 3.0 is not a whole number"),
        ({"layers": True}, "layers: True is not a whole number"),
        ({"activation": False}, "activation: False is not one of"),
        ({"activation": 1}, "activation: 1 is not one of"),
        ({"activation": "Relu"}, "activation: 'Relu' is not one of 'relu'"),
        ({"momentun": 0.5}, r"'momentun'\. Did you mean 'momentum'\? Known: learning_rate, lay"),
        ({3: 0.5}, "Unknown hyperparameter 3. Known"),
    ],
)
def test_validate_names_what_is_wrong(changes, message):
    MIXED.validate(CONFIGURATION)
    with pytest.raises(SpaceError, match=message):
        MIXED.validate({**CONFIGURATION, **changes})


def test_validate_names_what_is_missing():
    with pytest.raises(SpaceError, match="'width' has no value"):
        MIXED.validate({name: v for name, v in CONFIGURATION.items() if name != "width"})
    with pytest.raises(SpaceError, match="configuration is a mapping"):
        MIXED.validate([0.1, 3])


# Space: text


@given(SPACE)
def test_text_round_trips_are_exact(space):
    for write, read in (
        (Space.to_dict, Space.from_dict),
        (Space.to_json, Space.from_json),
        (Space.to_yaml, Space.from_yaml),
    ):
        again = read(write(space))
        assert again == space
        assert repr(again) == repr(space)  # 1, 1.0 and True are equal, but not the same


def test_yaml_is_what_people_write():
    text = """
learning_rate: {type: float, low: 1.0e-4, high: 1.0, log: true}
layers: {type: int, low: 1, high: 8}
activation: {type: categorical, choices: [relu, gelu]}
"""
    assert Space.from_yaml(text) == Space(
        {
            "learning_rate": Float(1e-4, 1.0, log=True),
            "layers": Int(1, 8),
            "activation": Categorical(("relu", "gelu")),
        }
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: {type: float, low: 1e-3, high: 1.0}", r"lr: low '1e-3' .* 1\.0e-3 or 0\.001"),
        ("lr: {type: float, low: 0.1}", "lr: key 'high' is missing for type 'float'"),
        ("lr: {type: float, low: 0, high: 1, step: 2}", "lr: key 'step' is unknown for type 'f"),
        ("lr: {type: real, low: 0, high: 1}", "lr: type 'real' is unknown; use one of float"),
        ("lr: {type: [float], low: 0, high: 1}", r"lr: type \['float'\] is unknown"),
        ("lr: {low: 0, high: 1}", "lr: key 'type' is missing"),
        ("c: {type: categorical, choices: [a], log: true}", "c: key 'log' is unknown"),
        ("c: {type: categorical}", "c: key 'choices' is missing"),
        ("c: {type: categorical, choices: abc}", "c: choices must be a list"),
        ("lr: 0.1", "lr: 0.1 is not a domain"),
        ("lr: [", "not valid YAML"),
        ("lr: 2020-13-45", "not valid YAML: month"),
        ("? [a]\n: 1", "not valid YAML"),
        ("1: {type: int, low: 0, high: 1}", "name 1 must be"),
        ("a: {type: int, low: 0, high: 1}\na: {type: int, low: 0, high: 2}", "^The key 'a' app"),
        ("a: {type: int, low: 0, low: 1, high: 2}", "^The key 'low' appears twice"),
        ("a: &a {type: *a}", "a: type .* is unknown"),
        ("- a", "A space is a mapping .*, not"),
        ("", "A space is a mapping .*, not None"),
        ("{}", "at least one hyperparameter"),
    ],
)
def test_yaml_errors_name_the_place(text, message):
    with pytest.raises(SpaceError, match=message):
        Space.from_yaml(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON: .*line 1 column 2"),
        ('{"a": {"type": "int", "low": 0, "high": NaN}}', "a: high nan is not a whole number"),
        ('{"a": {"type": "float", "low": 0, "high": Infinity}}', "a: high inf is not finite"),
        ('{"a": {"type": "int", "low": 0, "high": 1, "high": 2}}', "'high' appears twice"),
        ("3", "A space is a mapping .*, not 3"),
    ],
)
def test_json_errors_name_the_place(text, message):
    with pytest.raises(SpaceError, match=message):
        Space.from_json(text)


@given(st.text() | st.lists(st.sampled_from("a: {}[],?-1.0e3\n\"'&*!<|>%@")).map("".join))
def test_no_text_breaks_the_readers(text):
    for read in (Space.from_yaml, Space.from_json):
        try:
            read(text)
        except SpaceError:
            continue


# Table


def test_exp_1():
    assert get_space("exp-1") == Space(
        {
            "learning_rate": Float(1e-4, 1.0, log=True),
            "weight_decay": Float(1e-6, 1e-2, log=True),
            "momentum": Float(0.0, 0.99),
            "augmentation": Float(0.0, 1.0),
            "label_smoothing": Float(0.0, 0.3),
        }
    )


def test_exp_2():
    assert get_space("exp-2") == Space(
        {
            "learning_rate": Float(1e-5, 1e-1, log=True),
            "weight_decay": Float(1e-4, 1.0, log=True),
            "attention_dropout": Float(0.01, 0.5),
            "residual_dropout": Float(0.01, 0.5),
            "label_smoothing": Float(0.0, 0.3),
            "warmup_scale": Float(0.1, 10.0, log=True),
        }
    )


def test_an_unknown_space_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Unknown space 'exp-3'. Did you mean 'exp-"):
        get_space("exp-3")


def test_only_keeps_what_is_named_in_that_order():
    part = MIXED.only(reversed(MIXED.continuous))
    assert part.names == tuple(reversed(MIXED.continuous))
    assert all(part[name] is MIXED[name] for name in part)
    point = MIXED.only(())
    assert point.sample(np.random.default_rng(0)) == {} and point.to_natural({}).shape == (0,)
    with pytest.raises(KeyError, match="nothing"):
        MIXED.only(["nothing"])
