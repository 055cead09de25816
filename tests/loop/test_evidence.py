"""What speaks for a matte, rule by rule."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.loop import evidence
from bshm_live.loop.evidence import PIXELS, TEAR_NEAR, difference, torn

columns = st.integers(0, PIXELS[0])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 999), st.integers(2, 20), st.floats(0, 1), st.integers(5, 175), columns, columns
)
def test_a_frame_that_is_done_with_at_once_is_not_torn(
    seed: int, grain: int, share: float, row: int, left: int, right: int
) -> None:
    """Most frames change so little that the signs need not be looked for: none is missed."""
    rng = np.random.default_rng(seed)
    before, other = (
        cv2.resize(rng.integers(0, 256, (grain, grain, 3), np.uint8), PIXELS) for _ in range(2)
    )
    now = before.copy()
    part = np.s_[row:, min(left, right) : max(left, right)]
    now[part] = cv2.addWeighted(before, 1 - share**2, other, share**2, 0)[part]
    changed = difference(now, before)
    near = cv2.blur(changed, (1, TEAR_NEAR), anchor=(0, 0))
    edge, edge_before = (difference(x[1:], x[:-1]) for x in (now, before))
    signs = evidence._parted(changed, edge, edge_before)
    signs = signs or evidence._split(near, edge, edge_before)
    seen = (SimpleNamespace(pixels=picture) for picture in (now, before))
    assert torn(*seen) == signs  # type: ignore[arg-type]
