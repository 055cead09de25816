"""The camera of PipeWire's, before a library in memory that does what libpipewire would."""

from __future__ import annotations

import ctypes
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.errors import SinkError
from bshm_live.sinks import VirtualCamera, open_sink, pod
from bshm_live.sinks import libpipewire as pw
from bshm_live.sinks import pipewire as node
from bshm_live.sinks.pipewire import NodeViewers, PipewireCamera
from bshm_live.sinks.pixels import BGRX, I420, NV12, PixelFormat
from bshm_live.types import Picture, Shot, Size

SIZE = (64, 48)
# What PipeWire's own C builder makes of the same values.
OFFER = (
    "e00000000f000000030004000300000001000000000000000400000003000000020000000000000002000000"
    "0000000004000000030000000100000000000000010002000000000004000000030000001700000000000000"
    "0300020000000000080000000a00000080020000680100000400020000000000080000000b00000030750000"
    "e90300000c00020000000000040000000300000002000000000000000d000200000000000400000003000000"
    "04000000000000000e00020000000000040000000300000007000000000000000f0002000000000004000000"
    "030000000100000000000000"
)
MEMORY = (
    "a80000000f000000040004000500000001000000000000001c00000013000000010000000000000004000000"
    "0400000008000000030000001000000000000000020000000000000004000000040000000100000000000000"
    "0300000000000000040000000400000000460500000000000400000000000000040000000400000080020000"
    "0000000006000000000000001400000013000000040000000000000004000000040000000600000000000000"
)
HEADER = (
    "380000000f000000050004000600000001000000000000000400000003000000010000000000000002000000"
    "0000000004000000040000002000000000000000"
)


class Room:
    """One buffer, as PipeWire lays it out."""

    def __init__(self, size: int = 1 << 16) -> None:
        self.memory = ctypes.create_string_buffer(size)
        self.header, self.busy, self.chunk = pw.Header(), pw.Busy(), pw.Chunk()
        where = ctypes.addressof(self.memory)
        data = pw.Data(data=where, maxsize=size, chunk=ctypes.pointer(self.chunk))
        metas = (
            pw.Meta(type=pw.META_HEADER, size=32, data=ctypes.addressof(self.header)),
            pw.Meta(type=pw.META_BUSY, size=8, data=ctypes.addressof(self.busy)),
        )
        self.buffer = pw.Buffer(
            n_metas=2, n_datas=1, metas=(pw.Meta * 2)(*metas), datas=(pw.Data * 1)(data)
        )
        self.own = pw.StreamBuffer(buffer=ctypes.pointer(self.buffer))


class Server:
    """libpipewire and a server, in memory: readers come and go by `read` and `leave`."""

    def __init__(self) -> None:
        self.refuses = False
        self.nodes = 0
        self.shown: list[bytes] = []
        self.times: list[int] = []
        self.triggered = self.flushed = self.queued = 0
        self.taken = True  # whether readers take what is queued
        self.wishes: list[bytes] = []
        self.locked = False
        self.pool = [Room() for _ in range(4)]

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name.startswith("pw_thread_loop"):
            return lambda *_: 1
        raise AttributeError(name)

    def pw_thread_loop_lock(self, loop: int) -> None:
        self.locked = True

    def pw_thread_loop_unlock(self, loop: int) -> None:
        self.locked = False

    def pw_properties_new_string(self, text: bytes) -> int:
        self.properties = text.decode()
        return 1

    def pw_stream_new_simple(
        self, loop: int, name: bytes, properties: int, events: object, data: None
    ) -> int:
        self.events: pw.Events = events._obj  # type: ignore[attr-defined]
        return 1

    def pw_stream_connect(self, stream: int, *given: object) -> int:
        if self.refuses:
            return -111
        self.nodes += 1
        self.state = pw.UNCONNECTED
        self.go(pw.CONNECTING)
        self.go(pw.PAUSED)
        return 0

    def pw_stream_update_params(self, stream: int, wishes: ctypes.Array, count: int) -> int:
        self.wishes = [bytes(each) for each in wishes.kept]  # type: ignore[attr-defined]
        return 0

    def pw_stream_get_time_n(self, stream: int, now: object, size: int) -> int:
        now._obj.queued_buffers = self.queued  # type: ignore[attr-defined]
        now._obj.avail_buffers = len(self.pool)  # type: ignore[attr-defined]
        return 0

    def pw_stream_dequeue_buffer(self, stream: int) -> object:
        assert self.locked
        room = self.pool.pop(0)
        self.pool.append(room)
        if room.busy.count:
            return None
        self.memory, self.header, self.chunk = room.memory, room.header, room.chunk
        return ctypes.pointer(room.own)

    def pw_stream_queue_buffer(self, stream: int, buffer: object) -> int:
        self.queued += 1
        return 0

    def pw_stream_trigger_process(self, stream: int) -> int:
        self.triggered += 1
        if self.queued and self.taken:
            self.queued -= 1
            self.shown.append(self.memory.raw[: self.chunk.size])
            self.times.append(self.header.pts)
        return 0

    def pw_stream_flush(self, stream: int, drain: bool) -> int:
        self.flushed += 1
        self.queued = 0
        return 0

    def pw_stream_destroy(self, stream: int) -> None:
        self.nodes -= 1

    def go(self, state: int) -> None:
        """The stream's next state."""
        old, self.state = self.state, state
        self.events.state_changed(None, old, state, None)

    def read(self, pixels: PixelFormat = I420) -> None:
        """A reader comes, and chooses a format."""
        chosen = pod.build(node.OF_FORMAT, node.FORMAT, {node.PIXELS: pod.identity(pixels.spa)})
        kept = ctypes.create_string_buffer(chosen, len(chosen))
        self.events.param_changed(None, node.FORMAT, ctypes.addressof(kept))
        for room in self.pool:
            self.events.add_buffer(None, ctypes.addressof(room.own))
        self.go(pw.STREAMING)

    def leave(self) -> None:
        self.go(pw.PAUSED)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server()
    monkeypatch.setattr(node.pw, "library", lambda: found)
    return found


