"""A process of this machine that carries out commands of this one, and this one's end of it."""

import multiprocessing as mp
import pickle
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Literal, Never

import torch

from ohgw.core.errors import WorkerError
from ohgw.engines.process import tuned_process


class Child:
    """`make()` is called in the child, before its first command; its methods are the commands.

    Those that return something answer; an exception is the answer of the command that raised it.
    `engine` is whose the child is, in messages; `advice` says what to do should it be gone.
    """

    def __init__(
        self,
        way: Literal["fork", "spawn"],
        make: Callable[[], Any],
        *,
        threads: int,
        engine: str,
        advice: str,
    ) -> None:
        context: Any = mp.get_context(way)
        self._engine, self._advice = engine, advice
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, threads), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, command: str, *content: Any) -> None:
        # Plain pickles: multiprocessing's own would hand tensors over as open files.
        try:
            self._connection.send_bytes(pickle.dumps((command, content)))
        except OSError:
            self._gone()

    def answer(self) -> Any:
        try:
            answer = pickle.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            self._gone()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _gone(self) -> Never:
        self._process.join(1.0)
        raise WorkerError(
            f"A process of engine {self._engine!r} ended with exit code {self._process.exitcode}. "
            f"{self._advice} --resume goes on from the last snapshot."
        ) from None

    def close(self) -> None:
        self._connection.close()  # the child ends where its input does
        self._process.join(1.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, make: Callable[[], Any], threads: int) -> None:
    """A child's life: carries out commands until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent decides what Ctrl-C means
    torch.set_num_threads(threads)
    with tuned_process():
        servant: Any = None
        while True:
            try:
                command, content = pickle.loads(connection.recv_bytes())
            except EOFError:
                return
            try:
                servant = servant or make()
                answer = getattr(servant, command)(*content)
            except Exception as error:
                answer = error
            if answer is not None:
                connection.send_bytes(pickle.dumps(answer))
