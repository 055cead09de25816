"""A CUDA graph: what was put on a stream once, launched again as one piece of work.

pycuda has none, so the driver's own library is asked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from ..errors import EngineError
from .nvidia import LIBRARY

THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE: what other threads do meanwhile does not disturb


class Graph:
    """Records what `enqueue` puts on `stream` (a CUstream as a number); runs nothing.

    Memory that the work uses keeps its place as long as the graph lives. A CUDA
    context must be current. Raises EngineError.
    """

    def __init__(self, stream: int, enqueue: Callable[[], None], library: str = LIBRARY) -> None:
        self._driver = ctypes.CDLL(library)
        graph, self._runnable = ctypes.c_void_p(), ctypes.c_void_p()
        handle = ctypes.c_void_p(stream)
        self._call("cuStreamBeginCapture_v2", handle, THREAD_LOCAL)
        try:
            enqueue()
        finally:  # a stream that goes on recording could be used for nothing else
            ended = self._driver.cuStreamEndCapture(handle, ctypes.byref(graph))
        self._check("cuStreamEndCapture", ended)
        try:
            none = ctypes.c_ulonglong(0)
            runnable = ctypes.byref(self._runnable)
            self._call("cuGraphInstantiateWithFlags", runnable, graph, none)
        finally:
            self._driver.cuGraphDestroy(graph)

    def launch(self, stream: int) -> None:
        """Puts the whole on a stream. Raises EngineError."""
        self._call("cuGraphLaunch", self._runnable, ctypes.c_void_p(stream))

    def close(self) -> None:
        if self._runnable:
            self._driver.cuGraphExecDestroy(self._runnable)
            self._runnable = ctypes.c_void_p()

    def _call(self, name: str, *arguments: object) -> None:
        self._check(name, getattr(self._driver, name)(*arguments))

    def _check(self, name: str, code: int) -> None:
        if code:
            raise EngineError(f"{name} failed (CUDA error {code}): update the NVIDIA driver")
