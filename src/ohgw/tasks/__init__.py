"""Tasks: data, model and training step of one problem; one file per task, one line in the table.

Options follow a task's name after colons: `digits:label_noise=0.15:batch_size=32`.
"""

import torch

from ohgw.core.errors import SettingError
from ohgw.core.protocols import BlackBoxTask, DifferentiableTask
from ohgw.core.spec import read_spec
from ohgw.tasks._common import ClassificationTask
from ohgw.tasks.control._reinforcement import ReinforcementTask
from ohgw.tasks.control.acrobot import Acrobot
from ohgw.tasks.control.atari import Atari
from ohgw.tasks.control.cartpole import CartPole
from ohgw.tasks.language.charlm import CharLM
from ohgw.tasks.language.wikitext import WikiText
from ohgw.tasks.tabular.breast_cancer import BreastCancer
from ohgw.tasks.tabular.ft_transformer import FTTransformerTask
from ohgw.tasks.tabular.tabular import Tabular
from ohgw.tasks.tabular.xgboost import XGBoost
from ohgw.tasks.vision.cifar10 import Cifar10
from ohgw.tasks.vision.cifar100 import Cifar100
from ohgw.tasks.vision.digits import Digits
from ohgw.tasks.vision.fashion_mnist import FashionMNIST
from ohgw.tasks.vision.imagenet import ImageNet

TaskClass = type[ClassificationTask] | type[ReinforcementTask] | type[XGBoost]

TASKS: dict[str, TaskClass] = {
    Digits.name: Digits,
    BreastCancer.name: BreastCancer,
    Tabular.name: Tabular,
    FTTransformerTask.name: FTTransformerTask,
    XGBoost.name: XGBoost,
    CharLM.name: CharLM,
    FashionMNIST.name: FashionMNIST,
    Cifar10.name: Cifar10,
    Cifar100.name: Cifar100,
    ImageNet.name: ImageNet,
    WikiText.name: WikiText,
    CartPole.name: CartPole,
    Acrobot.name: Acrobot,
    Atari.name: Atari,
}
DIFFERENTIABLE = [name for name, task in TASKS.items() if issubclass(task, ClassificationTask)]
BUNDLED = [name for name in DIFFERENTIABLE if TASKS[name].bundled]  # and differentiable


def load(
    spec: str, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> DifferentiableTask | BlackBoxTask:
    """The named task with its data on `device`; `spec` becomes its name.

    Raises `UnknownNameError` for the name or an option, `SettingError` for a value, `DataError`
    where data that do not come with this package can neither be found nor downloaded, and
    `MissingExtraError` for a library that only an extra brings.
    """
    name, options = read_spec("task", spec, TASKS)
    task = TASKS[name](device, dtype, **options)
    if isinstance(task, ClassificationTask):
        _check_batch(task, spec)
    task.name = spec
    return task


def _check_batch(task: ClassificationTask, spec: str) -> None:
    if min(len(task.data[split][0]) for split in ("train", "val")) < task.batch_size:
        raise SettingError(
            f"Task {spec!r}: a mini-batch holds more than its training or validation data."
        )


def check_spec(spec: str) -> None:
    """What `load` raises for a name or an option, without loading any data."""
    read_spec("task", spec, TASKS)
