"""A picture from an http or https address, within a time and a number of bytes.

Both bounds hold for all that a server can send: they are kept where bytes arrive, below HTTP.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import httpcore

from ..errors import SourceError
from ..sources.picture import said

BYTES_MOST = 50_000_000  # of all answers together
WAIT = 20.0  # seconds without a byte
TIME = 120.0  # seconds for all of it
REDIRECTS_MOST = 10
REDIRECTS = (301, 302, 303, 307, 308)
READY_FOR_PATH = "%/:=&?~#+!$,;'@()*[]"  # letters of an address that stay as they are
HEADERS: dict[bytes | str, bytes | str] = {
    "User-Agent": "bshm-live",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
}


class TooMuchError(Exception):
    """More bytes than are taken from one address."""


class Allowance:
    """What is left of the time and of the bytes."""

    def __init__(self) -> None:
        self._end = time.monotonic() + TIME
        self._bytes = BYTES_MOST

    def wait(self) -> float:
        """Seconds to wait for the next byte. Raises httpcore.TimeoutException."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore.TimeoutException
        return min(WAIT, left)

    def take(self, data: bytes) -> bytes:
        self._bytes -= len(data)
        if self._bytes < 0:
            raise TooMuchError
        return data


class BoundedStream(httpcore.NetworkStream):
    """A connection that draws on an allowance; httpcore's own time-outs are not needed."""

    def __init__(self, stream: httpcore.NetworkStream, allowance: Allowance) -> None:
        self._stream, self._allowance = stream, allowance

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._allowance.take(self._stream.read(max_bytes, self._allowance.wait()))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._allowance.wait())

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        wait = self._allowance.wait()
        return BoundedStream(
            self._stream.start_tls(ssl_context, server_hostname, wait), self._allowance
        )

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class BoundedNetwork(httpcore.SyncBackend):
    """Connections that share one allowance."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        stream = super().connect_tcp(
            host, port, self._allowance.wait(), local_address, socket_options
        )
        return BoundedStream(stream, self._allowance)


def download(url: str) -> bytes:
    """What lies at an http or https address, also behind redirects. Raises SourceError.

    No word of a server's gets into a message.
    """
    most = f"{BYTES_MOST // 1_000_000} MB"
    try:
        return fetch(url, Allowance())
    except TooMuchError:
        raise SourceError(f"{url}: larger than {most}; save it to a file first") from None
    except httpcore.TimeoutException:
        raise SourceError(
            f"{url}: no answer in {WAIT:.0f} s or not all in {TIME:.0f} s; try again later"
        ) from None
    except httpcore.ProtocolError:
        raise SourceError(f"{url}: broke off or not proper HTTP; try again") from None
    except (httpcore.NetworkError, httpcore.ProxyError) as error:
        raise SourceError(f"{url}: no connection ({said(error)}); check the address") from None
    except (ValueError, httpcore.UnsupportedProtocol):
        raise SourceError(f"{url}: not an address; check it") from None


def fetch(url: str, allowance: Allowance) -> bytes:
    """The body behind at most REDIRECTS_MOST redirects; a redirect's own is not read."""
    place = url
    for _ in range(REDIRECTS_MOST + 1):
        target = ascii_address(place, url)
        with network(target, allowance) as pool, pool.stream("GET", target, headers=HEADERS) as got:
            if got.status not in REDIRECTS:
                return body(got, url)
            place = urljoin(target, field(got, b"location").decode("latin-1"))
    raise SourceError(f"{url}: redirected over {REDIRECTS_MOST} times; check the address")


def body(answer: httpcore.Response, url: str) -> bytes:
    if answer.status != HTTPStatus.OK:
        raise SourceError(f"{url}: the server says {status_text(answer.status)}; check the address")
    if int(field(answer, b"content-length") or 0) > BYTES_MOST:
        raise TooMuchError
    return b"".join(answer.iter_stream())


def field(answer: httpcore.Response, name: bytes) -> bytes:
    """A header's value; empty without it. `name` in small letters."""
    return next((value for key, value in answer.headers if key.lower() == name), b"")


def network(target: str, allowance: Allowance) -> httpcore.ConnectionPool:
    """Connections to the target, through the proxy that the environment names for it."""
    parts = urlsplit(target)
    backend = BoundedNetwork(allowance)
    proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
    if not proxy:
        return httpcore.ConnectionPool(network_backend=backend)
    way = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    login = (unquote(way.username), unquote(way.password or "")) if way.username else None
    place = f"{way.scheme}://{way.hostname}:{way.port or 80}"
    return httpcore.HTTPProxy(place, proxy_auth=login, network_backend=backend)


def ascii_address(place: str, url: str) -> str:
    """`place` as it goes over the wire. Raises SourceError, ValueError."""
    parts = urlsplit(place)
    if parts.scheme not in ("http", "https"):
        elsewhere = "" if place == url else "redirected to what is not http; "
        raise SourceError(f"{url}: {elsewhere}only http and https; save it to a file first")
    if not parts.hostname:
        raise ValueError
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    host = host.encode("idna").decode() + (f":{parts.port}" if parts.port else "")
    path, query = quote(parts.path, READY_FOR_PATH), quote(parts.query, READY_FOR_PATH)
    return urlunsplit((parts.scheme, host, path or "/", query, ""))


def status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
