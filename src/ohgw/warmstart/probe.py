"""The seam between methods and who answers them: many conversations, many requests in one batch.

Every answer carries its work, which is always charged. Probes draw from streams of their own, so
training sees the same initialisations, mini-batches and noise with them and without them.
"""

from collections.abc import Generator, Sequence
from typing import Any, Protocol, TypeVar

from ohgw.core.streams import Streams
from ohgw.core.trial import Configuration
from ohgw.warmstart.method import Request, Result

Asked = tuple[Streams, Request]
T = TypeVar("T")


class Probe(Protocol):
    """Answers requests about one task, and says what it can answer and at which price.

    Work is in training steps of the task's reference.
    """

    gradients: bool
    rollouts: bool

    @property
    def at_once(self) -> int:
        """Conversations whose answers, with all their states, fit beside what trains."""
        ...

    def fit_beside(self, lanes: int) -> None:
        """Take no more memory than `lanes` configurations take that train side by side."""
        ...

    def of(self, configuration: Configuration) -> "Probe":
        """The probe of the configuration's variant; itself for a task without variants."""
        ...

    def visible(self, estimator: str, steps: int) -> frozenset[str]: ...

    def gradient_work(self, estimator: str, steps: int) -> float: ...

    def rollout_work(self, configurations: int, steps: int) -> float: ...

    def answer(self, asked: Sequence[Asked]) -> list[Result]: ...


def converse(
    probe: Probe, conversations: Sequence[tuple[Streams, Generator[Request, Any, T]]]
) -> list[T]:
    """Run generators of requests to their ends, answering those that wait together."""
    returned: list[T] = []
    for first in range(0, len(conversations), probe.at_once):
        returned += _converse(probe, conversations[first : first + probe.at_once])
    return returned


def _converse(
    probe: Probe, conversations: Sequence[tuple[Streams, Generator[Request, Any, T]]]
) -> list[T]:
    returned: dict[int, T] = {}
    inbox: dict[int, Any] = dict.fromkeys(range(len(conversations)))
    while inbox:
        waiting: list[tuple[int, Request]] = []
        for index, message in inbox.items():
            try:
                waiting.append((index, conversations[index][1].send(message)))
            except StopIteration as stop:
                returned[index] = stop.value
        results = probe.answer([(conversations[index][0], request) for index, request in waiting])
        inbox = {index: result for (index, _), result in zip(waiting, results, strict=True)}
    return [returned[index] for index in range(len(conversations))]
