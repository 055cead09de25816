"""Listens for commands while the program runs, in a thread of its own."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import secrets
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import BshmError, SettingsError
from .wire import HAS_UNIX, MOST_BYTES, address, encoded

log = logging.getLogger(__name__)

READ_S = 2.0  # a client that says nothing for so long is left
MOST_CLIENTS = 32  # at once; more are turned away
START_S, JOIN_S = 5.0, 2.0
TOKEN_BYTES = 16

Answer = Callable[[dict[str, Any]], dict[str, Any]]  # may raise BshmError


class Server:
    """Answers requests from programs of the same user, until it is closed.

    `answer` is called in the server's thread. Raises SettingsError where another program
    of that name listens already.
    """

    def __init__(self, name: str, answer: Answer) -> None:
        self.name, self._answer = name, answer
        self._place = address(name)
        self._token = "" if HAS_UNIX else secrets.token_hex(TOKEN_BYTES)
        self._socket = _listening(self._place, name)
        if not HAS_UNIX:
            _tell_port(self._place, self._socket, self._token)
        self._clients = 0
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening and takes the socket away."""
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(JOIN_S)
        self._socket.close()
        self._place.unlink(missing_ok=True)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        start = asyncio.start_unix_server if HAS_UNIX else asyncio.start_server
        server = await start(self._client, sock=self._socket, limit=MOST_BYTES)
        await self._end.wait()
        server.close()
        clients = asyncio.all_tasks() - {asyncio.current_task()}
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await asyncio.sleep(0)  # so that their connections close

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= MOST_CLIENTS and _is_ours(writer):
                line = await asyncio.wait_for(reader.readline(), READ_S)
                writer.write(encoded(await asyncio.to_thread(self._reply, line)))
                await asyncio.wait_for(writer.drain(), READ_S)
        except (OSError, ValueError, TimeoutError, asyncio.CancelledError):
            pass  # the client is gone, too slow, or says too much
        finally:
            self._clients -= 1
            writer.close()

    def _reply(self, line: bytes) -> dict[str, Any]:
        """What a request gets: an answer, or the error in one line."""
        try:
            request = json.loads(line)
        except ValueError:
            return {"error": "not a request"}
        if not isinstance(request, dict):
            return {"error": "not a request"}
        if not same(str(request.pop("token", "")), self._token):
            return {"error": "wrong token"}
        try:
            return self._answer(request)
        except BshmError as error:
            return {"error": str(error)}


def same(given: str, kept: str) -> bool:
    """Whether they are the same, in a time that does not tell how much of it is."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), kept.encode())


def _listening(place: Path, name: str) -> socket.socket:
    """The socket. One that a program left behind when it crashed is taken away."""
    if not HAS_UNIX:
        return socket.create_server(("127.0.0.1", 0))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(OSError):
        probe.connect(str(place))
        raise SettingsError(f"a bshm-live called {name} runs already; give this one another --name")
    place.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(place))
    except OSError as error:
        listener.close()
        raise SettingsError(f"{place} cannot be made ({error.strerror or error})") from None
    finally:
        os.umask(before)
    listener.listen(MOST_CLIENTS)
    return listener


def _tell_port(place: Path, listener: socket.socket, token: str) -> None:
    """Writes the port and the token where only the user can read them."""
    text = json.dumps({"port": listener.getsockname()[1], "token": token})
    place.unlink(missing_ok=True)
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _is_ours(writer: asyncio.StreamWriter) -> bool:
    """Whether the client runs as the same user; where the system cannot tell, the token does."""
    line = writer.get_extra_info("socket")
    option = getattr(socket, "SO_PEERCRED", None)
    if not HAS_UNIX or option is None:
        return True
    _, user, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, option, 12))
    return bool(user in (os.getuid(), 0))
