"""How long each stage of the loop takes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping

import numpy as np

# On a GPU the stages up to the matte are one: they are queued together and waited for once.
STAGES = ("preprocess", "mpn", "qun", "mrn", "matte", "temporal", "background", "composite", "sink")
KEPT = 10_000  # latest times of each stage: a call may last for hours

Quantiles = dict[str, dict[str, float]]  # stage: p50 and p95 in milliseconds


class StageClock:
    """Milliseconds per stage, from the end of the last one to the call."""

    def __init__(self) -> None:
        self.clear()
        self.start()

    def clear(self) -> None:
        self.times: dict[str, deque[float]] = {}
        self.delays: deque[float] = deque(maxlen=KEPT)  # from the camera to the last sink

    def start(self) -> None:
        self._begun = self._last = time.perf_counter()

    @property
    def took_s(self) -> float:
        """Seconds from the start of the frame to the end of its last stage."""
        return self._last - self._begun

    def __call__(self, stage: str) -> None:
        now = time.perf_counter()
        self.times.setdefault(stage, deque(maxlen=KEPT)).append((now - self._last) * 1e3)
        self._last = now

    def arrived(self, captured: float | None) -> None:
        """A frame captured at that time.monotonic() has left through the last sink."""
        if captured is not None:
            self.delays.append((time.monotonic() - captured) * 1e3)

    def quantiles(self) -> Quantiles:
        """Of the stages that ran, in order."""
        return {stage: quantiles(self.times[stage]) for stage in STAGES if stage in self.times}


def quantiles(times: Iterable[float]) -> dict[str, float]:
    p50, p95 = np.quantile(list(times), (0.5, 0.95))
    return {"p50": float(p50), "p95": float(p95)}


def stage_table(
    stages: Mapping[str, Mapping[str, float]], cpu_ms: Mapping[str, float] | None = None
) -> str:
    """Milliseconds per stage, a line each; beside them processor time, and its share."""
    head, total = f"{'stage':12}{'p50 ms':>8}{'p95 ms':>8}", sum((cpu_ms or {}).values())
    rows = [head + f"{'CPU ms':>8}{'share':>7}" * (cpu_ms is not None)]
    for stage, q in stages.items():
        row = f"{stage:12}{q['p50']:8.1f}{q['p95']:8.1f}"
        if cpu_ms is not None and stage in cpu_ms:
            row += f"{cpu_ms[stage]:8.1f}{cpu_ms[stage] / total:7.0%}"
        rows.append(row)
    return "\n".join(rows)