@pytest.fixture
def camera(server: Server) -> Iterator[PipewireCamera]:
    camera = PipewireCamera(SIZE, 30)
    yield camera
    camera.close()


def picture(level: int, size: Size = SIZE) -> Picture:
    return np.full((size[1], size[0], 3), level, np.uint8)


def test_it_is_listed_as_a_camera(server: Server, camera: PipewireCamera) -> None:
    assert server.nodes == 1
    for words in ("media.class=Video/Source", "media.role=Camera", "node.description=bshm-live"):
        assert words in server.properties.split()


def test_nothing_is_sent_while_nobody_reads(server: Server, camera: PipewireCamera) -> None:
    camera.show(picture(9))
    assert not server.shown
    assert not camera.watched.is_set()
    server.read(BGRX)
    camera.again()
    assert server.shown == [BGRX.empty(SIZE).tobytes().replace(b"\0\0\0\0", b"\t\t\t\xff")]
    server.leave()
    camera.again()
    assert len(server.shown) == 1
    assert not camera.watched.is_set()


@pytest.mark.parametrize("pixels", node.FORMATS, ids=lambda pixels: pixels.name)
def test_every_reader_gets_the_format_it_asks_for(
    pixels: PixelFormat, server: Server, camera: PipewireCamera
) -> None:
    server.read(pixels)
    image = np.random.default_rng(4).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    camera.show(image)
    expected = pixels.empty(SIZE)
    pixels.convert(image, expected)
    assert server.shown == [expected.tobytes()]
    assert server.chunk.stride == pixels.stride(SIZE)
    assert abs(server.times[0] - time.monotonic_ns()) < 60e9
    assert server.wishes[0] == node._memory(pixels, SIZE)[0]


