"""ONNX Runtime on the CPU: the base runtime, always there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

from ..errors import EngineError
from ..types import Shape, Tensor

# Between two layers a worker waits this long awake. Without, waking it costs a tenth of the
# smallest networks' time; much longer, and idle workers take the cores from the camera, the
# encoder and the caller. Releases before this one know no limit: there they never spin.
SPIN_US = 20
SPIN_SINCE = (1, 28)

# It reports its use to its maker. `bshm_live.SILENCE` keeps it from starting to; this is for
# who imported it before us.
ort.disable_telemetry_events()


class OnnxRuntimeEngine:
    """One network in ONNX Runtime. Returned arrays are new at every run."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        for key, value in spinning().items():
            options.add_session_config_entry(key, value)
        try:
            self._session = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has a class for every status, none of them shared
            raise EngineError(
                f"{path} is not a network that ONNX Runtime can load: {first_line(error)}"
            ) from error
        self.inputs: Mapping[str, Shape] = {
            i.name: tuple(i.shape) for i in self._session.get_inputs()
        }
        self.outputs: Mapping[str, Shape] = {
            o.name: tuple(o.shape) for o in self._session.get_outputs()
        }
        self._names = list(self.outputs)

    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        try:
            arrays = self._session.run(self._names, dict(feeds))
        except Exception as error:  # as above
            raise EngineError(f"ONNX Runtime failed: {first_line(error)}") from error
        return dict(zip(self._names, arrays, strict=True))  # type: ignore[arg-type]

    def close(self) -> None:
        """Nothing to give back: the session goes with the object."""


def spinning(version: str = ort.__version__) -> dict[str, str]:
    """How the workers of a session wait: entries of its configuration."""
    release = tuple(int(part) for part in version.split(".")[:2])
    if release < SPIN_SINCE:
        return {"session.intra_op.allow_spinning": "0"}
    return {
        "session.intra_op.spin_duration_us": str(SPIN_US),
        "session.force_spinning_stop": "1",  # not from one run to the next
    }


def first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


load = OnnxRuntimeEngine


def version() -> str:
    return f"ONNX Runtime {ort.__version__}, CPU"
