"""The engines as they are on this machine: what is there, and whether it computes right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError
from .manifest import REINSTALL, engines_folder, load_manifest
from .runtimes import MODULES, Runtime, available, get_runtime, load_bshm
from .types import Engine, Tensor

# The largest difference that a runtime in float32 may have from the goldens,
# which PyTorch computed when the networks were exported (kept as float16).
BOUND = 1e-3


def list_engines() -> int:
    """Prints networks and runtimes."""
    manifest = load_manifest()
    print(f"networks in {engines_folder()}")
    for network in manifest.networks:
        sizes = " ".join(f"{k} {v[3]}x{v[2]}" for k, v in network.inputs.items())
        print(f"  {network.preset:9} {network.name:4} {sizes:34} {network.sha256[:12]}")
    print("runtimes")
    for name in MODULES:
        there = name in available()
        print(f"  {get_runtime(name).description if there else name + ': not installed'}")
    return 0


def verify_engines() -> int:
    """Runs every installed runtime on the goldens; the largest difference per stage."""
    goldens = load_goldens()
    worst = 0.0
    for name in available():
        runtime = get_runtime(name)
        print(f"{runtime.description}")
        for preset in sorted(goldens):
            found = compare(preset, runtime, goldens[preset])
            worst = max(worst, *found.values())
            text = "  ".join(f"{stage} {value:.1e}" for stage, value in found.items())
            print(f"  {preset:9} {text}")
    if worst > BOUND:
        raise EngineError(
            f"a runtime differs by {worst:.1e} from the goldens, more than {BOUND:.0e}: "
            "update it, or choose another with --runtime"
        )
    print(f"all within {BOUND:.0e}")
    return 0


def load_goldens() -> dict[str, dict[str, NDArray[Any]]]:
    """By preset and name. Raises EngineError where there are none."""
    path = engines_folder() / "goldens.npz"
    if not path.is_file():
        raise EngineError(f"{path}: missing, so there is nothing to compare with; {REINSTALL}")
    goldens: dict[str, dict[str, NDArray[Any]]] = {}
    with np.load(path) as file:
        for key, value in file.items():
            preset, _, name = key.partition(".")
            goldens.setdefault(preset, {})[name] = value
    return goldens


def compare(preset: str, runtime: Runtime, golden: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Largest absolute difference per stage, each fed with the golden of the one before."""
    bshm = load_bshm(preset, runtime)
    image: Tensor = np.divide(golden["image"], 255, dtype=np.float32)
    low: Tensor = np.divide(golden["low"], 255, dtype=np.float32)
    coarse = golden["coarse"].astype(np.float32)
    unified = golden["unified"].astype(np.float32)
    feeds: dict[str, tuple[Engine, dict[str, Tensor]]] = {
        "mpn": (bshm.mpn, {"image": low, "hint": np.zeros(coarse.shape, np.float32)}),
        "qun": (bshm.qun, {"image": low, "coarse": coarse}),
        "mrn": (bshm.mrn, {"image": image, "unified": unified}),
    }
    found: dict[str, float] = {}
    for stage, (engine, tensors) in feeds.items():
        for name, value in engine.run(tensors).items():
            difference = np.abs(value - golden[name].astype(np.float32)).max()
            found[stage] = max(found.get(stage, 0.0), float(difference))
    bshm.close()
    return found
