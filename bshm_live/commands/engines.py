"""The engines as they are on this machine: what is there, and whether it computes right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..runtimes import cache as engine_cache
from ..runtimes.choice import (
    NAMES,
    Runtime,
    available,
    get_runtime,
    load_bshm,
    state,
    tensorrt_f32,
)
from ..runtimes.manifest import REINSTALL, Manifest, engines_folder, load_manifest
from ..types import Engine, Tensor
from .signals import handled


def list_engines() -> int:
    """Prints networks and runtimes."""
    manifest = load_manifest()
    _list_networks(manifest)
    print("runtimes")
    for name in NAMES:
        print(f"  {state(name)[1]}")
    _list_built(manifest)
    return 0


def _list_networks(manifest: Manifest) -> None:
    print(f"networks in {engines_folder()}")
    for network in manifest.networks:
        sizes = " ".join(f"{k} {v[3]}x{v[2]}" for k, v in network.inputs.items())
        print(f"  {network.preset:9} {network.name:4} {sizes:34} {network.sha256[:12]}")


def _list_built(manifest: Manifest) -> None:
    """What `engines build` left in the cache, and for which networks."""
    networks = {
        n.sha256[: engine_cache.SHA_SHOWN]: f"{n.preset} {n.name}" for n in manifest.networks
    }
    print(f"built engines in {engine_cache.folder()}")
    lines = []
    for path in engine_cache.entries():
        sha256, _, rest = path.stem.partition("-")
        size = path.stat().st_size / 1e6
        lines.append(f"  {networks.get(sha256, 'another version'):16}{size:6.1f} MB  {rest}")
    print("\n".join(sorted(lines)) or "  none: bshm-live engines build")


@handled()
def verify_engines() -> int:
    """Runs every runtime that is there on the goldens; the largest difference per stage.

    PyTorch computed the goldens when the networks were exported. Raises
    EngineError where one is further away than its precision explains.
    """
    goldens = load_goldens()
    wrong = []
    for runtime in runtimes():
        print(f"{runtime.description}")
        for preset in sorted(goldens):
            found = compare(preset, runtime, goldens[preset])
            worst = float(np.max(list(found.values())))
            text = "  ".join(f"{stage} {value:.1e}" for stage, value in found.items())
            print(f"  {preset:9} {text}")
            if not worst <= runtime.bound:  # a NaN, too, is wrong
                wrong.append(f"{runtime.name} differs by {worst:.1e} from the goldens of {preset}")
        print(f"  bound     {runtime.bound:.0e}")
    if wrong:
        raise EngineError(f"{wrong[0]}: update it, or choose another with --runtime")
    for name in NAMES:
        if name not in available():
            print(f"not verified: {state(name)[1]}")
    print("all within their bounds")
    return 0


def runtimes() -> Iterator[Runtime]:
    """All that are there; TensorRT, which uses float16, in float32 too."""
    for name in available():
        yield get_runtime(name)
        if name == "tensorrt":
            yield tensorrt_f32()


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
            # A NaN must not get lost, as it does in max()
            found[stage] = float(np.maximum(found.get(stage, 0.0), difference))
    bshm.close()
    return found
