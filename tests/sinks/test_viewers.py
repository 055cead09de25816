"""Who watches: what the kernel says, and what to believe where it says little."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bshm_live.sinks import viewers as viewers_module
from bshm_live.sinks.viewers import Viewers, is_held

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
OURS, OTHER = "/dev/video10", "/dev/video12"


class System:
    """A /sys and a /proc with two loopbacks; `hold` opens one of them in a process."""

    def __init__(self, root: Path) -> None:
        self.sysfs, self.proc, self.references = root / "sys", root / "proc", root / "refcnt"
        for name in ("video10", "video12"):
            (self.sysfs / name).mkdir(parents=True)
            (self.sysfs / name / "max_openers").write_text("10\n")
        (self.proc / "self" / "fd").mkdir(parents=True)
        self.count(0)

    def count(self, number: int) -> None:
        self.references.write_text(f"{number}\n")

    def hold(self, process: str, targets: Sequence[str]) -> None:
        folder = self.proc / process / "fd"
        folder.mkdir(parents=True, exist_ok=True)
        for number, target in enumerate(targets, 3):
            (folder / str(number)).symlink_to(target)

    def held(self, device: str = OURS) -> bool:
        return is_held(device, references=self.references, sysfs=self.sysfs, proc=self.proc)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_our_own_descriptors_are_no_viewers(system: System) -> None:
    system.hold("self", [OURS, OTHER, "/dev/null", "/dev/video0"])
    system.count(2)
    assert not system.held()


def test_a_viewer_that_is_seen(system: System) -> None:
    system.hold("self", [OURS])
    system.hold("70", [OURS])
    system.count(2)
    assert system.held()
    assert not system.held(OTHER)


def test_a_viewer_that_hides_is_counted(system: System) -> None:
    system.hold("self", [OURS])
    system.count(2)
    assert system.held()


def test_a_viewer_of_another_device_is_none_of_ours(system: System) -> None:
    system.hold("self", [OURS, OTHER])
    system.hold("70", [OTHER])
    system.count(3)
    assert not system.held()
    system.count(4)  # and one that hides
    assert system.held()


def test_what_cannot_be_known_counts_as_in_use(system: System) -> None:
    system.references.unlink()
    assert system.held()
    system.references.write_text("many")
    assert system.held()


@given(
    own=st.integers(0, 3),
    seen=st.integers(0, 3),
    elsewhere=st.integers(0, 3),
    hidden=st.integers(0, 3),
)
def test_no_viewer_is_ever_missed(
    tmp_path_factory: pytest.TempPathFactory, own: int, seen: int, elsewhere: int, hidden: int
) -> None:
    system = System(tmp_path_factory.mktemp("system"))
    system.hold("self", [OURS] * own)
    for number in range(seen):
        system.hold(str(100 + number), [OURS])
    for number in range(elsewhere):
        system.hold(str(200 + number), [OTHER])
    system.count(own + seen + elsewhere + hidden)
    assert system.held() == (seen + hidden > 0)


def test_a_device_that_is_not_there_counts_as_in_use(tmp_path: Path) -> None:
    viewers = Viewers(str(tmp_path / "video10"))
    assert viewers.in_use()
    assert viewers.wait(5)
    viewers.close()


def test_without_events_the_kernels_count_is_asked(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that does not know the event, as those of v4l2loopback 0.12."""
    monkeypatch.setattr(viewers_module, "REFERENCES", system.references)
    monkeypatch.setattr(viewers_module, "RENEW_S", 0.2)
    asked: list[str] = []

    def held(device: str) -> bool:
        asked.append(device)
        return system.held(OURS)

    monkeypatch.setattr(viewers_module, "is_held", held)
    viewers = Viewers("/dev/null")
    system.hold("self", [OURS])
    system.count(1)
    start = time.monotonic()
    assert not viewers.wait(0.5)
    assert 0.45 < time.monotonic() - start < 2
    assert 1 <= len(asked) <= 5  # the count alone is cheap
    system.count(2)
    assert viewers.wait(1)
    viewers.close()


def test_descriptors_are_given_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        Viewers("/dev/null").close()
    assert len(os.listdir("/proc/self/fd")) == before
