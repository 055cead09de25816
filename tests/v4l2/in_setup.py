"""Setting the virtual camera up on a whole Debian, and taking it back; run by test_guest.py."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import kit
import pytest

from bshm_live.errors import SinkError
from bshm_live.setup.hide import GROUP

pytestmark = pytest.mark.slow
ETC = Path("/etc")
# shadow-utils keeps the files of groups as they were before, and its locks.
THEIR_OWN = {"group-", "gshadow-", ".pwd.lock"}


@pytest.fixture(autouse=True)
def writable_etc() -> Iterator[None]:
    """The guest's /etc is the machine's, and read-only: a copy lies over it meanwhile."""
    if os.access(ETC, os.W_OK):
        pytest.skip("/etc can be written to: this is no guest")
    if not kit.UDEVD.exists():
        pytest.skip(f"{kit.UDEVD} is not installed")
    subprocess.run(["cp", "-a", ETC, "/run/etc"], check=True)
    subprocess.run(["mount", "--bind", "/run/etc", ETC], check=True)
    kit.start_udev()
    subprocess.run(["udevadm", "trigger", "--action=add", "--settle"], check=True)
    yield
    subprocess.run(["umount", "--lazy", ETC], check=True)


def state(home: Path) -> dict[str, tuple[object, ...]]:
    """Every file of the system's and of the user's settings, and of every camera: kind and
    mode, owner and group, where a link leads, what is in it."""
    found = {}
    for path in (*ETC.rglob("*"), *home.rglob("*"), *Path("/dev").glob("video*")):
        if path.name in THEIR_OWN:
            continue
        status, link = path.lstat(), path.is_symlink()
        text = path.read_bytes() if path.is_file() and not link else b""
        to = os.readlink(path) if link else ""
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, to, text)
    return found


def run(*words: str, code: int = 0) -> str:
    done = subprocess.run([*kit.LIVE, *words], capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    print(*words, "\n", told, flush=True)
    assert done.returncode == code
    return told


def test_all_that_is_set_up_is_taken_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "systemd" / "user").mkdir(parents=True)
    before = state(tmp_path)
    run("setup", "--apply")
    run("setup", "--hide-camera", "--apply", code=SinkError.exit_code)  # a password is missing
    run("service", "install", "--bg", "#00b140")
    written = state(tmp_path)
    assert {Path(path).name for path in written.keys() - before.keys()} == {
        "zz-bshm-live.conf",
        "bshm-live.conf",
        "61-bshm-live.rules",
        "72-bshm-live-hide.rules",
        "bshm-live.service",
    }
    changed = {path for path in before if written[path] != before[path]}
    assert changed == {"/etc/group", "/etc/gshadow", "/dev/video0"}  # the webcam, not the cameras
    assert "todo" not in run("setup")
    run("service", "remove")
    assert f"groupdel {GROUP}" in run("setup", "--hide-camera", "--undo")
    subprocess.run(["groupdel", GROUP], check=True)
    run("setup", "--undo")
    assert state(tmp_path) == before
