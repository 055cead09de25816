"""What was freed goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from bshm_live.commands import memory

HOLES = """
from pathlib import Path
from bshm_live.commands.memory import give_back, share_heaps

def used_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

share_heaps()
blocks = [bytearray(60_000) for _ in range(2000)]
kept = blocks[99::100]  # between them 6 MB of holes each
full = used_mb()
del blocks
before = used_mb()
give_back()
print(full, before, used_mb())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells what is used")
@pytest.mark.skipif(memory._glibc() is None, reason="another C library")
def test_holes_are_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    full, before, after = map(float, done.stdout.split())
    assert before > full - 20
    assert after < before - 80


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    memory._glibc.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory.share_heaps()
    memory.give_back()
    assert memory._glibc() is None
    memory._glibc.cache_clear()
