"""`engines build`: the networks made ready for the GPU, before they are needed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..errors import EngineError
from ..runtimes.choice import get_runtime, lacking
from ..runtimes.manifest import Manifest, Network, check_file, load_manifest
from ..runtimes.nvidia import Gpu, builder_lacks, find_gpu
from .signals import handled

BUILT = ("tensorrt",)  # the others compile when they load, in well under a second


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
