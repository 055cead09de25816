"""Everything that can go wrong for a user, with the exit code of each.

BshmError
 |- SettingsError   2   what was asked for makes no sense
 |- SourceError     3   no frames: camera, file, address
 |- EngineError     4   no matte: networks, runtimes
 `- SinkError       5   nowhere to put it: virtual camera, file, window

The text is one line: what failed, then what to try. Any other exception is a
bug in this program and keeps its traceback.
"""

from __future__ import annotations


class BshmError(Exception):
    """Base of all errors that a user can mend."""

    exit_code = 1


class SettingsError(BshmError):
    exit_code = 2


class SourceError(BshmError):
    exit_code = 3


class EngineError(BshmError):
    exit_code = 4


class SinkError(BshmError):
    exit_code = 5
