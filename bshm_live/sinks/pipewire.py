"""A camera of PipeWire's: what browsers on Wayland, Flatpaks and GNOME's apps list (Linux).

It is a node of this process, so that no kernel module and no rights are needed. Several
programs may read it at once; all get the format that the first has chosen.
"""

from __future__ import annotations

import ctypes
import errno
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SinkError
from ..types import Size
from . import libpipewire as pw
from . import pod
from .loopback import LABEL
from .pixels import BGRX, I420, NV12, YUYV, PixelFormat
from .viewers import wait_for

if TYPE_CHECKING:
    from ..types import Picture

NODE = f"PipeWire node {LABEL}"
PROPERTIES = (
    "media.class=Video/Source media.role=Camera media.type=Video media.category=Capture "
    f"node.virtual=true node.name={LABEL} node.description={LABEL}"
)
# GStreamer takes the first, and reads YCbCr of 720 lines as BT.709 before PipeWire 1.2;
# browsers choose by an order of their own.
FORMATS = (BGRX, I420, NV12, YUYV)
READY_S = 3.0  # that the server has for its answer
BUFFERS, LEAST_BUFFERS, MOST_BUFFERS = 8, 3, 16
RATE_PARTS = 1001  # 30000/1001 is a rate of cameras
POLL_S = 0.1
STARVED_S = 1.0  # without a free buffer: a reader that was killed gives none back

# Numbers of spa/param/param.h, spa/param/format.h and spa/param/buffers.h
ENUM_FORMAT, FORMAT, BUFFERS_PARAM, META = 3, 4, 5, 6
OF_FORMAT, OF_BUFFERS, OF_META = 0x40003, 0x40004, 0x40005
MEDIA_TYPE, MEDIA_SUBTYPE, VIDEO, RAW = 1, 2, 2, 1
PIXELS, SIZE, RATE = 0x20001, 0x20003, 0x20004
COLOR_RANGE, COLOR_MATRIX, TRANSFER, PRIMARIES = 0x2000C, 0x2000D, 0x2000E, 0x2000F
LIMITED, BT601, SRGB, BT709 = 2, 4, 7, 1
COUNT, BLOCKS, BYTES, STRIDE, MEMORY = 1, 2, 3, 4, 6
META_TYPE, META_SIZE = 1, 2
MEM_PTR, MEM_FD = 1 << 1, 1 << 2


