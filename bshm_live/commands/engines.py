"""The engines on this machine: what is there, made ready for a GPU, and whether it is right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..kernels.library import has_dot_products
from ..matting.head import HEAT_LEAST, SIZE
from ..runtimes import cache as engine_cache
from ..runtimes.choice import (
    BOUNDS,
    NAMES,
    Runtime,
    available,
    get_runtime,
    lacking,
    load_bshm,
    load_head,
    state,
    tensorrt_f32,
)
from ..runtimes.int8 import ON_CPU
from ..runtimes.manifest import (
    REINSTALL,
    Manifest,
    Network,
    check_file,
    engines_folder,
    load_manifest,
)
from ..runtimes.nvidia import Gpu, builder_lacks, find_gpu
from ..runtimes.official import IMPORT, imported
from ..sources.video_file import VideoFile, demo_clip
from ..types import Engine, Tensor
from .signals import handled

CROP = slice(None), slice(170, 471)  # of the packaged clip: portrait format, an odd width
BUILT = ("tensorrt",)  # the others compile when they load, in well under a second


def list_engines() -> int:
    """Prints networks and runtimes."""
    manifest = load_manifest()
    _list_networks(manifest)
    there = imported()
    words = f"{there.path}  {there.sha256[:12]}" if there else f"not imported: {IMPORT}"
    print(f"  official  {words}")
    print("runtimes")
    for name in NAMES:
        print(f"  {state(name)[1]}")
    _list_built(manifest)
    return 0


def _list_networks(manifest: Manifest) -> None:
    print(f"networks in {engines_folder()}")
    for network in (*manifest.networks, *([manifest.head] if manifest.head else [])):
        sizes = " ".join(f"{k} {v[3]}x{v[2]}" for k, v in network.inputs.items())
        twin = manifest.twins.get(network.sha256)
        note = f"  int8 {twin.sha256[:12]}" if twin else ""
        print(f"  {network.preset:9} {network.name:4} {sizes:34} {network.sha256[:12]}{note}")


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
def build_engines(runtime: str, preset: str | None, *, progress: bool = False) -> int:
    """Builds a preset's engines, or all; those in the cache stay. Raises EngineError.

    A bar shows how far it is where a person watches, or with `progress`. Where
    engines can run, each runs once, so that the GPU's own compiling is done too.
    """
    if runtime not in ("auto", *BUILT):
        print(f"{runtime} needs no building: it compiles the networks when it loads them")
        return 0
    if lacks := list(builder_lacks()):
        raise EngineError(f"--runtime tensorrt: {'; '.join(map(str, lacks))}")
    manifest = load_manifest()
    names = (preset,) if preset else manifest.presets
    networks = [network for name in names for network in manifest.preset(name).values()]
    _build_all(manifest, networks, progress=progress)
    return 0


def _build_all(manifest: Manifest, networks: Sequence[Network], *, progress: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ..runtimes.tensorrt_build import TITLE, engine_of, target

    found = find_gpu()
    gpu = found if isinstance(found, Gpu) else None
    runs = lacking("tensorrt") is None
    console = Console()
    columns = (TextColumn("{task.description:32}"), BarColumn(), TimeElapsedColumn())
    console.print(f"{TITLE}, for {target(gpu)}", highlight=False)
    quiet = not (progress or console.is_terminal)
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        whole = bar.add_task("engines", total=len(networks))
        phase = bar.add_task("", total=1)

        def step(name: str, done: int, steps: int) -> None:
            bar.update(phase, description=name, completed=done, total=steps)

        for network in networks:
            bar.update(whole, description=f"{network.preset} {network.name}")
            check_file(network)
            start = time.perf_counter()
            key, blob, stored = engine_of(network.path, gpu, step=step)
            if runs:
                get_runtime("tensorrt").load(network.path, 0).close()
            note = "in the cache" if stored else f"built in {time.perf_counter() - start:.2f} s"
            name = f"{network.preset:9} {network.name:4} {key.size:>9} {key.precision}"
            bar.console.print(f"  {name} {len(blob) / 1e6:5.1f} MB  {note}", highlight=False)
            bar.update(whole, advance=1)


@handled()
def import_official(path: Path) -> int:
    """Makes the official release's graph the preset `official`. Raises EngineError."""
    from ..runtimes.official_graph import import_graph

    with closing(VideoFile(demo_clip())) as clip:
        whole = next(iter(clip)).image.copy()
    there, off = import_graph(path, (whole, np.ascontiguousarray(whole[CROP])))
    print(f"{there.path}: the preset official of image, id, product and video")
    print(f"  sha256 {there.sha256}, of a graph with sha256 {there.graph_sha256}")
    print(f"  made with {there.made_with}; alpha at most {off:.0f} of 255 from TensorFlow's own")
    return 0


