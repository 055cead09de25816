"""Half an hour at 1280x720; run in the guest by test_guest.py. GUEST_SOAK_S says how long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import clip
import kit
import pytest

SECONDS = float(os.environ.get("GUEST_SOAK_S") or 1800)
SIZE = (1280, 720)
GROWTH_MIB = 20.0


@pytest.mark.slow
def test_a_long_call(tmp_path: Path) -> None:
    """No growth of memory, no lost device, every composite checked now and then is sound."""
    kit.reload_loopback()
    with kit.feeding(tmp_path, SIZE), kit.live(tmp_path, "--stats", size=SIZE) as program:
        program.ready().says("virtual camera")
        time.sleep(min(60.0, SECONDS / 5))  # until everything has been used once
        begin, start, rates = program.memory_mib(), time.monotonic(), []
        most = begin
        while time.monotonic() - start < SECONDS:
            rates.append(kit.rate_of(kit.OUT, min(20.0, SECONDS / 5)))
            clip.check_composites(kit.read_opencv(5).images, SIZE)
            most = max(most, program.memory_mib())
            assert program.running, program.words
        words = program.end()
    print(
        f"{SECONDS:.0f} s at {SIZE[0]}x{SIZE[1]}: {min(rates):.1f} to {max(rates):.1f} frames/s, "
        f"memory {begin:.0f} MiB at first, {most:.0f} MiB at most\n{words}"
    )
    assert most - begin < GROWTH_MIB
    assert "is lost" not in words
