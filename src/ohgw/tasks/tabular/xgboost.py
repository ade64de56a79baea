"""`xgboost`: a table with gradient boosted trees (Chen & Guestrin 2016), a black box.

Data: `_tables`, as `tabular`. Needs the extra `xgboost`.
Model: trees of XGBoost's histogram method, ten for each unit of resource.
Training: there is no mini-batch, no parameter vector and so no hypergradient; nor is there a
cheaper look at a configuration than a part of its training, so that probes stand aside.
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from ohgw.core.errors import MissingExtraError
from ohgw.core.protocols import Metric
from ohgw.core.space import Float, Int, Space
from ohgw.core.trial import Configuration
from ohgw.tasks._common import check_count, check_share, corrupted
from ohgw.tasks.tabular._tables import check_table, read_table

ROUNDS = 10  # of boosting, for each unit of resource


class Boosted(NamedTuple):
    """A model in training: XGBoost's own bytes once there are trees."""

    seed: int
    resource: int = 0
    model: bytes | None = None


class XGBoost:
    """Tables as tabular's, by boosted trees; a black box."""

    name = "xgboost"
    small = "xgboost:data=letter:examples=2000"
    bundled = False
    space = Space(
        {
            "learning_rate": Float(0.01, 1.0, log=True),
            "max_depth": Int(2, 10),
            "min_child_weight": Float(0.1, 100.0, log=True),
            "subsample": Float(0.5, 1.0),
            "colsample_bytree": Float(0.5, 1.0),
            "reg_lambda": Float(1e-3, 100.0, log=True),
        }
    )
    metric = Metric("loss", "min")
    min_resource = 1
    max_resource = 27

    def __init__(
        self,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        label_noise: float = 0.0,
        data: str | int = "adult",
        examples: int | None = None,
    ):
        """`dtype` is of no account: XGBoost computes in single precision.

        Raises `MissingExtraError` where XGBoost is not installed, and what `tabular` raises.
        """
        try:
            import xgboost
        except ImportError:
            raise MissingExtraError(f"Task {self.name!r}", "xgboost") from None
        check_share(self.name, "label_noise", label_noise)
        check_table(self.name, data)
        if examples is not None:
            check_count(self.name, "examples", examples)
        self._library = xgboost
        self.table = read_table(data, examples)
        self.device = torch.device(device)
        parts = dict(self.table.splits)
        x, y = parts["train"]
        parts["train"] = x, corrupted(y, label_noise)
        self._matrices = {split: xgboost.DMatrix(x, label=y) for split, (x, y) in parts.items()}

    @property
    def source(self) -> str:
        """What the data were read from."""
        return self.table.origin

    def initial_state(self, seed: int) -> Boosted:
        return Boosted(seed)

    def train(
        self, configuration: Configuration, state: Boosted, resource: int
    ) -> tuple[Boosted, dict[str, float]]:
        """With so many units of trees, whatever the parts in which they are asked for.

        XGBoost's random numbers begin anew with every call: a call for each unit, with a seed of
        its own, makes a pause leave no trace.
        """
        booster = self._booster(state)
        for unit in range(state.resource, resource):
            booster = self._library.train(
                self._settings(configuration, (state.seed + unit) % 2**31),
                self._matrices["train"],
                num_boost_round=ROUNDS,
                xgb_model=booster,
            )
        after = Boosted(state.seed, resource, bytes(booster.save_raw()))
        return after, self._metrics(booster, "val")

    def test(self, state: Boosted) -> dict[str, float]:
        return self._metrics(self._booster(state), "test")

    def _settings(self, configuration: Configuration, seed: int) -> dict[str, Any]:
        classes = len(self.table.classes)
        goal = {"objective": "multi:softprob", "num_class": classes}
        return {
            **configuration,
            **(goal if classes else {"objective": "reg:squarederror"}),
            "tree_method": "hist",
            "device": str(self.device),
            "nthread": torch.get_num_threads(),
            "seed": seed,
        }

    def _booster(self, state: Boosted) -> Any:
        if state.model is None:
            return None
        booster = self._library.Booster()
        booster.load_model(bytearray(state.model))
        return booster

    def _metrics(self, booster: Any, split: str) -> dict[str, float]:
        """Loss with accuracy, or with the root mean squared error in the target's own unit."""
        found, y = booster.predict(self._matrices[split]), self.table.splits[split][1]
        if not self.table.classes:
            loss = float(np.mean((found - y) ** 2))
            return {"loss": loss, "rmse": loss**0.5 * self.table.unit}
        of_target = np.maximum(found[np.arange(len(y)), y], np.finfo(found.dtype).tiny)
        return {
            "loss": float(-np.log(of_target).mean()),
            "accuracy": float((found.argmax(1) == y).mean()),
        }