class PipewireCamera:
    """Shows BGR pictures (H, W, 3) of `size` to whoever reads the node, at most `fps` a second.

    `watched` is set while somebody does; else pictures are only kept. Raises SinkError
    where there is no server, and OSError from `show`, `again` and `check` once it is gone.
    """

    def __init__(self, size: Size, fps: float) -> None:
        self.device = NODE
        self.watched = threading.Event()
        self._size, self._library = size, pw.library()
        self._picture = np.zeros((size[1], size[0], 3), np.uint8)
        self._pixels: Picture | None = None  # the picture in the format `_made_for`
        self._made_for: PixelFormat | None = None
        self._count = 0
        self._free_at = time.monotonic()
        # What PipeWire's thread writes: it holds the loop's lock meanwhile.
        self._state = pw.UNCONNECTED
        self._format: PixelFormat | None = None
        self._buffers: dict[int, pw.Buffer] = {}
        self._changed = threading.Condition()
        self._events = pw.Events(
            version=pw.EVENTS_VERSION,
            state_changed=pw.StateChanged(self._on_state),
            param_changed=pw.ParamChanged(self._on_param),
            add_buffer=pw.OneBuffer(self._on_buffer),
            remove_buffer=pw.OneBuffer(lambda _, buffer: self._buffers.pop(buffer, None)),
        )
        self._loop = self._library.pw_thread_loop_new(b"camera", None)
        self._stream = self._library.pw_stream_new_simple(
            self._library.pw_thread_loop_get_loop(self._loop),
            LABEL.encode(),
            self._library.pw_properties_new_string(PROPERTIES.encode()),
            ctypes.byref(self._events),
            None,
        )
        try:
            self._connect(fps)
        except BaseException:
            self.close()
            raise

    def stand_in(self, picture: Picture) -> None:
        """The node goes with this process: nothing can stand in for it."""

    def show(self, picture: Picture) -> None:
        np.copyto(self._picture, picture)
        self._made_for = None
        self.again()

    def again(self) -> None:
        """The last picture once more."""
        self.check()
        wanted = self._format
        if not self.watched.is_set() or wanted is None:
            return
        if self._made_for is not wanted or self._pixels is None:
            self._pixels = wanted.empty(self._size)
            wanted.convert(self._picture, self._pixels)
            self._made_for = wanted
        self._library.pw_thread_loop_lock(self._loop)
        try:
            if self._format is wanted and self._state == pw.STREAMING:
                self._send(wanted, self._pixels)
        finally:
            self._library.pw_thread_loop_unlock(self._loop)

    def check(self) -> None:
        """That the server is still there."""
        if self._state < pw.CONNECTING:
            raise OSError(errno.EPIPE, "PipeWire has ended")

    def close(self) -> None:
        """Takes the node away."""
        self._library.pw_thread_loop_stop(self._loop)
        if self._stream:
            self._library.pw_stream_destroy(self._stream)
        self._library.pw_thread_loop_destroy(self._loop)
        self._stream = None
        self.watched.clear()

    def _connect(self, fps: float) -> None:
        failed = SinkError(
            "PipeWire does not run here; start pipewire and wireplumber, or use --sink vcam"
        )
        if not self._stream:
            raise failed
        rate = Fraction(fps).limit_denominator(RATE_PARTS)
        offers = pw.pods([_offer(each, self._size, rate) for each in FORMATS])
        flags = pw.DRIVER | pw.MAP_BUFFERS
        if self._library.pw_stream_connect(
            self._stream, pw.OUTPUT, pw.ANY_NODE, flags, offers, len(offers)
        ):
            raise failed
        self._library.pw_thread_loop_start(self._loop)
        with self._changed:
            if not self._changed.wait_for(lambda: self._state != pw.CONNECTING, READY_S):
                raise failed
        if self._state < pw.CONNECTING:
            raise failed

    def _send(self, wanted: PixelFormat, pixels: Picture) -> None:
        """One picture to all readers; the loop is locked.

        While the last one is not taken yet, none is added: it would only grow old.
        """
        now = pw.Time()
        self._library.pw_stream_get_time_n(self._stream, ctypes.byref(now), ctypes.sizeof(now))
        # A buffer that a reader still looks at is refused, and goes to the end of the queue.
        tries = 0 if now.queued_buffers else max(now.avail_buffers, 1)
        for _ in range(tries):
            buffer = self._library.pw_stream_dequeue_buffer(self._stream)
            if buffer:
                self._count += 1
                found = buffer.contents.buffer.contents
                _fill(found, wanted.stride(self._size), pixels, self._count)
                self._library.pw_stream_queue_buffer(self._stream, buffer)
                self._free_at = time.monotonic()
                break
        if tries and time.monotonic() - self._free_at > STARVED_S:
            self._free_all()
        self._library.pw_stream_trigger_process(self._stream)

    def _free_all(self) -> None:
        """Nobody looks at any buffer any more; the loop is locked."""
        self._free_at = time.monotonic()
        for buffer in self._buffers.values():
            for meta in buffer.metas[: buffer.n_metas]:
                if meta.type == pw.META_BUSY:
                    pw.Busy.from_address(meta.data).count = 0

    # What follows runs in PipeWire's thread.

    def _on_state(self, _: int, old: int, new: int, error: bytes | None) -> None:
        if old == pw.STREAMING and new == pw.PAUSED:
            self._library.pw_stream_flush(self._stream, False)  # the next one sees none of these
            self._free_all()
        with self._changed:
            self._state = new
            self._changed.notify_all()
        self._free_at = time.monotonic()
        if new == pw.STREAMING:
            self.watched.set()
        else:
            self.watched.clear()

    def _on_buffer(self, _: int, buffer: int) -> None:
        self._buffers[buffer] = pw.StreamBuffer.from_address(buffer).buffer.contents

    def _on_param(self, _: int, which: int, param: int | None) -> None:
        """A reader has chosen a format, or all are gone."""
        if which != FORMAT:
            return
        self._format = None
        if not param:
            return
        size, _ = pod.HEADER.unpack(ctypes.string_at(param, pod.HEADER.size))
        chosen = pod.numbers_of(ctypes.string_at(param, pod.HEADER.size + size)).get(PIXELS)
        for offered in FORMATS:
            if offered.spa == chosen:
                wishes = pw.pods(_memory(offered, self._size))
                self._library.pw_stream_update_params(self._stream, wishes, len(wishes))
                self._format = offered


