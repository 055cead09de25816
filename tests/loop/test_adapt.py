"""Presets step down when frames take too long, and up after a calm."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bshm_live.loop.adapt import CALM_S, PAUSE_S, WINDOW_S, Adapter
from bshm_live.settings import PRESETS

PERIOD = 1 / 30


def play(adapter: Adapter, share: float, seconds: float, start: float) -> list[tuple[float, str]]:
    """Frames that each take `share` of their time; when a change was asked for, and which."""
    found = []
    for number in range(round(seconds / PERIOD)):
        now = start + number * PERIOD
        if preset := adapter(share * PERIOD, PERIOD, now):
            found.append((now - start, preset))
    return found


def test_a_slow_machine_steps_down_one_by_one() -> None:
    adapter = Adapter("quality", 0.0)
    found = play(adapter, 0.95, 60, 0.0)
    assert [preset for _, preset in found] == ["balanced", "fast"]
    assert found[0][0] >= PAUSE_S - PERIOD
    assert found[1][0] - found[0][0] >= PAUSE_S - PERIOD


def test_a_machine_that_keeps_up_is_left_alone() -> None:
    assert play(Adapter("balanced", 0.0), 0.6, 300, 0.0) == []


def test_a_short_trouble_changes_nothing() -> None:
    adapter = Adapter("balanced", 0.0)
    assert play(adapter, 0.4, 30, 0.0) == []
    assert play(adapter, 3.0, 0.3, 30.0) == []
    assert play(adapter, 0.4, 30, 30.3) == []


def test_after_a_long_calm_it_steps_up_and_not_beyond_the_best() -> None:
    adapter = Adapter("fast", 0.0, most="balanced")
    found = play(adapter, 0.1, 300, 0.0)
    assert [preset for _, preset in found] == ["balanced"]
    assert found[0][0] >= CALM_S - PERIOD


def test_a_step_up_that_failed_is_not_tried_again_soon() -> None:
    adapter, now, ups = Adapter("fast", 0.0, most="balanced"), 0.0, []
    for _ in range(round(600 / PERIOD)):
        share = 0.2 if adapter.preset == "fast" else 0.95
        if adapter(share * PERIOD, PERIOD, now) == "balanced":
            ups.append(now)
        now += PERIOD
    gaps = [later - sooner for sooner, later in pairwise(ups)]
    assert all(gap > CALM_S for gap in gaps)
    assert gaps == sorted(gaps)
    assert len(ups) <= 4


@given(st.lists(st.floats(0.0, 3.0), min_size=50, max_size=400), st.sampled_from(PRESETS))
def test_it_never_changes_more_often_than_every_ten_seconds(
    shares: list[float], preset: str
) -> None:
    adapter, changes, now = Adapter(preset, 0.0), [], 0.0
    for share in shares:
        for _ in range(10):
            if adapter(share * PERIOD, PERIOD, now):
                changes.append(now)
            now += PERIOD
    assert all(later - sooner >= PAUSE_S for sooner, later in pairwise(changes))
    assert not changes or changes[0] >= PAUSE_S - WINDOW_S


def test_the_tall_networks_stay() -> None:
    assert play(Adapter("tall", 0.0), 0.95, 60, 0.0) == []
