"""The driver's own picture, and udev's events: what decides about them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from bshm_live.sinks import udev
from bshm_live.sinks.stay import can_stay, release
from bshm_live.sinks.udev import ADD, CHANGE, LATE, announce


@pytest.mark.parametrize(
    ("text", "able"),
    [("0.15.4\n", True), ("1.0\n", True), ("0.14.9", False), ("0.13.2", False), ("new", False)],
)
def test_only_newer_drivers_keep_a_camera(tmp_path: Path, text: str, able: bool) -> None:
    version = tmp_path / "version"
    assert not can_stay(version)
    version.write_text(text)
    assert can_stay(version) == able


def test_a_device_without_the_controls_is_left_alone() -> None:
    node = os.open(os.devnull, os.O_RDWR)
    release(node)
    os.close(node)


def test_an_event_is_written_to_the_cameras_own_file(tmp_path: Path) -> None:
    (tmp_path / "video7").mkdir()
    for action in (ADD, CHANGE):
        announce("/dev/video7", action, tmp_path)
        assert (tmp_path / "video7" / "uevent").read_text() == action


def test_where_events_are_not_allowed_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(udev.Path, "write_text", refuse)
    announce("/dev/video7", CHANGE, tmp_path)
    assert not caplog.messages
    announce("/dev/video7", ADD, tmp_path)
    (line,) = caplog.messages
    assert line.startswith(LATE)
    assert "setup --apply" in line


def test_a_device_that_is_gone_is_no_error(tmp_path: Path) -> None:
    announce("/dev/video8", ADD, tmp_path)
