"""A batch on a Ray cluster: each item is one of Ray's own tasks, on any node.

Ray does a task again elsewhere where its worker or its node is lost. All nodes have the
inputs and the output folder at the same paths, and bshm-live installed.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack

import ray
from ray.exceptions import RayError, RayTaskError

from ..errors import BshmError, EngineError, SettingsError, SourceError
from ..stills.files import Outcome
from ..stills.read import Item
from .workers import Do, Found, Work, timed

ANSWER_S = 5.0
RETRIES = 3  # of a task whose worker or node is lost

_here: list[tuple[str, Do]] = []  # in a Ray worker, which serves one batch: the open networks


class Cluster:
    """All tasks wait at the cluster from the start; see workers.Crew.

    Each takes `threads` of a node's cores. Raises SettingsError where no cluster answers.
    """

    def __init__(self, work: Work, items: Sequence[Item], address: str, threads: int) -> None:
        self.words = ""
        try:
            _check_answers(address)
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, OverflowError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise SettingsError(f"--ray {address}: no cluster answers ({reason})") from None
        task = ray.remote(max_retries=RETRIES, num_cpus=threads)(do_there)
        given = ray.put(work)
        self._left = {task.remote(given, item, os.getcwd()): item for item in items}

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        """Tasks that are left end with the connection."""
        ray.shutdown()

    def outcomes(self) -> Found:
        while self._left:
            (ready, *_), _ = ray.wait(list(self._left))
            item = self._left.pop(ready)
            try:
                self.words, outcome = ray.get(ready)
            except RayTaskError as error:
                if isinstance(error.cause, BshmError):  # no networks there
                    raise error.cause from None
                raise
            except RayError as error:
                lost = f"{item.where}: its workers died ({type(error).__name__}); try again"
                outcome = Outcome(item.where, error=EngineError(lost))
            yield item, outcome


def _check_answers(address: str) -> None:
    """Whether anybody listens there: Ray itself takes minutes to say so. Raises OSError."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if port.isascii() and port.isdigit():  # else it is a word of Ray's, such as auto
        socket.create_connection((host, int(port)), ANSWER_S).close()


def do_there(work: Work, item: Item, folder: str) -> tuple[str, Outcome]:
    """What the networks run on, and the item's outcome; `folder` is where paths begin.

    Raises EngineError, and SourceError where the folder is not there.
    """
    if not _here:
        try:
            os.chdir(folder)
        except OSError as error:
            raise SourceError(
                f"{folder}: not on every node ({error.strerror}); work in a folder that they share"
            ) from None
        _here.append(work.open(ExitStack()))
    words, do = _here[0]
    return words, timed(do, item)
