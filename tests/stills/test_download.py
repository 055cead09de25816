from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np
import pytest
from conftest import portrait

from bshm_live.errors import SourceError
from bshm_live.stills import download as module
from bshm_live.stills.download import ascii_address, download
from bshm_live.stills.read import read_still

Talk = Callable[[socket.socket, str], None]
PICTURE = cv2.imencode(".png", portrait().picture)[1].tobytes()
ROUNDS = 4000  # no answer of a test goes on for ever


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def answer(body: bytes = b"", status: str = "200 OK", **fields: object) -> bytes:
    fields.setdefault("Content_Length", len(body))
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body


@contextmanager
def serving(talk: Talk) -> Iterator[str]:
    """A server on 127.0.0.1: `talk` gets each connection and the path that was asked for."""
    over = threading.Event()

    def converse(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += connection.recv(65536)
            talk(connection, asked.split()[1].decode())

    def accept(listener: socket.socket) -> None:
        threads = []
        while not over.is_set():
            with suppress(TimeoutError):
                connection = listener.accept()[0]
                connection.settimeout(5)
                threads.append(threading.Thread(target=converse, args=(connection,)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def says(path: str, talk: Talk) -> str:
    """The one line of the error, printable."""
    with serving(talk) as server, pytest.raises(SourceError) as caught:
        download(server + path)
    text = str(caught.value)
    assert text.startswith(f"{server}{path}: ")
    assert text.isprintable()
    return text


# --- what works -------------------------------------------------------------------------------


def gallery(connection: socket.socket, path: str) -> None:
    if path.startswith("/to/"):
        connection.sendall(answer(status="302 Found", Location=f"/{path[4:]}"))
    elif path.startswith("/chunked"):
        head = answer(Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"")
        half = len(PICTURE) // 2
        for part in (PICTURE[:half], PICTURE[half:], b""):
            head += b"%x\r\n%s\r\n" % (len(part), part)
        connection.sendall(head)
    elif path.startswith("/early"):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(PICTURE))
    else:
        connection.sendall(answer(PICTURE))


@pytest.mark.parametrize(
    "path", ["/me.png", "/to/to/me.png", "/chunked", "/early", "/a b/ü.png?size=2#top"]
)
def test_a_picture_is_fetched(path: str) -> None:
    with serving(gallery) as server:
        assert np.array_equal(read_still(server + path).picture, portrait().picture)


def test_the_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def proxy(connection: socket.socket, path: str) -> None:
        asked.append(path)
        connection.sendall(answer(PICTURE))

    with serving(proxy) as server:
        monkeypatch.setenv("http_proxy", server.removeprefix("http://"))
        monkeypatch.setenv("no_proxy", "")
        assert download("http://nowhere.invalid/me.png") == PICTURE
    assert asked == ["http://nowhere.invalid/me.png"]


def test_an_address_goes_over_the_wire_in_ascii() -> None:
    def wire(place: str) -> str:
        return ascii_address(place, place)

    assert wire("HTTP://bücher.example:81/ü x") == "http://xn--bcher-kva.example:81/%C3%BC%20x"
    assert wire("http://host?a=%20b") == "http://host/?a=%20b"
    assert wire("http://[::1]:80/a") == "http://[::1]:80/a"


# --- what a server may do ---------------------------------------------------------------------


def fixed(reply: bytes) -> Talk:
    return lambda connection, path: connection.sendall(reply)


def flooding(start: bytes, more: bytes, pause: float = 0.0) -> Talk:
    """`start`, and then `more` again and again."""

    def talk(connection: socket.socket, path: str) -> None:
        connection.sendall(start)
        for _ in range(ROUNDS):
            connection.sendall(more)
            time.sleep(pause)

    return talk


OPEN = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (OPEN, b"x" * 1000),
        (b"", CONTINUE * 40),
        (CHUNKED, b"a: b\r\n" * 200),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 200),
        (b"HTTP/1.1 302 Found\r\nLocation: ", b"a" * 1000),
    ],
    ids=["body", "continue", "trailers", "one header", "headers", "location"],
)
def test_an_endless_answer_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, start: bytes, more: bytes
) -> None:
    monkeypatch.setattr(module, "BYTES_MOST", 300_000)
    began = time.monotonic()
    text = says("/", flooding(start, more))
    assert "larger than" in text or "not proper HTTP" in text
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (OPEN, b"x"),
        (b"", CONTINUE),
        (CHUNKED, b"a: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
        (b"HTTP/1.1 302 Found\r\nX: ", b"a"),
    ],
    ids=["body", "continue", "trailers", "header", "redirect"],
)
def test_slow_drips_end_with_the_time(
    monkeypatch: pytest.MonkeyPatch, start: bytes, more: bytes
) -> None:
    monkeypatch.setattr(module, "TIME", 0.5)
    began = time.monotonic()
    assert "no answer in 20 s or not all in 0 s" in says("/", flooding(start, more, pause=0.05))
    assert time.monotonic() - began < 4