class NodeViewers:
    """The programs that read the camera's node; `current` is None while there is no node."""

    def __init__(self, current: Callable[[], object | None]) -> None:
        self._current = current

    def in_use(self) -> bool:
        camera = self._current()
        return isinstance(camera, PipewireCamera) and camera.watched.is_set()

    def wait(self, timeout: float) -> bool:
        """Waits for a reader, `timeout` seconds at most; True as soon as there is one."""
        return wait_for(self.in_use, self._sleep, timeout)

    def _sleep(self, most: float) -> None:
        camera = self._current()
        if isinstance(camera, PipewireCamera):
            camera.watched.wait(min(most, POLL_S))
        else:
            time.sleep(min(most, POLL_S))

    def close(self) -> None:
        """Nothing to give back."""


def _offer(pixels: PixelFormat, size: Size, rate: Fraction) -> bytes:
    """One of the formats that a reader may choose."""
    values = {
        MEDIA_TYPE: pod.identity(VIDEO),
        MEDIA_SUBTYPE: pod.identity(RAW),
        PIXELS: pod.identity(pixels.spa),
        SIZE: pod.rectangle(size),
        RATE: pod.fraction(rate),
    }
    if pixels is not BGRX:
        values |= {
            COLOR_RANGE: pod.identity(LIMITED),
            COLOR_MATRIX: pod.identity(BT601),
            TRANSFER: pod.identity(SRGB),
            PRIMARIES: pod.identity(BT709),
        }
    return pod.build(OF_FORMAT, ENUM_FORMAT, values)


def _memory(pixels: PixelFormat, size: Size) -> list[bytes]:
    """What buffers are to be: in one piece, in memory that others can map, with a time."""
    buffers = {
        COUNT: pod.between(BUFFERS, LEAST_BUFFERS, MOST_BUFFERS),
        BLOCKS: pod.whole(1),
        BYTES: pod.whole(pixels.empty(size).nbytes),
        STRIDE: pod.whole(pixels.stride(size)),
        MEMORY: pod.flags(MEM_FD | MEM_PTR),
    }
    header = {
        META_TYPE: pod.identity(pw.META_HEADER),
        META_SIZE: pod.whole(ctypes.sizeof(pw.Header)),
    }
    return [
        pod.build(OF_BUFFERS, BUFFERS_PARAM, buffers),
        pod.build(OF_META, META, header),
    ]


def _fill(buffer: pw.Buffer, stride: int, pixels: Picture, count: int) -> None:
    """Writes one picture into a buffer, with its time."""
    data = buffer.datas[0]
    chunk = data.chunk.contents
    chunk.offset, chunk.stride, chunk.flags, chunk.size = 0, stride, 0, 0
    if data.data and data.maxsize >= pixels.nbytes:
        ctypes.memmove(data.data, pixels.ctypes.data, pixels.nbytes)
        chunk.size = pixels.nbytes
    for meta in buffer.metas[: buffer.n_metas]:
        if meta.type == pw.META_HEADER:
            header = pw.Header.from_address(meta.data)
            header.pts, header.seq = time.monotonic_ns(), count
            header.flags = header.offset = header.dts_offset = 0
