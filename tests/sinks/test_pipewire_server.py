"""The camera of PipeWire's on a real server of its own, with GStreamer's readers."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bshm_live.errors import SinkError
from bshm_live.sinks import VirtualCamera
from bshm_live.sinks.pipewire import NodeViewers

TOOLS = ("pipewire", "wireplumber", "dbus-run-session", "gst-launch-1.0")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}"),
]
SIZE = (640, 360)
COLOUR = (64, 177, 0)  # BGR
LEVELS = 6  # what YCbCr may cost
FRAMES, PATIENCE_S = 10, 30
SERVER = "pipewire & p=$!; sleep 1; wireplumber & w=$!; wait $p; kill $w"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen(
            ["dbus-run-session", "--", "sh", "-c", SERVER],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        yield
        os.killpg(running.pid, 9)
        running.wait()


@pytest.fixture
def camera(server: None) -> Iterator[VirtualCamera]:
    picture = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    picture[:] = COLOUR
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            camera = VirtualCamera("pipewire", SIZE, 30, placeholder=picture)
            break
        except SinkError:
            assert time.monotonic() < end
            time.sleep(0.3)
    time.sleep(3)  # wireplumber's start
    yield camera
    camera.close()


def reader(to: Path, pixels: str, frames: int = FRAMES) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *("gst-launch-1.0", "-q", "pipewiresrc", f"num-buffers={frames}"),
            *("!", f"video/x-raw,format={pixels}", "!", "videoconvert"),
            *("!", "video/x-raw,format=BGR", "!", "filesink", f"location={to}"),
        ]
    )


def check(read: subprocess.Popen[bytes], file: Path) -> None:
    """All of its pictures came, in the right colour."""
    assert read.wait(PATIENCE_S) == 0
    pictures = np.fromfile(file, np.uint8).reshape(FRAMES, SIZE[1], SIZE[0], 3)
    assert np.abs(pictures.astype(int) - COLOUR).max() <= LEVELS


def test_readers_in_turn_at_once_and_killed(camera: VirtualCamera, tmp_path: Path) -> None:
    viewers = camera.viewers()
    assert isinstance(viewers, NodeViewers)
    assert not viewers.in_use()
    for pixels in ("BGRx", "NV12", "I420", "YUY2"):
        check(reader(tmp_path / pixels, pixels), tmp_path / pixels)
    first, second = (reader(tmp_path / name, "I420") for name in ("first", "second"))
    check(first, tmp_path / "first")
    check(second, tmp_path / "second")
    for _ in range(3):
        killed = reader(tmp_path / "killed", "I420", 10000)
        assert viewers.wait(PATIENCE_S)
        killed.kill()
        killed.wait()
    check(reader(tmp_path / "after", "I420"), tmp_path / "after")
    end = time.monotonic() + PATIENCE_S
    while viewers.in_use():
        assert time.monotonic() < end
        time.sleep(0.1)
