"""Half an hour at 1280x720; run in the guest by test_guest.py. GUEST_SOAK_S says how long."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import kit
import portrait
import pytest

SECONDS = float(os.environ.get("GUEST_SOAK_S") or 1800)
SIZE, STEP = (1280, 720), 4
GROWTH_MIB = 20.0


@pytest.mark.slow
def test_a_long_call(tmp_path: Path) -> None:
    """No growth of memory, no lost device; composites looked at now and then are sound."""
    if not portrait.there():
        pytest.skip("there is no clip of a person here")
    kit.reload_loopback()
    alphas = portrait.alphas(SIZE, STEP)
    feeder = kit.feeding(tmp_path, SIZE, pictures=portrait.pictures)
    program = kit.live(tmp_path, "--stats", size=SIZE, options=kit.TRAINED)
    with feeder, program:
        program.ready().says("virtual camera", 60)
        time.sleep(min(60.0, SECONDS / 5))  # until everything has been used once
        start, rates, memory = time.monotonic(), [], [program.memory_mib()]
        while time.monotonic() - start < SECONDS:
            rates.append(kit.rate_of(kit.OUT, min(20.0, SECONDS / 5)))
            portrait.check(kit.read_opencv(10, step=STEP).images, alphas)
            memory.append(program.memory_mib())
            print(
                f"{time.monotonic() - start:.0f} s: {rates[-1]:.1f} frames/s, {memory[-1]:.0f} MiB"
            )
            assert program.running, program.words
        words = program.end()
    print(words)
    kit.note(
        f"{SECONDS:.0f} s at {SIZE[0]}x{SIZE[1]}",
        frames_a_second=[round(min(rates), 1), round(sorted(rates)[len(rates) // 2], 1)],
        memory_mib=[round(memory[0]), round(max(memory))],
    )
    assert max(memory) - memory[0] < GROWTH_MIB
    assert "is lost" not in words
    assert re.search(r"frames in .* frames/s", words)
