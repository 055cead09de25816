"""The control page: what runs, seen and changed in the browser of whoever started it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from ..errors import BshmError
from ..files import write_whole
from ..sources.clock import step_back
from .door import HANG_UP, HOST, IDLE_S, Connection, Door
from .gallery import BYTES_MOST, Gallery
from .wire import folder

PAGE = Path(__file__).parents[1] / "assets" / "page.html"
BODY_MOST = 1 << 16  # bytes of a request that is no upload
SECRET_BYTES = 24
JOIN_S = 3.0

Answer = Callable[[dict[str, Any]], dict[str, Any]]  # may raise BshmError

logging.getLogger("uvicorn").addHandler(logging.NullHandler())  # what a client does is no news


class Page:
    """Serves the page in a thread of its own, until it is closed.

    `answer` is asked as by a command, `preview` gives a JPEG of the composite or None.
    Raises OSError where no port can be had.
    """

    def __init__(
        self, name: str, answer: Answer, gallery: Gallery, preview: Callable[[], bytes | None]
    ) -> None:
        self._answer, self._gallery, self._preview = answer, gallery, preview
        self._adding = asyncio.Lock()  # one upload at a time: they cannot fill the disk together
        # Pictures are decoded one after the other, and only when the networks leave time.
        self._worker = ThreadPoolExecutor(1, "gallery", initializer=step_back)
        self._socket, secret = _bound(name)
        port = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(SECRET_BYTES)
        self.address = f"http://{HOST}:{port}/?token={token}"
        config = uvicorn.Config(
            self._app(port, token, secret),
            http=Connection,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=1,
            server_header=False,
            proxy_headers=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="control page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(JOIN_S)
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._socket.close()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        # Signals are the program's: uvicorn takes none outside the main thread.
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def _app(self, port: int, token: str, secret: str) -> Starlette:
        routes = [
            Route("/", self._page),
            Route("/status", self._status),
            Route("/set", self._set, methods=["POST"]),
            Route("/preview.jpg", self._picture),
            Route("/backgrounds", self._backgrounds),
            Route("/backgrounds", self._add, methods=["POST"]),
            Route("/thumbs/{key}", self._thumb),
        ]
        door = Middleware(Door, port=port, token=token, secret=secret)
        return Starlette(routes=routes, middleware=[door], exception_handlers={BshmError: _told})

    async def _page(self, request: Request) -> Response:
        return FileResponse(PAGE, media_type="text/html")

    async def _status(self, request: Request) -> Response:
        return _json(await asyncio.to_thread(self._answer, {"status": True}))

    async def _set(self, request: Request) -> Response:
        body = bytearray()
        async for part in _limited(request, BODY_MOST):
            body += part
        try:
            words = json.loads(body)["set"]
        except (ValueError, KeyError, TypeError):
            raise HTTPException(400) from None
        if not isinstance(words, list):
            raise HTTPException(400)
        return _json(await asyncio.to_thread(self._answer, {"set": words}))

    async def _picture(self, request: Request) -> Response:
        picture = await asyncio.to_thread(self._preview)
        return Response(status_code=204) if picture is None else _jpeg(picture)

    async def _backgrounds(self, request: Request) -> Response:
        files = await asyncio.to_thread(self._gallery.files)
        return _json({"files": files, "most_bytes": BYTES_MOST})

    async def _thumb(self, request: Request) -> Response:
        return _jpeg(await self._work(self._gallery.thumb, request.path_params["key"]))

    async def _add(self, request: Request) -> Response:
        """The body is the file, its name stands in the query."""
        name = request.query_params.get("name", "")
        try:
            async with self._adding:
                await self._receive(request, name)
        except OSError as error:
            raise self._gallery.unwritable(error) from None
        return _json({"done": True})

    async def _receive(self, request: Request, name: str) -> None:
        """Written as it comes, kept once it is whole and can be shown."""
        part = self._gallery.begin(name)
        try:
            with part.path.open("wb") as file:
                async for data in _limited(request, BYTES_MOST):
                    file.write(data)
            await self._work(self._gallery.finish, part, name)
        finally:
            part.drop()

    async def _work(self, function: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *given)


async def _limited(request: Request, most: int) -> AsyncIterator[bytes]:
    """The request's body as it comes, and an error once it is more than `most` bytes."""
    too_large = HTTPException(413, headers=HANG_UP)
    if int(request.headers.get("content-length", 0)) > most:
        raise too_large
    count = 0
    async for part in request.stream():
        count += len(part)
        if count > most:
            raise too_large
        yield part


def _jpeg(picture: bytes) -> Response:
    return Response(picture, media_type="image/jpeg")


def _json(content: dict[str, Any], status: int = 200) -> Response:
    """In ASCII: a file's name need not be UTF-8."""
    return Response(json.dumps(content), status, media_type="application/json")


async def _told(request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


def _bound(name: str) -> tuple[socket.socket, str]:
    """A socket on loopback, and the cookie's secret. Raises OSError.

    Both as the last time, so that an open page finds the program again. On another port
    the secret is a new one: whoever took the old port may have been shown the old one.
    """
    with suppress(OSError):
        port, secret = _kept(name)
        return _listener(port), secret
    listener, secret = _listener(0), secrets.token_urlsafe(SECRET_BYTES)
    _keep(name, listener.getsockname()[1], secret)
    return listener, secret


def _listener(port: int) -> socket.socket:
    """A socket on loopback that no other program can share. Raises OSError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Windows would let another program take the port over, the others only wait longer.
    exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    listener.setsockopt(socket.SOL_SOCKET, exclusive or socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()  # who comes before the server is up waits for it
    except OSError:
        listener.close()
        raise
    return listener


def _kept(name: str) -> tuple[int, str]:
    """Port and secret of the last run. Raises OSError where there are none."""
    try:
        found = json.loads((folder() / f"{name}.page").read_text("utf-8"))
        return int(found["port"]), str(found["secret"])
    except (BshmError, ValueError, KeyError, TypeError) as error:
        raise OSError(f"nothing is kept: {error}") from None


def _keep(name: str, port: int, secret: str) -> None:
    """In the folder that only the user can enter; without it a page has to be opened anew."""
    with suppress(OSError, BshmError):
        place = folder() / f"{name}.page"
        write_whole(place, json.dumps({"port": port, "secret": secret}).encode())
        os.chmod(place, 0o600)
