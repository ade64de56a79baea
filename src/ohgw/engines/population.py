"""The population engine: every worker of every search a lane of a vmapped program.

All outstanding jobs train in lockstep, a training step at a time. A lane that reaches its
milestone is taken out at that very step, its state kept, and after at most `WAIT_STEPS` steps (or
once an eighth of the lanes wait) all waiting lanes are evaluated together and take what their
schedulers suggest next: a few large evaluations and probes cost much less than many small ones.

Lanes of one program share its shapes, so a task with discrete hyperparameters has a program for
each variant that is present, and all of them advance together.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ohgw.core.layout import Cluster
from ohgw.core.protocols import DifferentiableTask
from ohgw.core.trial import Configuration
from ohgw.engines.lanes import Lanes
from ohgw.engines.search import Job, SearchView
from ohgw.engines.states import Paused, StateStore, final_metrics, score, start
from ohgw.training.feed import Feed
from ohgw.warmstart.differentiable_probe import DifferentiableProbe

TURN_STEPS = 16
WAIT_STEPS = 8
WAIT_SHARE = 1 / 8

Values = tuple[Any, ...]  # of the discrete hyperparameters, in the space's order


class PopulationEngine:
    """Trains all outstanding jobs of a differentiable task, one program for each variant."""

    name = "population"

    def __init__(self, task: DifferentiableTask, *, compiled: bool = False) -> None:
        self.task, self.compiled = task, compiled
        self.probe = DifferentiableProbe(task, Feed(task))
        self.steps_per_unit = task.steps_per_epoch
        self.step_flops: float | None = self.probe.step_flops
        self.states = StateStore()
        self.searches: Sequence[SearchView] = ()
        self.variants: dict[Values, Lanes] = {}  # those that have lanes
        self._waiting: list[Job] = []  # trained, not evaluated yet
        self._waited = 0  # steps since the first of them came

    def bind(self, searches: Sequence[SearchView]) -> None:
        self.searches = searches
        self.probe.fit_beside(sum(search.workers for search in searches))

    def add(self, jobs: Sequence[Job]) -> None:
        by_variant: dict[Values, list[tuple[Job, SearchView, Paused]]] = defaultdict(list)
        for job in jobs:
            entry = job, self.searches[job.search], self._take(job)
            by_variant[self._values(job)].append(entry)
        for values, theirs in by_variant.items():
            self._lanes(values).add(theirs)

    def _take(self, job: Job) -> Paused:
        """The state a job starts from; a paused one is handed over, not copied."""
        search = self.searches[job.search]
        if job.start > 0:
            paused: Paused = self.states.paused.pop((job.search, job.trial))
            return paused
        probed, job.state = job.state, None
        task = self._variant(job.search, job.trial).task
        return start(task, search.streams, job.trial, search.recipe, probed)

    def _configuration(self, search: int, trial: int) -> Configuration:
        return self.searches[search].trials[trial].configuration

    def _variant(self, search: int, trial: int) -> DifferentiableProbe:
        return self.probe.of(self._configuration(search, trial))

    def _values(self, job: Job) -> Values:
        configuration = self._configuration(job.search, job.trial)
        return tuple(configuration[name] for name in self.task.space.discrete)

    def _lanes(self, values: Values) -> Lanes:
        if values not in self.variants:
            own = self.probe.of(dict(zip(self.task.space.discrete, values, strict=True)))
            self.variants[values] = Lanes(own.task, own.feed, compiled=self.compiled)
        return self.variants[values]

    def advance(self) -> None:
        for _ in range(TURN_STEPS):
            if self.tick():
                return

    def tick(self) -> bool:
        """A training step, and where it is time for it an evaluation: True after one."""
        occupied = sum(lanes.occupied for lanes in self.variants.values())
        self.step()
        self._waited += bool(self._waiting)
        enough = WAIT_SHARE * (occupied + len(self._waiting))
        if occupied and self._waited < WAIT_STEPS and len(self._waiting) <= enough:
            return False
        self._evaluate()
        self._shrink()
        return True

    def step(self) -> None:
        """One training step of every lane; keeps the states of those that are done."""
        for lanes in self.variants.values():
            if lanes.occupied:
                for job, paused in lanes.step():
                    self.states.paused[job.search, job.trial] = paused
                    self._waiting.append(job)

    def _evaluate(self) -> None:
        by_variant: dict[Values, list[Job]] = defaultdict(list)
        for job in self._waiting:
            by_variant[self._values(job)].append(job)
        for values, jobs in by_variant.items():
            thetas = [self.states.paused[job.search, job.trial].scored for job in jobs]
            found = score(self.variants[values].task, thetas)
            for job, metrics in zip(jobs, found, strict=True):
                job.metrics = metrics
        self._waiting, self._waited = [], 0

    def _shrink(self) -> None:
        for lanes in self.variants.values():
            lanes.shrink()
        self.variants = {values: lanes for values, lanes in self.variants.items() if lanes.table}

    def keep(self, search: int, trial: int) -> None:
        self.states.keep(search, trial)

    def forget(self, search: int, trial: int) -> None:
        self.states.forget(search, trial)

    def best(self, search: int) -> Paused | None:
        return self.states.bests.get(search)

    def test(self, search: int) -> dict[str, float]:
        best, incumbent = self.best(search), self.searches[search].incumbent
        if best is None or incumbent is None:
            return {}
        return final_metrics(self._variant(search, incumbent.trial).task, best.scored)

    def release(self, search: int) -> None:
        self.states.release(search)

    def usage(self) -> Cluster | None:
        return None

    def close(self) -> None:
        """It holds nothing."""

    def state_dict(self) -> dict[str, Any]:
        return {
            "states": self.states.state_dict(),
            "variants": [(values, lanes.state_dict()) for values, lanes in self.variants.items()],
            "waiting": [(job.search, job.trial) for job in self._waiting],
            "waited": self._waited,
        }

    def load_state_dict(self, state: dict[str, Any], jobs: dict[tuple[int, int], Job]) -> None:
        self.states.load_state_dict(state["states"])
        for values, lanes in state["variants"]:
            self._lanes(values).load_state_dict(lanes, jobs, self.searches)
        self._waiting = [jobs[key] for key in state["waiting"]]
        self._waited = state["waited"]