def test_another_format_is_made_anew(server: Server, camera: PipewireCamera) -> None:
    server.read(I420)
    camera.show(picture(100))
    server.leave()
    server.read(NV12)
    camera.again()
    server.leave()
    server.events.param_changed(None, node.FORMAT, None)  # no format any more
    server.go(pw.STREAMING)
    camera.again()
    assert [len(each) for each in server.shown] == [SIZE[0] * SIZE[1] * 3 // 2] * 2


def test_a_new_reader_sees_nothing_of_before(server: Server, camera: PipewireCamera) -> None:
    server.read(BGRX)
    server.taken = False
    camera.show(picture(50))  # it stays in the queue
    server.leave()
    assert server.flushed == 1
    server.taken = True
    camera.show(picture(60))
    server.read(BGRX)
    camera.again()
    assert {each[0] for each in server.shown} == {60}


def test_pictures_do_not_grow_old_in_a_queue(server: Server, camera: PipewireCamera) -> None:
    server.read(BGRX)
    server.taken = False
    for level in range(20):
        camera.show(picture(level))
    assert server.queued == 1
    assert server.triggered == 20


def test_a_buffer_that_is_looked_at_is_not_written(server: Server, camera: PipewireCamera) -> None:
    server.read(BGRX)
    for room in server.pool[:3]:
        room.busy.count = 1
    camera.show(picture(5))
    assert len(server.shown) == 1  # there was a fourth
    server.pool[-1].busy.count = 1
    camera.show(picture(6))
    assert len(server.shown) == 1


def test_the_dead_keep_no_buffers(
    server: Server, camera: PipewireCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers that were killed never say that they are done."""
    server.read(BGRX)
    for room in server.pool:
        room.busy.count = 1
    camera.show(picture(6))
    assert not server.shown
    monkeypatch.setattr(node, "STARVED_S", 0.0)
    camera.again()
    camera.again()
    assert server.shown[0][0] == 6
    server.pool[0].busy.count = 1
    server.leave()
    assert not any(room.busy.count for room in server.pool)
    server.events.remove_buffer(None, ctypes.addressof(server.pool[0].own))
    assert len(camera._buffers) == len(server.pool) - 1


def test_a_buffer_that_is_too_small_shows_nothing(server: Server, camera: PipewireCamera) -> None:
    server.pool = [Room(100)]
    server.read(BGRX)
    camera.show(picture(77))
    assert server.shown == [b""]
    assert server.memory.raw == bytes(100)


@pytest.mark.parametrize("state", [pw.ERROR, pw.UNCONNECTED])
def test_a_server_that_ends_is_a_loss(state: int, server: Server, camera: PipewireCamera) -> None:
    server.go(state)
    for shows in (camera.check, camera.again, lambda: camera.show(picture(1))):
        with pytest.raises(OSError, match="PipeWire has ended"):
            shows()


def test_the_sink_waits_for_a_server_that_is_gone(server: Server) -> None:
    told: list[str] = []
    camera = VirtualCamera("pipewire", SIZE, 30, placeholder=picture(7), report=told.append)
    try:
        viewers = camera.viewers()
        assert isinstance(viewers, NodeViewers)
        assert not viewers.wait(0)
        server.read(BGRX)
        assert viewers.wait(1)
        camera.send(Shot(picture(90), picture(0)[..., 0], None, 0, 0.0, True))
        until(lambda: server.shown and server.shown[-1][0] == 90)
        server.go(pw.ERROR)
        until(lambda: len(told) == 2)
        assert not viewers.in_use()
        server.read(BGRX)
        until(lambda: server.shown[-1][0] == 7)  # the background, not who was there before
        assert viewers.in_use()
    finally:
        camera.close()
    assert "is lost (PipeWire has ended)" in told[0]
    assert told[1].endswith("is back")
    assert camera.describe() == "virtual camera PipeWire node bshm-live: 64x48, 30 frames/s"
    assert server.nodes == 0


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.002)


def test_without_a_server_there_is_one_line(server: Server) -> None:
    server.refuses = True
    with pytest.raises(SinkError, match="does not run here; start pipewire"):
        open_sink("pipewire", SIZE, 30)


def test_without_the_library_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pw, "LIBRARY", "libpipewire-0.3.so.none")
    pw.library.cache_clear()
    with pytest.raises(SinkError, match=r"needs PipeWire 0.3.50.*use --sink vcam"):
        open_sink("pipewire", SIZE, 30)
    good, text = pw.state({})
    assert not good
    assert "install pipewire and wireplumber" in text


@pytest.mark.skipif(sys.platform != "linux", reason="PipeWire is Linux's")
def test_the_doctor_tells_a_server_from_a_dead_one_s_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pw, "library", lambda: None)
    monkeypatch.setattr(pw, "SYSTEM_FOLDER", str(tmp_path / "system"))
    at_home = {"XDG_RUNTIME_DIR": str(tmp_path)}
    good, text = pw.state(at_home)
    assert not good
    assert f"no server at {tmp_path}/pipewire-0 and {tmp_path}/system/pipewire-0" in text
    assert "systemctl --user start pipewire wireplumber" in text
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "pipewire-0"))
        server.listen()
        assert pw.state(at_home) == (
            True,
            f"pipewire: {tmp_path}/pipewire-0 answers (--sink pipewire)",
        )
        assert not pw.state({**at_home, "PIPEWIRE_REMOTE": "other"})[0]
        named = {"PIPEWIRE_REMOTE": f"{tmp_path}/pipewire-0"}
        assert pw.state({**named, "PIPEWIRE_RUNTIME_DIR": "/nowhere"})[0]
    assert (tmp_path / "pipewire-0").exists()
    assert not pw.state(at_home)[0]


# Parameters


def test_parameters_are_as_pipewires_own_builder_makes_them() -> None:
    size = (640, 360)
    assert node._offer(NV12, size, Fraction(30000, 1001)).hex() == OFFER
    assert [each.hex() for each in node._memory(NV12, size)] == [MEMORY, HEADER]


@settings(max_examples=30)
@given(st.dictionaries(st.integers(1, 1 << 20), st.integers(0, (1 << 32) - 1)), st.integers(0, 200))
def test_numbers_are_read_back_and_what_is_cut_off_is_left_out(
    values: dict[int, int], cut: int
) -> None:
    kinds = (pod.identity, lambda number: pod.between(number, 0, number))
    built = pod.build(3, 4, {key: kinds[key % 2](number) for key, number in values.items()})
    assert pod.numbers_of(built) == values
    part = pod.numbers_of(built[: len(built) - cut])
    assert part.items() <= values.items()


@pytest.mark.skipif(sys.platform != "linux", reason="PipeWire is Linux's")
@pytest.mark.skipif(shutil.which("pipewire") is None, reason="there is no PipeWire here")
def test_the_library_has_every_function() -> None:
    pw.library.cache_clear()
    assert pw.library().pw_init
