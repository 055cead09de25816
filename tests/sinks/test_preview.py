"""The small composite for the control page."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bshm_live.sinks import preview
from bshm_live.sinks.preview import Preview
from bshm_live.types import Shot


def shot(level: int, size: tuple[int, int]) -> Shot:
    picture = np.full((size[1], size[0], 3), level, np.uint8)
    return Shot(picture, picture[:, :, 0], None, 0, 0.0, True)


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((1280, 720), (640, 360)),
        ((320, 180), (320, 180)),
        ((8192, 64), (640, 5)),
        ((72, 1280), (72, 1280)),
    ],
)
def test_whoever_looks_gets_the_newest_composite(
    size: tuple[int, int], small: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "PERIOD_S", 0.0)
    sink = Preview(size)
    sink.send(shot(10, size))
    assert sink.jpeg() is None  # nobody had looked
    for level in (60, 200):
        sink.send(shot(level, size))
    found = sink.jpeg()
    assert found is not None
    picture = cv2.imdecode(np.frombuffer(found, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[1::-1] == small
    assert np.abs(picture.astype(int) - 200).max() <= 3


def test_it_keeps_its_own_copy_and_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(preview.time, "monotonic", lambda: clock[0])
    sink = Preview((64, 48))
    sink.jpeg()
    given = shot(50, (64, 48))
    sink.send(given)
    given.composite[:] = 255  # the loop's next picture may lie there
    sink.send(shot(90, (64, 48)))  # too soon
    assert level(sink) == pytest.approx(50, abs=3)
    clock[0] += preview.LOOKED_S + 1
    sink.send(shot(90, (64, 48)))  # nobody has looked for long
    assert level(sink) == pytest.approx(50, abs=3)


def level(sink: Preview) -> float:
    found = sink.jpeg()
    assert found is not None
    return float(cv2.imdecode(np.frombuffer(found, np.uint8), cv2.IMREAD_GRAYSCALE).mean())
