"""Cameras by name: Windows' and macOS' in memory, Linux' in a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from bshm_live.commands import machine
from bshm_live.errors import SourceError
from bshm_live.files import camera_device
from bshm_live.sources import names, open_source
from bshm_live.sources.names import find

SIZE = (64, 48)
BACKENDS = {"win32": cv2.CAP_MSMF, "darwin": cv2.CAP_AVFOUNDATION}


class System:
    """Windows or macOS: cameras that come and go, and what was opened."""

    def __init__(self, backend: int) -> None:
        self.backend, self.names = backend, ["FaceTime HD", "Logitech BRIO", "BRIO 100"]
        self.opened: list[tuple[int, ...]] = []

    def enumerate_cameras(self, backend: int) -> list[SimpleNamespace]:
        assert backend == self.backend
        return [SimpleNamespace(index=at, name=name) for at, name in enumerate(self.names)]

    def VideoCapture(self, *given: int) -> System:
        self.opened.append(given)
        return self

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((SIZE[1], SIZE[0], 3), np.uint8)

    def get(self, _: int) -> float:
        return 0.0

    def set(self, *_: float) -> bool:
        return True

    def release(self) -> None:
        pass


@pytest.fixture(params=BACKENDS)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> System:
    found = System(BACKENDS[request.param])
    monkeypatch.setattr(sys, "platform", request.param)
    monkeypatch.setitem(sys.modules, "cv2_enumerate_cameras", found)
    monkeypatch.setattr(cv2, "VideoCapture", found.VideoCapture)
    return found


@pytest.mark.parametrize(
    ("text", "index"), [("camera:logitech brio", 1), ("camera:BRIO", 1), ("camera:brio 100", 2)]
)
def test_a_name_is_looked_for_at_every_start(text: str, index: int, system: System) -> None:
    assert camera_device(text) == text
    source = open_source(text)
    assert source.size == SIZE
    assert f"camera {text}" in source.describe()
    source.close()
    system.names.insert(0, "plugged in before")
    open_source(text).close()
    assert system.opened == [(index, system.backend), (index + 1, system.backend)]


def test_who_is_not_there_is_told_who_is(system: System) -> None:
    with pytest.raises(SourceError, match="there is FaceTime HD, Logitech BRIO, BRIO 100; `bshm"):
        open_source("camera:C920")
    system.names.clear()
    for text in ("camera:C920", "camera:"):
        with pytest.raises(SourceError, match="there is none at all"):
            find(text)


def test_devices_lists_them(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.list_devices() == 0
    assert "1    Logitech BRIO  --source 'camera:Logitech BRIO'" in capsys.readouterr().out


def test_without_the_package_numbers_are_left(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2_enumerate_cameras", None)
    with pytest.raises(SourceError, match="pip install cv2-enumerate-cameras, or give a number"):
        find("camera:BRIO")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has nodes")
def test_linux_names_its_nodes(tmp_path: Path) -> None:
    for number, name in ((10, "bshm-live"), (2, "HD Pro Webcam C920"), (3, "HD Pro Webcam C920")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "name").write_text(name + "\n")
    (tmp_path / "video4").mkdir()  # it is just going
    place: Callable[[str], object] = lambda text: find(text, tmp_path).place  # noqa: E731
    assert place("camera:c920") == "/dev/video2"
    assert place("camera:bshm-live") == "/dev/video10"
    assert names.cameras(tmp_path)[-1].name == "bshm-live"
