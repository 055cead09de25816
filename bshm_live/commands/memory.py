"""What was freed goes back to the system, in calls that last for hours.

glibc keeps a heap for every thread that asks for memory, and holes in each: videos that are
opened and closed, each with threads of its own, would cost a third of a megabyte each time.
"""

from __future__ import annotations

import ctypes
from functools import cache

ARENA_MAX, HEAPS = -8, 2  # mallopt's word (malloc.h) and its value: see man 3 mallopt


def share_heaps() -> None:
    """From now on all threads share a few heaps; nothing on other systems than glibc's."""
    if (libc := _glibc()) is not None:
        libc.mallopt(ARENA_MAX, HEAPS)


def give_back() -> None:
    """Returns what lies unused; a few milliseconds, so not for the loop."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library where it has both functions; None elsewhere."""
    try:
        libc = ctypes.CDLL(None)
        return libc if libc.mallopt and libc.malloc_trim else None
    except (AttributeError, OSError, TypeError):  # another C library; Windows has no None
        return None
