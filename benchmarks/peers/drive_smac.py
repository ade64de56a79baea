"""SMAC's multi-fidelity facade (random forest, Hyperband), asked and told.

`save=False`: without it, every tell writes the whole history to disk.
"""

from collections.abc import Iterator
from tempfile import TemporaryDirectory

from _serve import ETA, MAX_RESOURCE, MIN_RESOURCE, SPACE, loss, serve
from ConfigSpace import ConfigurationSpace, Float
from smac import MultiFidelityFacade, Scenario
from smac.runhistory.dataclasses import TrialValue


def decisions(seed: int) -> Iterator[bool]:
    space = ConfigurationSpace(seed=seed)
    space.add(*(Float(name, (low, high), log=log) for name, (low, high, log) in SPACE.items()))
    with TemporaryDirectory() as folder:
        scenario = Scenario(
            space,
            output_directory=folder,
            deterministic=True,
            n_trials=1_000_000,
            min_budget=MIN_RESOURCE,
            max_budget=MAX_RESOURCE,
            seed=seed,
        )
        smac = MultiFidelityFacade(
            scenario,
            intensifier=MultiFidelityFacade.get_intensifier(scenario, eta=ETA),
            logging_level=False,
            overwrite=True,
        )
        seen = set()
        while True:
            info = smac.ask()
            score = loss(info.config, round(info.budget))
            smac.tell(info, TrialValue(cost=score), save=False)
            yield info.config not in seen
            seen.add(info.config)


if __name__ == "__main__":
    serve("smac", {"multi-fidelity": decisions})
