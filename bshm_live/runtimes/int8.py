"""Whether the int8 networks are faster here: measured once, and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import platform
import time

import numpy as np

from ..errors import EngineError
from ..files import write_whole
from ..kernels.library import CPU_INFO, has_dot_products
from ..types import Engine
from . import cache
from .choice import Runtime, load_engines
from .manifest import load_manifest

ROUNDS = 7  # the fastest counts: what else the machine does only slows down
GAIN = 0.9  # of the time in float32: more is not worth another arithmetic
ON_CPU = ("onnxruntime", "openvino")

Times = dict[str, float]  # f32 and int8: milliseconds of the three networks


def is_faster(preset: str, runtime: Runtime, threads: int = 0) -> bool:
    """Whether a preset's int8 twins are there, exact and faster on this machine.

    The first time this measures for a good half second. Raises EngineError.
    """
    twins = load_manifest().int8(preset)
    if runtime.name not in ON_CPU or not twins or not has_dot_products():
        return False
    what = [network.sha256 for network in twins.values()]
    what += [runtime.name, runtime.description, processor(), str(threads)]
    file = cache.folder() / "int8" / hashlib.sha256("\n".join(what).encode()).hexdigest()
    try:
        times: Times = json.loads(file.read_bytes())
        return times["int8"] < GAIN * times["f32"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not measured yet, or the file is damaged
    times = measured(preset, runtime, threads)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(times).encode())
    except OSError:
        pass  # a cache that cannot be written: measured again at the next start
    return times["int8"] < GAIN * times["f32"]


def measured(preset: str, runtime: Runtime, threads: int) -> Times:
    """The shortest of a few runs of each kind, in turns. A twin that fails takes for ever."""
    kinds = {"f32": load_engines(preset, runtime, threads)}
    times = {"f32": float("inf"), "int8": float("inf")}
    try:
        kinds["int8"] = load_engines(preset, runtime, threads, int8=True)
        for _ in range(ROUNDS):
            for kind, engines in kinds.items():
                times[kind] = min(times[kind], sum(map(milliseconds, engines)))
    except EngineError:
        times["int8"] = float("inf")
    for engines in kinds.values():
        for engine in engines:
            engine.close()
    return times


def milliseconds(engine: Engine) -> float:
    feeds = {name: np.full(shape, 0.5, np.float32) for name, shape in engine.inputs.items()}
    start = time.perf_counter()
    engine.run(feeds)
    return (time.perf_counter() - start) * 1e3


def processor() -> str:
    """The processor's name: a cache folder may be shared by several machines."""
    if CPU_INFO.is_file():
        lines = CPU_INFO.read_text(errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()
