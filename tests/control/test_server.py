"""One line each way between a command and the running program, and nobody else's."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PACKAGE

from bshm_live.control import server as server_module
from bshm_live.control import wire
from bshm_live.control.server import Server
from bshm_live.control.wire import address, ask
from bshm_live.errors import SettingsError

posix = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")


@pytest.fixture(autouse=True)
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def echo(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("fail"):
        raise SettingsError("told to fail; do not tell it")
    time.sleep(request.get("sleep", 0.0))
    return {"echo": request}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("one", echo) as made:
        yield made


def test_an_answer_comes_back(server: Server) -> None:
    assert ask("one", {"words": "ü"}) == {"echo": {"words": "ü"}}
    with pytest.raises(SettingsError, match="told to fail"):
        ask("one", {"fail": True})


def test_no_program_is_said_with_the_names_of_those_that_run(server: Server) -> None:
    with pytest.raises(SettingsError, match=r"called two is running \(running: one; choose"):
        ask("two", {})


def test_a_program_that_does_not_answer_is_said_to_be_there(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "WAIT_S", 0.2)
    with pytest.raises(SettingsError, match="does not answer"):
        ask("one", {"sleep": 1.0})


@posix
def test_only_the_user_may_open_the_socket(server: Server) -> None:
    place = address("one")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    os.chmod(place.parent, 0o755)
    with pytest.raises(SettingsError, match="open to others"):
        ask("one", {})


@posix
def test_a_name_is_taken_once_and_a_crash_leaves_no_trouble(server: Server) -> None:
    with pytest.raises(SettingsError, match="runs already"):
        Server("one", echo)
    left = address("three")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    with Server("three", echo):
        assert ask("three", {}) == {"echo": {}}
    assert not left.exists()


@posix
@pytest.mark.skipif(not wire.HAS_UNIX, reason="only a socket's path has so narrow a limit")
def test_a_place_that_is_too_long_for_a_socket_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of macOS is 50 letters long before ours begins, of the 104 there may be."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("long" * 30)))
    with pytest.raises(SettingsError, match=r"cannot be made \(AF_UNIX path too long\)"):
        Server("main", lambda _: {})


@pytest.mark.parametrize("said", [b"", b"nonsense\n", b"[1]\n", b"\xff\n", b"x" * (1 << 18)])
def test_what_is_no_request_does_no_harm(server: Server, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(address("one")))
        client.settimeout(5)
        try:
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            client.recv(1000)
        except OSError:
            pass
    assert ask("one", {"still": 1}) == {"echo": {"still": 1}}


@posix
def test_clients_that_say_nothing_keep_nobody_out_for_long(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "READ_S", 0.1)
    idle = [socket.socket(socket.AF_UNIX) for _ in range(200)]
    try:
        for client in idle:
            client.setblocking(False)
            client.connect_ex(str(address("one")))
        end = time.monotonic() + 20
        while True:
            try:
                assert ask("one", {"n": 1}) == {"echo": {"n": 1}}
                break
            except SettingsError:
                assert time.monotonic() < end
    finally:
        for client in idle:
            client.close()


def test_a_token_that_is_not_ascii_is_a_wrong_one() -> None:
    assert not server_module.same("\udcff ü", "abc")
    assert server_module.same("abc", "abc")


def test_another_way_in_has_a_token(monkeypatch: pytest.MonkeyPatch, run_folder: Path) -> None:
    for module in ("bshm_live.control.wire", "bshm_live.control.server"):
        monkeypatch.setattr(f"{module}.HAS_UNIX", False)
    with Server("port", echo):
        assert ask("port", {"n": 1}) == {"echo": {"n": 1}}
        place = run_folder / "bshm-live" / "port.port"
        place.write_text(place.read_text().replace('"token": "', '"token": "0'))
        with pytest.raises(SettingsError, match="wrong token"):
            ask("port", {"n": 1})


@pytest.mark.parametrize("name", ["", "../x", "a b", ".x", "x" * 41])
def test_a_name_is_a_file_s_name(name: str) -> None:
    with pytest.raises(SettingsError, match="--name"):
        address(name)


def test_a_command_loads_nothing_heavy() -> None:
    code = "import bshm_live.control.wire, bshm_live.control.words, sys; print(*sys.modules)"
    words = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {code}",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert not {"numpy", "cv2", "asyncio"} & set(done.stdout.split())
