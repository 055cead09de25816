"""The choice of a runtime, and a preset's three engines made ready in it.

Each runtime has a file of its own and is imported there alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ..bshm import Bshm
from ..errors import EngineError
from ..manifest import Manifest, check_file, load_manifest
from ..types import Engine

# Best first; `auto` takes the first that is there.
MODULES = {"openvino": "openvino", "onnxruntime": "onnxruntime"}
INSTALL = {
    "openvino": "pip install 'bshm-live[openvino]'",
    "onnxruntime": "pip install onnxruntime",
}


@dataclass(frozen=True)
class Runtime:
    """A runtime that is there: its name, what it runs on, how to load a network."""

    name: str
    description: str
    load: Callable[[Path, int], Engine]


def available() -> list[str]:
    return [name for name, module in MODULES.items() if find_spec(module)]


def get_runtime(name: str = "auto") -> Runtime:
    """The runtime of that name, or for `auto` the best that is installed."""
    if name == "tensorrt":
        raise EngineError("tensorrt: not in this version; use --runtime auto")
    if name == "auto":
        return get_runtime(available()[0])
    if name not in MODULES:
        raise EngineError(f"--runtime {name}: unknown; choose from auto, {', '.join(MODULES)}")
    if not find_spec(MODULES[name]):
        raise EngineError(f"--runtime {name}: not installed; {INSTALL[name]}")
    module = import_module(f"{__name__}.{name}")
    return Runtime(name, module.version(), module.load)


def load_bshm(
    preset: str, runtime: Runtime, threads: int = 0, manifest: Manifest | None = None
) -> Bshm:
    """The three networks of a preset, their files checked against the manifest."""
    networks = (manifest or load_manifest()).preset(preset)
    engines = []
    for name in ("mpn", "qun", "mrn"):
        network = networks[name]
        check_file(network)
        engine = runtime.load(network.path, threads)
        if dict(engine.inputs) != dict(network.inputs):
            raise EngineError(f"{network.path} is not the {name} of the manifest: reinstall")
        engines.append(engine)
    return Bshm(*engines)
