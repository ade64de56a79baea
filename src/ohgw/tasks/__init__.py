"""Tasks: data, model and training step of one problem; one file per task, one line in the table.

Options follow a task's name after colons: `digits:label_noise=0.15:batch_size=32`.
"""

import torch

from ohgw.core.errors import SettingError
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.spec import read_spec
from ohgw.tasks._common import ClassificationTask
from ohgw.tasks.breast_cancer import BreastCancer
from ohgw.tasks.charlm import CharLM
from ohgw.tasks.cifar10 import Cifar10
from ohgw.tasks.digits import Digits
from ohgw.tasks.wikitext import WikiText

TASKS: dict[str, type[ClassificationTask]] = {
    Digits.name: Digits,
    BreastCancer.name: BreastCancer,
    CharLM.name: CharLM,
    Cifar10.name: Cifar10,
    WikiText.name: WikiText,
}


def load(
    spec: str, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> DifferentiableTask:
    """The named task with its data on `device`; `spec` becomes its name.

    Raises `UnknownNameError` for the name or an option, `SettingError` for a value, and
    `DataError` where data that do not come with this package can neither be found nor downloaded.
    """
    name, options = read_spec("task", spec, TASKS)
    task = TASKS[name](device, dtype, **options)
    if min(len(task.data[split][0]) for split in ("train", "val")) < task.batch_size:
        raise SettingError(
            f"Task {spec!r}: a mini-batch holds more than its training or validation data."
        )
    task.name = spec
    return task


def check_spec(spec: str) -> None:
    """What `load` raises for a name or an option, without loading any data."""
    read_spec("task", spec, TASKS)
