"""Whether anyone watches the virtual camera (Linux): without a viewer the webcam may rest.

v4l2loopback 0.13 and newer reports viewers by an event. For older versions the kernel
counts who has any of its devices open; who is neither us nor a user of another device is
taken for a viewer. What cannot be known counts as in use.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .loopback import PROC, REFERENCES, SYSFS, holders, loopbacks, open_nodes

USAGE_EVENT = 0x10E00001  # V4L2_EVENT_PRI_CLIENT_USAGE of v4l2loopback.h
COUNT_BYTES = 4  # the event's data begin with the count of viewers
RENEW_S = 2.0  # an event can be missed: the count is read again
POLL_S = 0.15  # where there are no events


def wait_for(in_use: Callable[[], bool], sleep: Callable[[float], None], timeout: float) -> bool:
    """Until somebody looks, `timeout` seconds at most; `sleep` may come back sooner than asked."""
    end = time.monotonic() + timeout
    while not in_use():
        left = end - time.monotonic()
        if left <= 0:
            return False
        sleep(left)
    return True


class Viewers:
    """The programs that read a /dev/videoN which this process feeds."""

    def __init__(self, device: str) -> None:
        self._device = os.path.realpath(device)
        self._node: int | None = None  # where events come from
        self._has_events = True
        self._viewers: int | None = None  # None: unknown
        self._renewed = float("-inf")
        self._count, self._held = "", True  # of all who hold a loopback; whether one holds ours
        self._renew()

    def in_use(self) -> bool:
        """Whether the device has a viewer now, or may have one."""
        if not self._has_events:
            return self._ask_held()
        if time.monotonic() - self._renewed >= RENEW_S:
            self._renew()
        elif self._node is not None:
            self._drain(self._node)
        return self._viewers != 0

    def wait(self, timeout: float) -> bool:
        """Waits for a viewer, `timeout` seconds at most; True as soon as there is one."""
        return wait_for(self.in_use, self._sleep, timeout)

    def close(self) -> None:
        """Gives the descriptor back; from now on the device counts as in use."""
        self._viewers = None
        if self._node is not None:
            os.close(self._node)
            self._node = None

    def _sleep(self, most: float) -> None:
        """Until an event, or until it is time to ask."""
        if self._node is None:
            time.sleep(min(most, POLL_S))
            return
        poll = select.poll()
        poll.register(self._node, select.POLLPRI)
        poll.poll(min(most, RENEW_S) * 1000)

    def _ask_held(self) -> bool:
        """`is_held`, asked for when the kernel's count has changed, and now and then."""
        try:
            count = REFERENCES.read_text()
        except OSError:
            return True
        if count != self._count or time.monotonic() - self._renewed >= RENEW_S:
            self._count, self._renewed = count, time.monotonic()
            self._held = is_held(self._device)
        return self._held

    def _renew(self) -> None:
        """Asks for the count through a fresh descriptor: an old one may have missed an event."""
        from linuxpy.video.device import EventSubscriptionFlag, subscribe_event

        self.close()
        self._renewed = time.monotonic()
        try:
            self._node = os.open(self._device, os.O_RDWR | os.O_NONBLOCK)
            subscribe_event(self._node, USAGE_EVENT, 0, EventSubscriptionFlag.SEND_INITIAL)
        except OSError as error:
            # Only a driver that does not know the event answers so; all else may pass.
            unknown = self._node is not None and error.errno in (errno.EINVAL, errno.ENOTTY)
            self._has_events = not unknown
            self.close()
        else:
            self._drain(self._node)

    def _drain(self, node: int) -> None:
        """Reads the events that are there; the last one counts."""
        from linuxpy.video.device import deque_event

        with suppress(OSError):  # ENOENT: there are no more
            while True:
                event = deque_event(node)
                if event.type == USAGE_EVENT:
                    self._viewers = int.from_bytes(bytes(event.u)[:COUNT_BYTES], "little")


def is_held(
    device: str, *, references: Path = REFERENCES, sysfs: Path = SYSFS, proc: Path = PROC
) -> bool:
    """Whether another process has the v4l2loopback device open, or may have it.

    The kernel's count is right even where a process hides its descriptors from
    us, as browsers do; those that do not hide them say which device they mean.
    """
    try:
        count = int(references.read_text())
    except (OSError, ValueError):
        return True
    nodes = {f"/dev/{node.name}" for node in loopbacks(sysfs)}
    strangers = count - sum(node in nodes for node in open_nodes("self", proc))
    if strangers <= 0:
        return False
    seen = holders(proc)
    elsewhere = sum(len(seen.get(node, ())) for node in nodes - {device})
    return bool(seen.get(device)) or strangers > elsewhere
