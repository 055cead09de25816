"""A recording beside a call, which goes on when the recording cannot."""

from __future__ import annotations

import logging

from ..errors import SinkError
from ..types import Shot
from .video_file import VideoWriter

log = logging.getLogger(__name__)


class Recording:
    """A video file that is given up when it fails while it is written, with one line in the log.

    Raises SinkError only from `close`, when nobody is watching any more.
    """

    def __init__(self, writer: VideoWriter) -> None:
        self._writer = writer
        self._given_up = False
        self.needs_foreground = writer.needs_foreground

    def describe(self) -> str:
        return self._writer.describe()

    def send(self, shot: Shot) -> None:
        """Encodes the shot, if the recording still goes on."""
        if self._given_up:
            return
        try:
            self._writer.send(shot)
        except SinkError as error:
            self._given_up = True
            self.needs_foreground = False
            log.warning("%s; the call goes on without the recording", error)

    def close(self, *, ok: bool = True) -> None:
        self._writer.close(ok=ok)
