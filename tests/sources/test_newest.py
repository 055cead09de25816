from __future__ import annotations

import threading

import pytest

from bshm_live.errors import SourceError
from bshm_live.sources.newest import SLICE_S, Newest


def test_the_newest_comes_once() -> None:
    newest = Newest[int](lambda: False)
    newest.put(1)
    newest.put(2)
    assert newest.take(SLICE_S, "silent") == 2
    with pytest.raises(SourceError, match="silent"):
        newest.take(SLICE_S, "silent")


def test_what_was_put_back_gives_way_to_what_is_newer_and_to_time() -> None:
    newest = Newest[int](lambda: False)
    newest.put_back(1)
    assert newest.take(1, "") == 1
    newest.put(2)
    newest.put_back(1)
    newest.drop(lambda news: news < 2)
    assert newest.take(1, "") == 2
    newest.put(3)
    newest.drop(lambda news: news == 3)
    newest.fail("gone")
    with pytest.raises(SourceError, match="gone"):
        newest.take(1, "")


def test_it_ends_when_it_is_closed_or_given_up_and_wakes_who_waits() -> None:
    newest = Newest[int](lambda: False)
    threading.Timer(0.05, newest.close).start()
    assert newest.take(60, "") is None
    assert Newest[int](lambda: True).take(60, "") is None
    late = Newest[int](lambda: False)
    threading.Timer(0.05, late.put, [7]).start()
    assert late.take(60, "") == 7
