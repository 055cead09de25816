"""How a command reaches the running program: where it listens, and one line each way.

Where Unix sockets are, one in the user's own run-time folder, closed to all others. On
Windows a port of the loopback interface, with a token that stands in a file of the
user's. A request and its answer are one line of JSON each.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import SettingsError

NAME = "bshm-live"  # of a program that was given none
MOST_BYTES = 1 << 16  # of a request or an answer
WAIT_S = 5.0  # for an answer: a program that is stopped gives none
NAMES = re.compile(r"[A-Za-z0-9_.-]{1,40}")
HAS_UNIX = hasattr(socket, "AF_UNIX") and sys.platform != "win32"


def checked_name(name: str) -> str:
    """Raises SettingsError for what cannot be a file's name."""
    if not NAMES.fullmatch(name) or name.startswith("."):
        raise SettingsError(f"--name {name}: letters, digits, - _ and . only, 40 at most")
    return name


def folder() -> Path:
    """The user's own folder for sockets, made where it is missing. Raises SettingsError.

    Only the user may enter it: a folder that somebody else made is refused.
    """
    run = os.environ.get("XDG_RUNTIME_DIR")
    user = getattr(os, "getuid", lambda: "user")()
    place = Path(run) / NAME if run else Path(tempfile.gettempdir()) / f"{NAME}-{user}"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise SettingsError(
            f"{place}: no place for the control socket ({error.strerror})"
        ) from None
    if HAS_UNIX and (found.st_uid != os.getuid() or found.st_mode & 0o077 or place.is_symlink()):
        raise SettingsError(f"{place} is open to others; remove it, or set XDG_RUNTIME_DIR")
    return place


def address(name: str) -> Path:
    """The socket's place, or the file that tells the port and the token."""
    return folder() / f"{checked_name(name)}.{'socket' if HAS_UNIX else 'port'}"


def ask(name: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """What the running program answers. Raises SettingsError where none runs or it refuses."""
    place = address(name)
    try:
        with _connected(place) as (line, token):
            line.sendall(encoded({**request, **token}))
            answer = _line(line)
    except TimeoutError:
        raise SettingsError(f"the bshm-live called {name} does not answer; stop it") from None
    except (OSError, ValueError):
        running = sorted(other.stem for other in place.parent.glob(f"*{place.suffix}"))
        also = f" (running: {', '.join(running)}; choose with --name)" if running else ""
        raise SettingsError(f"no bshm-live called {name} is running{also}") from None
    if error := answer.get("error"):
        raise SettingsError(str(error))
    return answer


def encoded(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


@contextmanager
def _connected(place: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """A connection, and what a request must also carry. Raises OSError, ValueError."""
    if HAS_UNIX:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(WAIT_S)
            line.connect(str(place))
            yield line, {}
        return
    told = json.loads(place.read_text("utf-8"))
    with socket.create_connection(("127.0.0.1", int(told["port"])), WAIT_S) as line:
        yield line, {"token": told["token"]}


def _line(connection: socket.socket) -> dict[str, Any]:
    """One line of JSON. Raises OSError, ValueError."""
    data = bytearray()
    while not data.endswith(b"\n"):
        part = connection.recv(MOST_BYTES)
        if not part or len(data) > MOST_BYTES:
            raise ValueError("cut short")
        data += part
    answer = json.loads(data)
    if not isinstance(answer, dict):
        raise ValueError("not an answer")
    return answer
