"""Studies by name and overrides: what is composed, and what is refused before any compute."""

from pathlib import Path

import pytest
import yaml

from ohgw.core.errors import SettingError, UnknownNameError
from ohgw.core.layout import StudyPlan, to_yaml
from ohgw.study.configuration import compose_study, study_names

CONF = Path(__file__).parent / "conf"
PACKAGED = {"exp1", "exp2", "breadth", "ablations", "transfer", "scaling", "desk", "method"}


def by_id(plan):
    return {cell.id: cell for cell in plan.cells}


def test_the_shipped_studies_are_those_of_the_specification():
    assert set(study_names()) == PACKAGED


@pytest.mark.parametrize("name", ["ablations", "scaling", "desk", "transfer"])
def test_a_shipped_study_composes_and_survives_its_file(name):
    plan = compose_study(name)
    for cell in plan.cells:
        labels = [arm.label for arm in cell.plan.arms]
        assert labels[0] == "vanilla/plain"  # the targets' arm
        assert set(cell.run_ids) == set(labels)
        assert cell.plan.calibration_seeds
        recipes = {arm.recipe for arm in cell.plan.arms}
        assert {f"vanilla/{recipe}" for recipe in recipes} <= set(labels)
    assert StudyPlan.model_validate(yaml.safe_load(to_yaml(plan))) == plan


@pytest.mark.parametrize(
    ("name", "cells", "run"),
    [
        ("exp1", 3, None),
        ("exp2", 2, "pasha-ohgw-vision-tuned-eta"),
        ("breadth", 40, None),
    ],
)
def test_the_large_studies_have_a_small_form(miniature, name, cells, run):
    pytest.importorskip("tokenizers", reason="the extra 'transformers' is not installed")
    tiny = "tasks.cifar10.smoke.spec='cifar10:depth=8:width=4:examples=160:batch_size=8'"
    small = compose_study(name, [tiny], smoke=True)
    assert len(small.cells) == cells
    assert all("examples" in c.plan.task or c.plan.budget < 10 for c in small.cells)
    assert run is None or run in {i for cell in small.cells for i in cell.run_ids.values()}


def test_smoke_keeps_every_cell_and_arm_and_shrinks_seeds_and_budget():
    whole, smoke = by_id(compose_study("desk")), by_id(compose_study("desk", smoke=True))
    assert whole.keys() == smoke.keys()
    for name, cell in smoke.items():
        assert cell.plan.arms == whole[name].plan.arms
        assert len(cell.plan.seeds) <= 2 and cell.plan.budget < whole[name].plan.budget


def test_overrides_reach_the_cells():
    overrides = ["seeds=3", "~blocks.eta", "blocks.main.scheduler=[bohb]", "engine=serial"]
    plan = compose_study("tiny", overrides, config_dir=CONF)
    (cell,) = plan.cells
    assert cell.id == "main.breast-cancer.bohb.w4"
    assert cell.plan.seeds == (0, 1, 2) and cell.plan.engine == "serial"
    assert plan.overrides == tuple(overrides)


def test_a_task_of_the_block_keeps_its_options_and_its_tasks_budget():
    plan = compose_study("tiny", ["blocks.eta.task=['digits:label_noise=0.1']"], config_dir=CONF)
    cell = by_id(plan)["eta.digits_label_noise=0_1.asha.w4"]
    assert cell.plan.task == "digits:label_noise=0.1"


def test_a_sweep_knows_its_setting_by_arm_by_task_and_by_workers():
    swept = by_id(compose_study("desk"))
    eta = swept["eta.breast-cancer.asha.w4"].sweep
    assert eta.value is None and eta.values["ohgw:eta=3e-4/plain"] == 3e-4
    assert swept["scaling.breast-cancer.asha.w64"].sweep.value == 64
    noise = [cell.sweep.value for cell in swept.values() if cell.block == "noise"]
    assert noise == [0.05, 0.15]


@pytest.mark.parametrize(
    ("overrides", "kind", "message"),
    [
        (["sed=3"], SettingError, "sed"),
        (["seeds=few"], SettingError, "seeds"),
        (["seeds"], SettingError, "key=value"),
        (["blocks.main.tsk=[digits]"], SettingError, "tsk"),
        (["blocks.main.task=[digit]"], UnknownNameError, "Did you mean 'digits'"),
        (["blocks.main.scheduler=[ahsa]"], UnknownNameError, "asha"),
        (["blocks.main.method=['ohgw:et=2']"], UnknownNameError, "eta"),
        (["blocks.main.method=[vanilla/plane]"], UnknownNameError, "plain"),
        (["blocks.eta.sweep=gamma"], SettingError, "gamma"),
        (["blocks.main.budget=0.5"], SettingError, "0.5"),
        (["+blocks.main.run_ids.ohgw=x"], UnknownNameError, "run_ids of block 'main' 'ohgw'"),
        (["~blocks.main", "~blocks.eta"], SettingError, "no cell"),
        (["blocks.main.scheduler=[asha,asha]"], SettingError, "same"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(overrides, kind, message):
    with pytest.raises(kind, match=message):
        compose_study("tiny", overrides, config_dir=CONF)


def test_an_unknown_study_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'desk'"):
        compose_study("dekc")
