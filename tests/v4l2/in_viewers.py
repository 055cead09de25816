"""Who watches the virtual camera, asked of real devices; run in the guest by test_guest.py."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import kit
import pytest

from bshm_live.sinks import viewers as viewers_module
from bshm_live.sinks.viewers import Viewers, is_held
from bshm_live.sinks.virtual_camera import VirtualCamera

WAKE_S = 0.3 * kit.BUSY
READ = ("v4l2-ctl", "--stream-mmap=2", "--stream-count=1000", "-d")


@pytest.fixture
def camera() -> Iterator[VirtualCamera]:
    kit.reload_loopback()
    camera = VirtualCamera(kit.OUT, (640, 360), 30)
    yield camera
    camera.close()


@pytest.fixture(params=["as the driver can", "without its event"])
def viewers(
    camera: VirtualCamera, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Viewers]:
    if "without" in request.param:
        monkeypatch.setattr(viewers_module, "USAGE_EVENT", 0x0F000001)
    found = camera.viewers()
    assert found is not None
    yield found
    found.close()


def test_a_viewer_is_seen_at_once_and_its_end_too(viewers: Viewers, tmp_path: Path) -> None:
    assert not viewers.in_use()
    for _ in range(3):
        start = time.monotonic()
        with kit.Program(*READ, kit.OUT, log=tmp_path / "reader.log"):
            assert viewers.wait(5)
            woke = time.monotonic() - start  # the reader's own start is in it
            time.sleep(0.3)
            assert viewers.in_use()
        gone = kit.until(lambda: not viewers.in_use(), 3)
        print(f"seen {woke * 1e3:.0f} ms after its start, gone after {gone * 1e3:.0f} ms")
        assert woke < WAKE_S
        assert gone < WAKE_S


def test_waiting_costs_next_to_nothing(viewers: Viewers) -> None:
    def idle() -> None:
        assert not viewers.wait(1)

    share = kit.least_share(time.process_time, idle)
    print(f"waiting: {100 * share:.1f} % of the core")
    assert share < 0.02 * kit.BUSY


def test_a_viewer_of_another_camera_is_none_of_ours(viewers: Viewers, tmp_path: Path) -> None:
    second = VirtualCamera(kit.SECOND, (640, 360), 30)
    with kit.Program(*READ, kit.SECOND, log=tmp_path / "reader.log") as reader:
        kit.until(lambda: "<" in reader.words, 5)
        assert not viewers.in_use()
        assert is_held(kit.SECOND)
        assert not is_held(kit.OUT)
    second.close()


def test_those_who_only_look_are_no_viewers(viewers: Viewers) -> None:
    for _ in range(5):
        subprocess.run(["v4l2-ctl", "-d", kit.OUT, "--all"], capture_output=True, check=True)
    assert not viewers.wait(0.5)


def test_the_event_is_used_where_there_is_one(camera: VirtualCamera) -> None:
    viewers = camera.viewers()
    assert viewers is not None
    assert viewers._has_events == (kit.loopback_version() >= (0, 13))
    viewers.close()
