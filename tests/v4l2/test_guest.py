"""Runs the tests that need cameras in the guest kernel: one boot a file.

The files are `in_*.py` beside this one. What takes minutes is marked slow: `pytest
-m slow tests/v4l2`; of that, test_old_loopback needs a kernel of tools/v4l2, which
also has v4l2loopback 0.12.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from conftest import Guest

HERE = Path(__file__).parent
BROWSER = "chromium-headless-shell"
# Frames/s that must be reached, the program's options for a real clip, the long call's
# seconds, how many times slower than a quiet machine this one may be.
PASSED_ON = ("GUEST_ENOUGH", "GUEST_OPTIONS", "GUEST_SOAK_S", "GUEST_BUSY")
KEPT = os.environ.get("BSHM_KEEP")  # a folder for screenshots and figures


def run(
    guest: Guest,
    folder: Path,
    name: str,
    marks: str,
    seconds: int,
    module: str = "",
    only: str = "",
) -> None:
    """`in_NAME.py` in the guest; what it prints is shown, and its result is ours."""
    loopback = guest.modules / f"v4l2loopback{module}.ko"
    if not loopback.is_file():
        pytest.skip(f"the guest has no {loopback.name}: tools/v4l2 builds one")
    settings = [f"GUEST_LOOPBACK={loopback}", f"GUEST_CLIPS={HERE.parents[2] / 'shared' / 'eval'}"]
    settings += [f"GUEST_KEPT={folder}", "PYTHONDONTWRITEBYTECODE=1"]
    settings += [f"{name}={value}" for name, value in os.environ.items() if name in PASSED_ON]
    words = [sys.executable, "-m", "pytest", "-v", "-s", "-p", "no:cacheprovider", "--durations=6"]
    words += ["-m", marks, "-k", only, str(HERE / f"in_{name}.py")]
    done = guest(folder, "env", *settings, *words, seconds=seconds)
    print(done.stdout)
    if KEPT:
        for path in (*folder.glob("*.png"), *folder.glob("*.json")):
            shutil.copy(path, KEPT)
    assert done.returncode == 0, done.stdout


@pytest.mark.device
@pytest.mark.parametrize("name", ["sink", "viewers", "apps", "live", "faults", "control"])
def test_quick(guest: Guest, tmp_path: Path, name: str) -> None:
    run(guest, tmp_path, name, "not slow", 300)


@pytest.mark.device
@pytest.mark.parametrize("marks", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_browser(guest: Guest, tmp_path: Path, marks: str) -> None:
    if not shutil.which(BROWSER):
        pytest.skip(f"{BROWSER} is not installed")
    run(guest, tmp_path, "browser", marks, 180)


@pytest.mark.device
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("sink", 400),
        ("setup", 400),
        ("live", 900),
        ("faults", 1200),
        ("control", 400),
        ("soak", 2700),
    ],
)
def test_slow(guest: Guest, tmp_path: Path, name: str, seconds: int) -> None:
    run(guest, tmp_path, name, "slow", seconds)


@pytest.mark.device
@pytest.mark.slow
@pytest.mark.parametrize("app", ["viewer", "OpenChromium", "OpenFirefox", "OpenObs"])
def test_killed_under_apps(guest: Guest, tmp_path: Path, app: str) -> None:
    """Each in a guest of its own. OBS does not always come up in time: try it again."""
    run(guest, tmp_path, "apps", "slow", 500, only=app)


@pytest.mark.device
@pytest.mark.slow
@pytest.mark.parametrize("name", ["sink", "viewers", "live"])
def test_old_loopback(guest: Guest, tmp_path: Path, name: str) -> None:
    run(guest, tmp_path, name, "not slow", 300, "-0.12")
