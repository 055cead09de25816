"""The system's libpipewire, as far as a camera needs it (0.3.50 or newer).

https://docs.pipewire.org/group__pw__stream.html. Its C header is mirrored in the structures
below; what they do not name is not touched.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import socket
from collections.abc import Mapping, Sequence
from ctypes import (
    POINTER,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from functools import cache
from pathlib import Path

from ..errors import SinkError

LIBRARY = "libpipewire-0.3.so.0"
FOLDERS = ("PIPEWIRE_RUNTIME_DIR", "XDG_RUNTIME_DIR")  # of the server's socket; the first counts
SYSTEM_FOLDER = "/run/pipewire"
OUTPUT, ANY_NODE = 1, 0xFFFFFFFF
MAP_BUFFERS, DRIVER = 1 << 2, 1 << 3  # flags of a stream: memory is mapped, we set the pace
ERROR, UNCONNECTED, CONNECTING, PAUSED, STREAMING = range(-1, 4)  # its states
EVENTS_VERSION = 2
META_HEADER, META_BUSY = 1, 7

StateChanged = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_int, c_char_p)
ParamChanged = ctypes.CFUNCTYPE(None, c_void_p, c_uint32, c_void_p)
OneBuffer = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)


class Events(ctypes.Structure):
    """struct pw_stream_events"""

    _fields_ = (
        ("version", c_uint32),
        ("destroy", c_void_p),
        ("state_changed", StateChanged),
        ("control_info", c_void_p),
        ("io_changed", c_void_p),
        ("param_changed", ParamChanged),
        ("add_buffer", OneBuffer),
        ("remove_buffer", OneBuffer),
        ("process", c_void_p),
        ("drained", c_void_p),
        ("command", c_void_p),
        ("trigger_done", c_void_p),
    )


class Chunk(ctypes.Structure):
    """struct spa_chunk: which bytes of a buffer count"""

    _fields_ = (("offset", c_uint32), ("size", c_uint32), ("stride", c_int32), ("flags", c_int32))


class Data(ctypes.Structure):
    """struct spa_data"""

    _fields_ = (
        ("type", c_uint32),
        ("flags", c_uint32),
        ("fd", c_int64),
        ("mapoffset", c_uint32),
        ("maxsize", c_uint32),
        ("data", c_void_p),
        ("chunk", POINTER(Chunk)),
    )


class Meta(ctypes.Structure):
    """struct spa_meta"""

    _fields_ = (("type", c_uint32), ("size", c_uint32), ("data", c_void_p))


class Header(ctypes.Structure):
    """struct spa_meta_header: nanoseconds of the monotonic clock, and a count"""

    _fields_ = (
        ("flags", c_uint32),
        ("offset", c_uint32),
        ("pts", c_int64),
        ("dts_offset", c_int64),
        ("seq", c_uint64),
    )


class Busy(ctypes.Structure):
    """struct spa_meta_busy: how many look at a buffer"""

    _fields_ = (("flags", c_uint32), ("count", c_uint32))


class Buffer(ctypes.Structure):
    """struct spa_buffer"""

    _fields_ = (
        ("n_metas", c_uint32),
        ("n_datas", c_uint32),
        ("metas", POINTER(Meta)),
        ("datas", POINTER(Data)),
    )


class StreamBuffer(ctypes.Structure):
    """struct pw_buffer, up to what every version has"""

    _fields_ = (("buffer", POINTER(Buffer)), ("user_data", c_void_p), ("size", c_uint64))


class Time(ctypes.Structure):
    """struct pw_time of 0.3.50"""

    _fields_ = (
        ("now", c_int64),
        ("rate", c_uint32 * 2),
        ("ticks", c_uint64),
        ("delay", c_int64),
        ("queued", c_uint64),
        ("buffered", c_uint64),
        ("queued_buffers", c_uint32),
        ("avail_buffers", c_uint32),
    )


PODS = POINTER(c_void_p)
# name: what it returns, then what it takes
FUNCTIONS: dict[str, tuple[object, ...]] = {
    "pw_init": (None, c_void_p, c_void_p),
    "pw_thread_loop_new": (c_void_p, c_char_p, c_void_p),
    "pw_thread_loop_get_loop": (c_void_p, c_void_p),
    "pw_thread_loop_start": (c_int, c_void_p),
    "pw_thread_loop_stop": (None, c_void_p),
    "pw_thread_loop_destroy": (None, c_void_p),
    "pw_thread_loop_lock": (None, c_void_p),
    "pw_thread_loop_unlock": (None, c_void_p),
    "pw_properties_new_string": (c_void_p, c_char_p),
    "pw_stream_new_simple": (c_void_p, c_void_p, c_char_p, c_void_p, POINTER(Events), c_void_p),
    "pw_stream_connect": (c_int, c_void_p, c_int, c_uint32, c_int, PODS, c_uint32),
    "pw_stream_update_params": (c_int, c_void_p, PODS, c_uint32),
    "pw_stream_get_time_n": (c_int, c_void_p, POINTER(Time), c_size_t),
    "pw_stream_dequeue_buffer": (POINTER(StreamBuffer), c_void_p),
    "pw_stream_queue_buffer": (c_int, c_void_p, POINTER(StreamBuffer)),
    "pw_stream_trigger_process": (c_int, c_void_p),
    "pw_stream_flush": (c_int, c_void_p, ctypes.c_bool),
    "pw_stream_destroy": (None, c_void_p),
}


@cache
def library() -> ctypes.CDLL:
    """libpipewire, ready for use. Raises SinkError."""
    try:
        loaded = ctypes.CDLL(LIBRARY, use_errno=True)
        for name, (returns, *takes) in FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = returns, takes
    except (OSError, AttributeError) as error:
        raise SinkError(
            f"--sink pipewire needs PipeWire 0.3.50 or newer ({error}); "
            "install pipewire and wireplumber, or use --sink vcam"
        ) from error
    loaded.pw_init(None, None)
    return loaded


def state(environment: Mapping[str, str] = os.environ) -> tuple[bool, str]:
    """Whether a camera of PipeWire's can be opened here, and a line for `doctor`."""
    try:
        library()
    except SinkError as error:
        return False, f"pipewire: {error}"
    name = environment.get("PIPEWIRE_REMOTE") or "pipewire-0"
    own = next((environment[each] for each in FOLDERS if environment.get(each)), SYSTEM_FOLDER)
    places = dict.fromkeys(Path(folder, name) for folder in (own, SYSTEM_FOLDER))
    for place in places:
        if _answers(place):
            return True, f"pipewire: {place} answers (--sink pipewire)"
    looked = " and ".join(map(str, places))
    return False, (
        f"pipewire: no server at {looked}; for --sink pipewire, as the user of the desktop: "
        "systemctl --user start pipewire wireplumber"
    )


def _answers(place: Path) -> bool:
    """Whether a server listens there: a socket outlives a server that was killed."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(os.fspath(place))
        except OSError:
            return False
    return True


def pods(parameters: Sequence[bytes]) -> ctypes.Array[c_void_p]:
    """Parameters as C wants them. They live as long as what is returned."""
    kept = [ctypes.create_string_buffer(each, len(each)) for each in parameters]
    array = (c_void_p * len(kept))(*map(ctypes.addressof, kept))
    array.kept = kept  # type: ignore[attr-defined]
    return array