def test_a_redirect_s_body_is_not_read() -> None:
    sent = []

    def talk(connection: socket.socket, path: str) -> None:
        if path == "/me.png":
            connection.sendall(answer(PICTURE))
            return
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /me.png\r\n\r\n")
        for _ in range(ROUNDS):
            sent.append(connection.send(b"x" * 65536))

    with serving(talk) as server:
        assert download(f"{server}/") == PICTURE
    assert sum(sent) < 30_000_000  # what the system's own buffers take


def test_the_bounds_hold_for_all_redirects_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES_MOST", 50_000)
    long = answer(status="302 Found", Location="/", X="a" * 30_000)
    assert "larger than" in says("/", fixed(long))


def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT", 0.1)
    assert "no answer" in says("/", lambda connection, path: time.sleep(0.3))


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (answer(status="404 \x1b[31mred\x1b[0m\x07 bad"), "the server says 404 Not Found;"),
        (answer(status="999 Odd"), "the server says 999;"),
        (answer(status="204 No"), "204"),
        (answer(status="302 Found", Location="file:///etc/hostname"), "only http and https"),
        (answer(status="302 Found", Location="ftp://127.0.0.1/a.png"), "only http and https"),
        (answer(status="302 Found", Location="/"), "redirected over 10 times"),
        (answer(status="302 Found"), "redirected over 10 times"),
        (answer(status="302 Found", Location="http://[/\x1b[31m"), "not an address"),
        (answer(b"x", Content_Length=50_000_001), "larger than 50 MB"),
        (answer(PICTURE, Content_Length=len(PICTURE) + 9), "broke off"),
        (answer(PICTURE, Content_Length=-5), "not proper HTTP"),
        (answer(PICTURE, Content_Length="1" * 5000), "not proper HTTP"),
        (b"\xff\xfe\x1b[31m junk\r\n\r\n", "not proper HTTP"),
        (CHUNKED.replace(b"5\r\na", b"-5\r\na"), "not proper HTTP"),
        (b"", "broke off"),
    ],
)
def test_answers_that_fail(reply: bytes, text: str) -> None:
    assert text in says("/", fixed(reply))


def test_a_page_is_no_picture() -> None:
    page = fixed(answer(b"<html>not here</html>"))
    with serving(page) as server, pytest.raises(SourceError, match="JPEG or PNG"):
        read_still(f"{server}/me.png")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/a.png",
        "file:///etc/hostname",
        "http://127.0.0.1:1/a.png",
        "http://[/a.png",
        "http:///a.png",
        "http://" + "x" * 70 + "/a.png",
        "http://host:99999/a.png",
    ],
)
def test_addresses_that_cannot_be(url: str) -> None:
    with pytest.raises(SourceError) as caught:
        download(url)
    assert str(caught.value).startswith(f"{url}: ")
    assert "\n" not in str(caught.value)