@handled()
def verify_engines() -> int:
    """Runs every runtime that is there on the goldens; the largest difference per stage.

    PyTorch computed the goldens when the networks were exported. Raises
    EngineError where one is further away than its precision explains.
    """
    goldens, head = load_goldens(), load_head_golden()
    wrong = []
    for runtime in runtimes():
        print(f"{runtime.description}")
        golds = {
            preset: partial(compare, preset, golden=goldens[preset]) for preset in sorted(goldens)
        }
        if head is not None:
            golds["head"] = partial(compare_head, golden=head)
        wrong += _verified(runtime, golds)
        if runtime.name in ON_CPU and has_dot_products():
            rough = replace(runtime, bound=BOUNDS["int8"])
            twins = [preset for preset in sorted(goldens) if load_manifest().int8(preset)]
            golds = {
                f"{preset} int8": partial(compare, preset, golden=goldens[preset], int8=True)
                for preset in twins
            }
            wrong += _verified(rough, golds)
    if wrong:
        raise EngineError(f"{wrong[0]}: update it, or choose another with --runtime")
    for name in NAMES:
        if name not in available():
            print(f"not verified: {state(name)[1]}")
    print("all within their bounds")
    return 0


def _verified(runtime: Runtime, golds: Mapping[str, Callable[..., dict[str, float]]]) -> list[str]:
    """Compares and prints; what is wrong, in words."""
    wrong = []
    for name, compared in golds.items():
        found = compared(runtime=runtime)
        worst = float(np.max(list(found.values())))
        text = "  ".join(f"{stage} {value:.1e}" for stage, value in found.items())
        print(f"  {name:14} {text}")
        if not worst <= runtime.bound:  # a NaN, too, is wrong
            wrong.append(f"{runtime.name} differs by {worst:.1e} from the goldens of {name}")
    if golds:
        print(f"  {'bound':14} {runtime.bound:.0e}")
    return wrong


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


def load_head_golden() -> dict[str, NDArray[Any]] | None:
    """The head finder's picture and maps; None in a folder without a head finder."""
    manifest = load_manifest()
    path = manifest.folder / "head.npz"
    if manifest.head is None:
        return None
    if not path.is_file():
        raise EngineError(f"{path}: missing, so there is nothing to compare with; {REINSTALL}")
    with np.load(path) as file:
        return dict(file)


def compare_head(runtime: Runtime, golden: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Largest difference of the heat, and of the points where there is a head, as shares."""
    engine = load_head(runtime)
    maps = engine.run({"image": np.divide(golden["image"], 255, dtype=np.float32)})
    seen = golden["heat"] >= HEAT_LEAST
    found = {
        "heat": float(np.abs(maps["heat"] - golden["heat"]).max()),
        "points": float(np.max(np.abs(maps["points"] - golden["points"]) * seen)) / SIZE[0],
    }
    engine.close()
    return found


def compare(
    preset: str, runtime: Runtime, golden: Mapping[str, NDArray[Any]], *, int8: bool = False
) -> dict[str, float]:
    """Largest absolute difference per stage, each fed with the golden of the one before.

    In int8 the mean one: single pixels of an edge may be far off.
    """
    apart = np.mean if int8 else np.max
    bshm = load_bshm(preset, runtime, int8=int8)
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
            difference = apart(np.abs(value - golden[name].astype(np.float32)))
            # A NaN must not get lost, as it does in max()
            found[stage] = float(np.maximum(found.get(stage, 0.0), difference))
    bshm.close()
    return found
