"""Who may reach the control page: the user's own browser, and in it our own page alone.

Every website in that browser, and every user of this machine, can reach a port of
loopback. So the other end of a connection must be a program of the same user, the Host
must be ours, a request must come from our own page, and all but the first call need a
cookie that no website can read or send.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .server import same

HOST = "127.0.0.1"
CONNECTIONS_MOST = 64  # at once
IDLE_S = 5  # a connection that says or takes nothing for so long is closed
REQUEST_S = 60.0  # for a whole request, and what becomes of it
SOCK_DIAG, BY_FAMILY, REQUEST = 4, 20, 1  # netlink's protocol, question and flag
HEAD_BYTES, UID_AT = 16, 80  # of a message; where in the answer the user stands
SAFE = {
    # Nothing from elsewhere, nobody else's frame, no type but the one that is said.
    "content-security-policy": (
        "default-src 'none'; img-src 'self' blob: data:; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'; connect-src 'self'; form-action 'none'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}

HANG_UP = {"connection": "close"}  # what the client still sends is not read
Address = tuple[str, int]  # host, port


class Door:
    """Middleware before everything else: lets a request in, or answers it itself."""

    def __init__(self, app: ASGIApp, port: int, token: str, secret: str) -> None:
        self._app, self._token, self._secret = app, token, secret
        self._cookie = f"bshm-live-{port}"  # a browser sends it to other ports of this host, too
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        self._origins = {f"http://{host}" for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # the server sends nothing else: it has no WebSockets
        app = self._refusal(Request(scope)) or self._app
        try:
            async with asyncio.timeout(REQUEST_S):
                await app(scope, receive, _with_safe_headers(send))
        except TimeoutError:
            pass  # the server closes what was not answered

    def _refusal(self, request: Request) -> Response | None:
        """What is answered instead; None: come in."""
        if request.headers.get("host") not in self._hosts:
            return Response("wrong host", 403, HANG_UP)
        origin = request.headers.get("origin")
        if origin is not None and origin not in self._origins:
            return Response("wrong origin", 403, HANG_UP)
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return Response("wrong site", 403, HANG_UP)
        if request.method not in ("GET", "HEAD") and origin is None:
            return Response("no origin", 403, HANG_UP)
        if "upgrade" in request.headers:
            return Response("no upgrade", 403, HANG_UP)
        token = request.query_params.get("token")
        if token is not None and request.url.path == "/":
            if not same(token, self._token):
                return Response("wrong token; type: bshm-live open", 403, HANG_UP)
            answer = RedirectResponse("/", 303)
            answer.set_cookie(self._cookie, self._secret, httponly=True, samesite="strict")
            return answer
        if not same(request.cookies.get(self._cookie, ""), self._secret):
            return Response("type: bshm-live open", 403, HANG_UP)
        return None


def _with_safe_headers(send: Send) -> Send:
    async def safe(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(key.encode(), value.encode()) for key, value in SAFE.items()]
            message = {**message, "headers": [*message.get("headers", []), *headers]}
        await send(message)

    return safe


class Connection(H11Protocol):
    """One connection: closed at once where there are too many or another user holds its
    other end, and when it brings no request, or takes no answer, for IDLE_S."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._left = 0  # bytes that it had yet to take
        self._timer = self.loop.call_later(IDLE_S, self._look)
        if len(self.connections) > CONNECTIONS_MOST or not self._is_own():
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _is_own(self) -> bool:
        if not self.client or not self.server:
            return False
        return is_own(self.client, (self.server[0], self.server[1] or 0))

    def _look(self) -> None:
        left = self.transport.get_write_buffer_size()
        if self.cycle is None or (left and left == self._left):
            self.transport.abort()
            return
        self._left = left
        self._timer = self.loop.call_later(IDLE_S, self._look)


def is_own(client: Address, server: Address) -> bool:
    """Whether a program of this user holds the client's end of a connection to `server`.

    Where the system does not tell, it is: there the token and the cookie say who may come in.
    An end that its program has closed belongs to nobody, which is told as root.
    """
    holder = _holder(client, server)
    if holder is None:
        return _holder(server, client) is None  # our own end, of which it would tell
    return holder == os.getuid()


def _holder(near: Address, far: Address) -> int | None:
    """The user to whom the near end of a connection belongs; None where Linux tells of none.

    It is asked about this one alone (man 7 sock_diag): its table of all takes milliseconds.
    """
    ports = struct.pack("!HH", near[1], far[1])
    hosts = b"".join(socket.inet_aton(end[0]).ljust(16, b"\0") for end in (near, far))
    any_interface, any_cookie = bytes(4), b"\xff" * 8
    of_tcp = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
    question = of_tcp + ports + hosts + any_interface + any_cookie
    head = struct.pack("=IHHII", HEAD_BYTES + len(question), BY_FAMILY, REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG) as system:
            system.settimeout(1)
            system.send(head + question)
            answer = system.recv(4096)
    except (OSError, AttributeError):  # it may not be asked, or this is no Linux
        return None
    kind = struct.unpack_from("=H", answer, 4)[0]
    return int(struct.unpack_from("=I", answer, UID_AT)[0]) if kind == BY_FAMILY else None
