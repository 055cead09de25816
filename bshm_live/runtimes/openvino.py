"""OpenVINO on the CPU, an extra: `pip install 'bshm-live[openvino]'`."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# OpenVINO reports its use over the network where this package can be imported;
# without it, it goes on in silence. Nothing that we run may call anywhere.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino as ov  # noqa: E402

from ..errors import EngineError  # noqa: E402
from ..types import Shape, Tensor  # noqa: E402

# By default OpenVINO computes in bfloat16 where the processor has it: faster,
# and different from machine to machine. Pinned, so that a matte is the same everywhere.
PRECISION = "f32"


class SignalStack(ctypes.Structure):
    """stack_t of Linux's signal.h."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """OpenVINO leaves a signal stack behind in memory that it gives back: Ctrl-C would crash."""
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)


class OpenVinoEngine:
    """One network in OpenVINO. Returned arrays are valid until the next run."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        core = ov.Core()
        config = {
            "INFERENCE_PRECISION_HINT": PRECISION,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        try:
            with kept_signal_stack():
                network = core.read_model(str(path))
                model = core.compile_model(network, "CPU", config)
        except RuntimeError as error:
            line = str(error).strip().splitlines()[-1]
            raise EngineError(f"{path} is not a network that OpenVINO can load: {line}") from error
        # Compiling adds names of its own to the ports; their order stays.
        self.inputs: Mapping[str, Shape] = {
            port.any_name: tuple(port.shape) for port in network.inputs
        }
        self.outputs: Mapping[str, Shape] = {
            port.any_name: tuple(port.shape) for port in network.outputs
        }
        self._request = model.create_infer_request()

    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if self._request is None:
            raise EngineError("OpenVINO failed: the network is closed")
        try:
            self._request.infer(dict(feeds), share_inputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {str(error).strip().splitlines()[-1]}") from error
        return {n: self._request.get_output_tensor(i).data for i, n in enumerate(self.outputs)}

    def close(self) -> None:
        """The request, and with it the network, goes now."""
        with kept_signal_stack():
            self._request = None


load = OpenVinoEngine


def version() -> str:
    return f"OpenVINO {ov.__version__.split('-')[0]}, CPU, {PRECISION}"
