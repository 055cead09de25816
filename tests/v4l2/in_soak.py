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
SIZE, STEP, COUNT = (1280, 720), 4, 90
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
        start, memory = time.monotonic(), [program.memory_mib()]
        rates: dict[str, list[float]] = {}
        while time.monotonic() - start < SECONDS:
            time.sleep(min(20.0, SECONDS / 5))
            for reader, seen in kit.read_all(tmp_path, COUNT, SIZE, STEP).items():
                portrait.check(seen.images, alphas)
                rates.setdefault(reader, []).append(round(seen.rate, 1))
            memory.append(program.memory_mib())
            now = {reader: found[-1] for reader, found in rates.items()}
            print(f"{time.monotonic() - start:.0f} s: {now}, {memory[-1]:.0f} MiB", flush=True)
            assert program.running, program.words
        words = program.end()
    print(words)
    figures = {reader: spread(found) for reader, found in rates.items()}
    spent = f"{SECONDS:.0f} s at {SIZE[0]}x{SIZE[1]}"
    kit.note(spent, memory_mib=[round(memory[0]), round(max(memory))], frames_a_second=figures)
    assert max(memory) - memory[0] < GROWTH_MIB
    assert "is lost" not in words
    assert re.search(r"frames in .* frames/s", words)


def spread(rates: list[float]) -> list[float]:
    """The least, the middle one and the most."""
    return [min(rates), sorted(rates)[len(rates) // 2], max(rates)]
