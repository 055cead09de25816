"""Processes that share a batch: each loads the networks once, then takes one item at a time.

A worker that dies costs nothing but its own item, which is tried once more.
"""

from __future__ import annotations

import logging
import signal
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from ..console import PACKAGE
from ..errors import BshmError, EngineError
from ..settings import Networks
from ..stills.files import Outcome
from ..stills.read import Item
from .missing import told
from .signals import ENDING, handled

TRIES = 2  # of an item whose worker died
LEAVE_S = 10.0  # that a worker has to close its networks when all is done
END_S = 0.7  # that workers have to take unfinished files away when the program shall end
Do = Callable[[Item], Outcome]
Found = Generator[tuple[Item, Outcome], None, None]
# What a worker sends: what its networks run on; a line of its log with its level; what
# became of its item; why it has no networks.
Message = str | tuple[int, str] | Outcome | BshmError

log = logging.getLogger(__name__)


class Work(Protocol):
    """What is done with every item of a batch. Other processes get a copy.

    `unit` is what its items are called, several of them.
    """

    @property
    def unit(self) -> str: ...
    @property
    def networks(self) -> Networks: ...
    def open(self, stack: ExitStack) -> tuple[str, Do]:
        """What it runs on, in words, and what does one item; closed with `stack`.

        Raises EngineError.
        """
        ...

    def key(self, item: Item) -> str:
        """A short text that is another one where what is done with the item is another one."""
        ...


class Crew(Protocol):
    """Who does a batch, between `with` and its end; `words` says on what, once one item is done."""

    words: str

    def __enter__(self) -> Crew: ...
    def __exit__(self, *_: object) -> None: ...
    def outcomes(self) -> Found:
        """In the order in which they come. Raises EngineError."""
        ...


def timed(do: Do, item: Item) -> Outcome:
    """The item's outcome, with the seconds that it took."""
    start = time.perf_counter()
    return replace(do(item), seconds=time.perf_counter() - start)


class Workers:
    """A batch's own processes, `count` at most at a time; all have ended after `with`."""

    def __init__(self, work: Work, items: Sequence[Item], count: int) -> None:
        self.words = ""  # what the networks run on
        self._work, self._waiting = work, deque(items)
        self._tries = {item.name: 0 for item in items}
        self._spare = count  # workers that may die while they load
        self._workers: dict[Connection, Worker] = {}
        self._left: list[Worker] = []
        for _ in range(min(count, len(items))):
            self._begin()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        """Who still works is told to end, in order if it can be had."""
        for worker in self._workers.values():
            worker.process.terminate()
        _join(self._workers.values(), END_S)
        _join(self._left, LEAVE_S)

    def outcomes(self) -> Found:
        """In the order in which they come. Raises EngineError where networks cannot be loaded."""
        while self._workers:
            for pipe in wait(list(self._workers)):
                worker = self._workers[pipe]  # type: ignore[index]
                message = worker.receive()
                if isinstance(message, Outcome):
                    assert worker.item is not None
                    yield worker.item, message
                    self._next(worker)
                elif isinstance(message, str):
                    self.words = message
                    self._next(worker)
                elif isinstance(message, tuple):
                    log.log(message[0], "%s", message[1])
                elif message is None:
                    yield from self._bury(worker)
                else:
                    raise message

    def _begin(self) -> None:
        worker = Worker(self._work)
        self._workers[worker.pipe] = worker

    def _next(self, worker: Worker) -> None:
        """The next item, or the end."""
        if self._waiting:
            worker.give(self._waiting.popleft())
        else:
            self._left.append(self._workers.pop(worker.pipe))
            worker.pipe.close()

    def _bury(self, worker: Worker) -> Iterator[tuple[Item, Outcome]]:
        """Another worker instead of one that died, and its item once more or given up."""
        del self._workers[worker.pipe]
        item, why = worker.item, worker.end()
        if item is None:
            self._spare -= 1
            if self._spare < 0:
                raise EngineError(f"workers end while they load ({why}); try fewer --workers")
        else:
            self._tries[item.name] += 1
            if self._tries[item.name] < TRIES:
                log.warning("%s: its worker died (%s); tried once more", item.where, why)
                self._waiting.appendleft(item)
            else:
                lost = f"{item.where}: its worker died twice ({why}); try fewer --workers"
                yield item, Outcome(item.where, error=EngineError(lost))
        if self._waiting:
            self._begin()


class Worker:
    """A process and the pipe to it; `item` is what it has in hand."""

    def __init__(self, work: Work) -> None:
        context = get_context("spawn")
        self.item: Item | None = None
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, work), daemon=True)
        with _masked():
            self.process.start()
        other.close()

    def give(self, item: Item) -> None:
        self.item = item
        with suppress(OSError):  # it is dead, which `receive` says
            self.pipe.send(item)

    def receive(self) -> Message | None:
        """None once it is dead."""
        try:
            message: Message = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return message

    def end(self) -> str:
        """How it died."""
        self.pipe.close()
        self.process.join()
        code = self.process.exitcode or 0
        if code < 0:
            with suppress(ValueError):
                return signal.Signals(-code).name
        return f"exit code {code}"


def _join(workers: Iterable[Worker], seconds: float) -> None:
    end = time.monotonic() + seconds
    for worker in workers:
        worker.process.join(max(0.0, end - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


@contextmanager
def _masked() -> Iterator[None]:
    """A process that is started inside it gets no signal before it handles them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- in the worker ----------------------------------------------------------------------------


class _Teller(logging.Handler):
    """The package's log goes to the program that started the worker."""

    def __init__(self, pipe: Any) -> None:
        super().__init__()
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        self._pipe.send((record.levelno, record.getMessage()))


def serve(pipe: Any, work: Work) -> None:
    """A worker's whole life; it ends when the other end of the pipe is closed."""
    logger = logging.getLogger(PACKAGE)
    logger.setLevel(logging.INFO)
    logger.addHandler(_Teller(pipe))
    with suppress(KeyboardInterrupt, EOFError, BrokenPipeError), handled(), ExitStack() as stack:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        try:
            with told():
                words, do = work.open(stack)
        except BshmError as error:
            pipe.send(error)
            return
        pipe.send(words)
        while True:
            pipe.send(timed(do, pipe.recv()))
