"""A recording or a window beside a call, which goes on when that cannot."""

from __future__ import annotations

import logging

from ..errors import SinkError
from ..types import Shot, Sink

log = logging.getLogger(__name__)


class Beside:
    """A sink that is given up when it fails while the call runs, with one line in the log.

    `name` is what the call goes on without. `closed` where a person has closed its window.
    Raises SinkError only from `close`, when nobody is watching any more.
    """

    def __init__(self, sink: Sink, name: str) -> None:
        self.sink, self._name = sink, name
        self._given_up = False
        self.needs_foreground = sink.needs_foreground

    @property
    def closed(self) -> bool:
        return bool(getattr(self.sink, "closed", False))

    def describe(self) -> str:
        return self.sink.describe()

    def send(self, shot: Shot) -> None:
        """Hands the shot on, if the sink still takes any."""
        if self._given_up:
            return
        try:
            self.sink.send(shot)
        except SinkError as error:
            self._given_up = True
            self.needs_foreground = False
            log.warning("%s; the call goes on without %s", error, self._name)

    def close(self, *, ok: bool = True) -> None:
        self.sink.close(ok=ok)
