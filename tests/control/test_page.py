"""The control page, attacked: by websites in the user's browser, by other users, by floods."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import stat
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from conftest import write_clip

from bshm_live.control import door, page
from bshm_live.control.door import CONNECTIONS_MOST, HOST, is_own
from bshm_live.control.gallery import THUMB, Gallery
from bshm_live.control.page import PAGE, Page
from bshm_live.errors import SettingsError

LONG_S = 30.0  # what is waited for comes much sooner; machines may be busy
JPEG = b"\xff\xd8 not looked at \xff\xd9"
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose a port is")


class Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Visitor:
    """A page, what it was asked, and a browser that has been let in."""

    def __init__(self, folder: Path, preview: Callable[[], bytes | None]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.gallery = Gallery(folder)
        self.page = Page("one", self._answer, self.gallery, preview)
        self.port, self.token = re.findall(r":(\d+)/\?token=(.+)", self.page.address)[0]
        self.origin = f"http://{HOST}:{self.port}"
        self.cookie = self.enter().headers["set-cookie"].partition(";")[0]

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        if request.get("set") == ["fail"]:
            raise SettingsError("told to fail: \udcff; do not tell it")
        return {"done": ["done"]}

    def enter(self) -> Reply:
        return self.raw("GET", f"/?token={self.token}")

    def raw(self, method: str, path: str, body: Any = None, **headers: str | None) -> Reply:
        """A request with these headers only; an underscore stands for a hyphen."""
        line = http.client.HTTPConnection(HOST, int(self.port), timeout=LONG_S)
        try:
            line.putrequest(method, path, skip_host="host" in headers)
            if isinstance(body, bytes):
                headers.setdefault("content_length", str(len(body)))
            for name, value in headers.items():
                if value is not None:
                    line.putheader(name.replace("_", "-"), value.encode("utf-8"))
            line.endheaders(body)
            answer = line.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            line.close()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str | None) -> Reply:
        """As our page asks."""
        return self.raw(
            method, path, body, **{"cookie": self.cookie, "origin": self.origin, **headers}
        )

    def add(self, name: str, content: bytes) -> Reply:
        return self("POST", f"/backgrounds?name={quote(name)}", content)

    def connected(self, said: bytes = b"") -> socket.socket:
        line = socket.create_connection((HOST, int(self.port)), LONG_S)
        line.sendall(said)
        return line

    def head(self, method: str, path: str, *more: str) -> bytes:
        lines = (f"{method} {path} HTTP/1.1", f"host: {HOST}:{self.port}")
        own = (f"cookie: {self.cookie}", f"origin: {self.origin}")
        return "\r\n".join((*lines, *own, *more, "", "")).encode()


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Visitor]:
    made = Visitor(tmp_path / "backgrounds", lambda: JPEG)
    yield made
    made.page.close()


def picture(path: Path, size: tuple[int, int] = (64, 48)) -> bytes:
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), (10, 200, 60), np.uint8))
    return path.read_bytes()


def left_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def wait_for(done: Callable[[], object]) -> None:
    end = time.monotonic() + LONG_S
    while not done():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.01)


# --- who is let in ----------------------------------------------------------------------------


def test_whoever_has_the_token_is_let_in_and_nobody_s_script_sees_the_cookie(
    visit: Visitor,
) -> None:
    answer = visit.enter()
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=strict"} <= set(answer.headers["set-cookie"].split("; "))
    shown = visit("GET", "/")
    assert (shown.status, shown.body) == (200, PAGE.read_bytes())
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert shown.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in shown.headers
    assert visit("POST", "/set", b'{"set": ["mirror=on"]}').told == {"done": ["done"]}
    assert visit("GET", "/status", sec_fetch_site="same-origin").status == 200
    assert visit.asked == [{"set": ["mirror=on"]}, {"status": True}]


STRANGERS: dict[str, dict[str, str | None]] = {
    "no cookie": {"cookie": None},
    "a wrong cookie": {"cookie": "bshm-live=x"},
    "a cookie that is not ASCII": {"cookie": "bshm-live-{port}=ü"},
    "another host": {"host": "evil.example:{port}"},
    "another port": {"host": "127.0.0.1:1"},
    "no port": {"host": "127.0.0.1"},
    "a foreign origin": {"origin": "http://evil.example"},
    "an origin of another port": {"origin": "http://127.0.0.1:1"},
    "no origin at all": {"origin": "null"},
    "from another site": {"sec_fetch_site": "cross-site"},
    "from another port": {"sec_fetch_site": "same-site"},
    "a WebSocket": {"connection": "Upgrade", "upgrade": "websocket"},
    "a WebSocket from elsewhere": {
        "origin": "http://evil.example",
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec_websocket_version": "13",
        "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
    },
}


@pytest.mark.parametrize("why", STRANGERS)
def test_a_stranger_is_refused(visit: Visitor, why: str) -> None:
    headers = {
        name: None if value is None else value.format(port=visit.port)
        for name, value in STRANGERS[why].items()
    }
    for path in ("/", "/status", "/preview.jpg", "/backgrounds", "/set", "/x"):
        for method, body in (("GET", None), ("POST", b'{"set": ["pause"]}')):
            answer = visit(method, path, body, **headers)
            assert answer.status == 403
            assert JPEG not in answer.body
            assert visit.cookie not in f"{answer.headers} {answer.body!r}"
    assert visit.asked == []


def test_a_post_that_does_not_say_where_it_comes_from_is_refused(visit: Visitor) -> None:
    assert visit("POST", "/set", b'{"set": []}', origin=None).status == 403
    assert visit.asked == []


@pytest.mark.parametrize("token", ["", "x", "%C3%BC", "x" * 5000])
def test_a_wrong_token_gives_no_cookie(visit: Visitor, token: str) -> None:
    answer = visit.raw("GET", f"/?token={token}")
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_the_token_opens_the_front_page_alone(visit: Visitor) -> None:
    assert visit.raw("GET", f"/status?token={visit.token}").status == 403
    far = visit.raw("GET", f"/?token={visit.token}", sec_fetch_site="cross-site")
    assert (far.status, "set-cookie" in far.headers) == (403, False)


def test_an_open_page_finds_the_program_again(tmp_path: Path) -> None:
    first = Visitor(tmp_path, lambda: None)
    first.page.close()
    kept = page.folder() / "one.page"
    if os.name == "posix":
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    second = Visitor(tmp_path, lambda: None)
    second.page.close()
    assert (second.port, second.cookie) == (first.port, first.cookie)
    assert second.token != first.token
    with socket.create_server((HOST, int(first.port))):  # whoever is there may know the cookie
        third = Visitor(tmp_path, lambda: None)
    third.page.close()
    assert third.port != first.port
    assert third.cookie.partition("=")[2] != first.cookie.partition("=")[2]
    kept.write_text('{"port": "x"}')
    Visitor(tmp_path, lambda: None).page.close()


# --- other users ------------------------------------------------------------------------------


@linux
def test_the_system_tells_whose_a_connection_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        socket.create_server((HOST, 0)) as server,
        socket.create_connection(server.getsockname()) as own,
    ):
        taken, _ = server.accept()
        with taken:
            ends = own.getsockname(), server.getsockname()
            assert is_own(*ends)
            user = os.getuid()
            monkeypatch.setattr(os, "getuid", lambda: user + 1)
            assert not is_own(*ends)
            monkeypatch.delattr(socket, "AF_NETLINK")
            assert is_own(*ends)  # it does not tell: the token and the cookie decide


@linux
@pytest.mark.skipif(getattr(os, "getuid", lambda: 1)() != 0, reason="becomes another user")
def test_another_user_is_not_even_heard(visit: Visitor) -> None:
    script = 'exec 3<>/dev/tcp/127.0.0.1/$0 && cat >&3; head -c 12 <&3; echo " ended"'

    def heard(user: int) -> str:
        done = subprocess.run(
            ["bash", "-c", script, visit.port],
            input=visit.head("GET", "/status"),
            capture_output=True,
            user=user,
            cwd="/",
            check=False,
        )
        return done.stdout.decode()

    assert heard(0) == "HTTP/1.1 200 ended\n"
    assert heard(65534) == " ended\n"
    assert len(visit.asked) == 1


# --- what is sent -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"set": "pause"}', 400),
        (b'{"set": ["' + b"x" * (1 << 17) + b'"]}', 413),
        (b'{"set": ["fail"]}', 400),
        (b'{"set": ["\\ud800"]}', 200),
    ],
)
def test_what_is_no_request_is_refused(visit: Visitor, body: bytes, status: int) -> None:
    assert visit("POST", "/set", body).status == status
    assert visit("GET", "/status").status == 200


def test_pictures_and_videos_are_added_and_shown_small(visit: Visitor, tmp_path: Path) -> None:
    assert visit.add("beach.PNG", picture(tmp_path / "a.png")).status == 200
    assert visit.add("beach.png", picture(tmp_path / "a.png")).status == 200
    assert visit.add("waves.mp4", write_clip(tmp_path / "w.mp4").read_bytes()).status == 200
    files = visit("GET", "/backgrounds").told["files"]
    assert [file["name"] for file in files] == ["beach.png", "beach_2.png", "waves.mp4"]
    assert [file["path"] for file in files] == [str(path) for path in visit.gallery.paths()]
    for file in files:
        small = visit("GET", f"/thumbs/{file['key']}")
        assert small.headers["content-type"] == "image/jpeg"
        found = cv2.imdecode(np.frombuffer(small.body, np.uint8), cv2.IMREAD_COLOR)
        assert found.shape[1::-1] == THUMB
    assert (
        np.abs(cv2.imread(str(visit.gallery.folder / "beach.png"))[0, 0] - (10, 200, 60)).max() < 3
    )


NAMES = {
    "../../evil.png": "evil.png",
    "/etc/evil.png": "evil.png",
    "C:\\Users\\evil.png": "evil.png",
    "a\0b\r\nc.png": "a_b_c.png",
    "..": "background",
    "": "background",
    "/": "background",
    ".hidden.png": "hidden.png",
    ".png": "png",
    "<img src=x>.png": "_img src_x_.png",
    "été à la mer.jpg": "été à la mer.jpg",
    "x" * 500 + ".png": "x" * 251 + ".png",
    "beach.p/../n g": "n g",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_leads_nowhere_else(visit: Visitor, tmp_path: Path, name: str) -> None:
    content = picture(tmp_path / "a.png")
    before = set(tmp_path.rglob("*"))
    assert visit.add(name, content).status == 200
    new = set(tmp_path.rglob("*")) - before - {visit.gallery.folder}
    assert new == {visit.gallery.folder / NAMES[name]}


@pytest.mark.parametrize(
    "key", ["../a.png", "..%2Fa.png", "%2Fetc%2Fpasswd", b"../a.png".hex(), "", "ff" * 5000]
)
def test_a_key_leads_nowhere_else(visit: Visitor, tmp_path: Path, key: str) -> None:
    picture(tmp_path / "a.png")
    visit.gallery.folder.mkdir()
    assert visit("GET", f"/thumbs/{key}").status in (400, 404)


@linux
def test_a_file_s_name_need_not_be_text(visit: Visitor, tmp_path: Path) -> None:
    visit.add("a.png", picture(tmp_path / "a.png"))
    odd = visit.gallery.folder / os.fsdecode(b"caf\xe9 \n.png")
    (visit.gallery.folder / "a.png").rename(odd)
    (file,) = visit("GET", "/backgrounds").told["files"]
    assert (file["name"], file["path"]) == ("caf\ufffd \n.png", str(odd))
    assert visit("GET", f"/thumbs/{file['key']}").status == 200


def bomb() -> bytes:
    """A PNG of a few kilobytes that says it has 900 megapixels, and has them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(30_000 * (1 + 30_000 // 8)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n%s\n#EXT-X-ENDLIST\n"
NO_BACKGROUND = {
    "bomb.png": (bomb, "megapixels"),
    "text.jpg": (lambda: b"not a picture", "text.jpg"),
    "empty.png": (bytes, "empty.png"),
    "page.svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "page.svg"),
    "list.m3u8": (lambda: PLAYLIST % b"http://127.0.0.1:1/a.ts", "list.m3u8"),
    "list.mp4": (lambda: PLAYLIST % b"/etc/passwd", "list.mp4"),
}


@pytest.mark.parametrize("name", NO_BACKGROUND)
def test_what_cannot_be_a_background_is_not_kept(visit: Visitor, name: str) -> None:
    content, says = NO_BACKGROUND[name]
    answer = visit.add(name, content())
    assert answer.status == 400
    assert says in answer.told["error"]
    assert ".part" not in answer.told["error"]
    assert left_in(visit.gallery.folder) == []


def test_a_hundred_megabytes_are_refused(visit: Visitor) -> None:
    block = bytes(1 << 20)
    said = visit("POST", "/backgrounds?name=a.png", content_length=str(100 << 20))
    assert said.status == 413
    head = visit.head("POST", "/backgrounds?name=a.png", "transfer-encoding: chunked")
    sent = 0
    with visit.connected(head) as line, suppress(ConnectionError):
        while sent < 200:
            line.sendall(b"%x\r\n%s\r\n" % (len(block), block))
            sent += 1
    assert sent < 200  # the server has hung up long before
    wait_for(lambda: left_in(visit.gallery.folder) == [])
    assert visit("GET", "/status").status == 200


def test_there_is_an_end_to_the_number_of_backgrounds(
    visit: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bshm_live.control.gallery.FILES_MOST", 2)
    content = picture(tmp_path / "a.png")
    assert [visit.add("a.png", content).status for _ in range(3)] == [200, 200, 400]


def test_a_disk_that_takes_nothing_is_one_line(visit: Visitor, tmp_path: Path) -> None:
    visit.gallery.folder.write_text("a file, not a folder")
    answer = visit.add("a.png", picture(tmp_path / "a.png"))
    assert answer.status == 400
    assert str(visit.gallery.folder) in answer.told["error"]


# --- floods -----------------------------------------------------------------------------------


def test_idle_connections_keep_nobody_out(visit: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "IDLE_S", 0.5)
    idle = [visit.connected() for _ in range(200)]
    for line in idle[::2]:
        with suppress(ConnectionError):  # those beyond the most have been turned away
            line.sendall(b"GET / HTTP/1.1\r\nhost: ")
    wait_for(lambda: answers(visit))
    for line in idle:
        with line:
            assert closed(line)


def closed(line: socket.socket) -> bool:
    """Whether the server has hung up, once all that it said is read."""
    line.settimeout(LONG_S)
    try:
        while line.recv(1 << 20):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def test_a_client_that_reads_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "IDLE_S", 0.2)
    large = bytes(4 << 20)
    visit = Visitor(tmp_path, lambda: large)
    try:
        deaf = [visit.connected(visit.head("GET", "/preview.jpg") * 20) for _ in range(8)]
        assert visit("GET", "/status").status == 200  # meanwhile, too
        for line in deaf:
            line.settimeout(LONG_S)
        wait_for(lambda: len(visit.page._server.server_state.connections) == 0)
        for line in deaf:
            line.close()
    finally:
        visit.page.close()


def test_a_body_that_never_comes_is_not_waited_for(
    visit: Visitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "REQUEST_S", 0.3)
    head = visit.head("POST", "/backgrounds?name=slow.png", "content-length: 1000")
    with visit.connected(head + b"ten bytes.") as line:
        wait_for(lambda: left_in(visit.gallery.folder))
        assert closed(line)
    assert left_in(visit.gallery.folder) == []
    monkeypatch.setattr(door, "REQUEST_S", LONG_S)
    assert visit.add("next.png", picture(tmp_path / "a.png")).status == 200


def test_more_connections_than_there_is_room_for_are_turned_away(visit: Visitor) -> None:
    lines = [visit.connected() for _ in range(CONNECTIONS_MOST)]
    with pytest.raises(ConnectionError):
        visit("GET", "/status")
    for line in lines:
        line.close()
    wait_for(lambda: answers(visit))


def answers(visit: Visitor) -> bool:
    with suppress(ConnectionError):
        return visit("GET", "/status").status == 200
    return False


def test_the_page_asks_nobody_else() -> None:
    assert not re.findall(
        rb"https?://|//\w+\.\w|@import|<link(?! rel=\"icon\" href=\"data:)", PAGE.read_bytes()
    )
