"""What is wished while the program runs: opened beside the loop, taken between two frames."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import BshmError
from ..settings import Look, Networks

T = TypeVar("T")  # an opened Look
JOIN_S = 2.0  # what a closing program grants the thread


@dataclass(frozen=True)
class Wish:
    """A whole look and whole networks: nothing is changed piecemeal."""

    look: Look
    networks: Networks


@dataclass(frozen=True)
class Hands(Generic[T]):
    """What a desk does with a wish; each raises BshmError, and then nothing has changed.

    `open` makes what the loop takes of a look, `retire` gives back one that the loop has
    left, `load` prepares networks and returns what hands them to the loop, `tell` is told
    each look that the loop is about to take.
    """

    open: Callable[[Look], T]
    retire: Callable[[T], None]
    load: Callable[[Networks], Callable[[], None]]
    tell: Callable[[Look, T], None] = lambda look, stage: None


class Desk(Generic[T]):
    """Holds what is wished. A thread opens it; until that is done, and if it fails, the
    old one stays.

    `stage` is the loop's: called at the start of each frame. `wish` may be called from
    any thread; of several wishes that wait the newest counts.
    """

    def __init__(self, wish: Wish, stage: T, hands: Hands[T]) -> None:
        self.now = wish  # what the loop has, or takes next
        self._stage, self._hands = stage, hands
        self._next: T | None = None  # opened, and not yet taken
        self._left: list[T] = []  # by the loop: to be given back
        self._wish: tuple[Wish, Future[None]] | None = None
        self._closing = False
        self._news = threading.Condition(threading.RLock())  # of all of these
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)
        self._thread.start()

    def stage(self) -> T:
        """The look for the frame that begins now."""
        if self._next is not None:  # one look without the lock: nearly always there is nothing
            with self._news:
                if self._next is not None:
                    self._left.append(self._stage)
                    self._stage, self._next = self._next, None
                    self._news.notify_all()
        return self._stage

    @property
    def newest(self) -> T:
        """The look that was opened last, whether the loop has taken it or not."""
        with self._news:
            return self._stage if self._next is None else self._next

    def wish(self, wish: Wish) -> Future[None]:
        """Done when the loop will take it at its next frame; else its error."""
        answer: Future[None] = Future()
        with self._news:
            if self._wish is not None:
                self._wish[1].set_result(None)  # overtaken by this one
            self._wish = wish, answer
            self._news.notify_all()
        return answer

    def change(self, change: Callable[[Wish], Wish]) -> Future[None]:
        """As `wish`, from what is wished or there now. `change` raises SettingsError."""
        with self._news:
            return self.wish(change(self._wish[0] if self._wish else self.now))

    def close(self) -> None:
        """Ends the thread; what is open stays the loop's."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._closing or self._wish or self._left)
                if self._closing:
                    return
                left, self._left = self._left, []
                task, self._wish = self._wish, None
            for stage in left:
                self._hands.retire(stage)
            if task is not None:
                self._fulfil(*task)

    def _fulfil(self, wish: Wish, answer: Future[None]) -> None:
        try:
            self._open(wish)
        except BshmError as error:
            answer.set_exception(error)
        except BaseException as error:  # a bug: whoever waits for the answer must not wait for ever
            answer.set_exception(error)
            raise
        else:
            answer.set_result(None)

    def _open(self, wish: Wish) -> None:
        """Opens all that is new before any of it is handed over. Raises BshmError."""
        new_look = wish.look != self.now.look
        stage = self._hands.open(wish.look) if new_look else None
        try:
            hand_over = (
                self._hands.load(wish.networks) if wish.networks != self.now.networks else None
            )
        except BshmError:
            if stage is not None:
                self._hands.retire(stage)
            raise
        if hand_over is not None:
            hand_over()
        with self._news:
            if stage is not None:
                if self._next is not None:
                    self._left.append(self._next)  # never taken
                self._next = stage
            self.now = wish
        if stage is not None:
            self._hands.tell(wish.look, stage)
