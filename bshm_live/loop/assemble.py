"""Settings ▸ parts: the one place that chooses the preset and the runtime.

A preset that was asked for is obeyed. Else pictures in portrait format get the tall
networks; all others get `quality` for stills and on a GPU, `balanced` elsewhere; and a
live picture gets `fast` where that choice cannot keep the source's rate.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal

from ..compositing.background import plain
from ..compositing.framing import Finder
from ..errors import EngineError
from ..gpu.parts import GpuParts, open_gpu
from ..matting.bshm import Bshm
from ..matting.head import HeadFinder
from ..runtimes.choice import Runtime, get_runtime, lacking, load_bshm, load_head_finder
from ..runtimes.int8 import is_faster
from ..runtimes.manifest import load_manifest
from ..runtimes.official import RUNTIME as OFFICIAL_RUNTIME
from ..runtimes.official import load_official
from ..settings import OFFICIAL, TALL, Networks
from ..sources.video_file import VideoFile, demo_clip
from ..types import Matting, Parts, Size
from .gpu_start import Builder, GpuStart, Way
from .in_flight import InFlight
from .parts import Always, CpuParts, cpu_parts
from .pipeline import Pipeline
from .stage import Stage
from .switch import Change, Switch
from .trial import Trial

log = logging.getLogger(__name__)

Job = Literal["live", "file", "still"]
NETWORKS_SHARE = 0.75  # of a frame's time; the rest is for camera, composite and sinks
FRUGAL_SHARE = 0.5  # the same, up to which small networks have one thread each
TRIALS = 7
TRIALS_MS = 300.0  # the first frame waits for them, on a slow machine for fewer
SLOWEST_LIVE = "fast"  # of the presets: what is taken where another keeps no pace


def preset_for(networks: Networks, size: Size, job: Job, *, on_gpu: bool = False) -> str:
    """The preset for pictures of `size` (width, height). Raises EngineError: no manifest."""
    if networks.preset:
        return networks.preset
    width, height = size
    there = load_manifest().presets
    if height > width and TALL in there:
        return TALL
    best = job == "still" or (on_gpu and job == "live")
    return "quality" if best and "quality" in there else "balanced"


def runtime_for(networks: Networks) -> Runtime:
    """What files are made on. Raises EngineError."""
    return get_runtime(OFFICIAL_RUNTIME if networks.preset == OFFICIAL else networks.runtime)


def load(
    networks: Networks, preset: str, stack: ExitStack, job: Job = "live"
) -> tuple[Runtime, Matting]:
    """The runtime and a preset's networks, closed with `stack`. Raises EngineError."""
    if preset == OFFICIAL:
        runtime, official = load_official(networks.runtime, networks.threads)
        return runtime, stack.enter_context(closing(official))
    runtime, matting = open_networks(networks, preset, job)
    return runtime, stack.enter_context(matting)


def open_networks(
    networks: Networks, preset: str, job: Job, *, frugal: bool = False
) -> tuple[Runtime, Bshm]:
    """Our three of a preset, closed by the caller. In int8 where that is asked for, or live
    and faster."""
    runtime, threads = get_runtime(networks.runtime), networks.threads
    int8 = networks.precision == "int8" or (
        networks.precision == "auto" and job == "live" and is_faster(preset, runtime, threads)
    )
    if int8:
        runtime = replace(runtime, description=f"{runtime.description}, int8")
    reuse = job == "live"
    return runtime, load_bshm(preset, runtime, threads, int8=int8, reuse=reuse, frugal=frugal)


# --- stills -----------------------------------------------------------------------------------


def still_networks(networks: Networks, stack: ExitStack) -> tuple[Runtime, Matting, Matting]:
    """The runtime, and networks for pictures in landscape and in portrait format."""
    presets = [preset_for(networks, size, "still") for size in ((4, 3), (3, 4))]
    runtime, wide = load(networks, presets[0], stack, "still")
    tall = wide if presets[1] == presets[0] else load(networks, presets[1], stack, "still")[1]
    return runtime, wide, tall


# --- files ------------------------------------------------------------------------------------


def file_pipeline(
    stage: Stage, networks: Networks, size: Size, stack: ExitStack
) -> tuple[str, Pipeline]:
    """What runs, in words, and the loop, closed with `stack`. Raises EngineError.

    Where TensorRT runs, frames stay on the GPU; where that cannot be had, its
    networks run there, and a line says why. Two are in flight, unless a frame waits for what
    was seen in the last one.
    """
    preset = preset_for(networks, size, "file")
    parts: Parts | None = None
    if preset != OFFICIAL and get_runtime(networks.runtime).name == "tensorrt":
        try:
            gpu = open_gpu(preset, size, smooth=networks.steady, wrap=stage.wrap or 0.0)
        except EngineError as error:
            log.info(f"composites on the CPU: {error}")
        else:
            stack.callback(gpu.close)
            words = f"{get_runtime(networks.runtime).description}, frames stay on the GPU"
            if stage.framing is None and not stage.subject and stage.place is None:
                return words, InFlight(gpu, lambda: stage, size)
            parts = gpu
    if parts is None:
        runtime, matting = load(networks, preset, stack, "file")
        words = runtime.description
        parts = cpu_parts(matting, size, smooth=networks.steady, threads=networks.threads)
    find = head_finder(stack)
    return words, Pipeline(Always(parts), lambda: stage, size, fail_closed=False, find=find)


def head_finder(stack: ExitStack) -> Finder:
    """Finds heads in a picture; opened when it is first asked, closed with `stack`."""

    @cache
    def finder() -> HeadFinder:
        opened = load_head_finder(threads=1)
        stack.callback(opened.close)
        return opened

    return lambda picture: finder().glance(picture)


# --- live -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LiveParts:
    """The parts of a live picture: what runs, in words, and how to change it while it runs.

    `preset` is the one that begins, `most` the one that would have been chosen on a
    machine that keeps up with it.
    """

    words: str
    switch: Switch
    preset: str
    most: str
    size: Size
    fps: float = 30.0

    def load(self, networks: Networks) -> Callable[[], None]:
        """Prepares other networks; what it returns hands them to the loop. Raises EngineError.

        Steadying changes with them, or alone where the networks stay.
        """
        now = self.switch.newest
        on_gpu = isinstance(now, GpuParts)
        preset = preset_for(networks, self.size, "live", on_gpu=on_gpu)
        if load_manifest().preset(preset)["mpn"].inputs["image"][2:] == tuple(now.matting.low):
            return partial(setattr, now.steadier, "smooth", networks.steady)
        if isinstance(now, CpuParts):
            _, matting, _ = paced(networks, preset, self.size, self.fps, "live")
            parts: Parts = replace(now, matting=matting)
        else:
            parts = open_gpu(preset, self.size, wrap=now.compositor.wrap)

        def hand_over() -> None:
            parts.steadier.smooth = networks.steady
            self.switch.hand_over(Change(parts, f"{preset} networks", spare=False))

        return hand_over


def live_parts(
    networks: Networks, size: Size, fps: float, stack: ExitStack, *, wrap: float = 0.0
) -> LiveParts:
    """The CPU's parts, or with TensorRT those that become the GPU's.

    `wrap` is the light wrap to begin with. Closed with `stack`. Raises EngineError.
    """
    asked = networks.runtime
    gpu = asked == "tensorrt" or (asked == "auto" and not lacking("tensorrt"))
    # On the CPU until then: the runtime that starts soonest.
    first = networks
    job: Job = "file" if gpu else "live"
    if gpu:  # as a file's, in full: the GPU's mattes are compared with them
        first = replace(networks, runtime="onnxruntime", preset=None, precision="f32")
    runtime, matting, preset = live_networks(first, size, fps, stack, job)
    cpu = cpu_parts(matting, size, smooth=networks.steady, wrap=wrap, threads=networks.threads)
    if not gpu:
        switch = stack.enter_context(Switch(cpu))
        most = preset_for(networks, size, "live")
        return LiveParts(runtime.description, switch, preset, most, size, fps)
    words = f"{runtime.description}, until TensorRT is ready"
    best = preset_for(networks, size, "live", on_gpu=True)
    switch = cpu_then_gpu(cpu, best, networks.threads, stack)
    return LiveParts(words, switch, best, best, size, fps)


def live_networks(
    networks: Networks, size: Size, fps: float, stack: ExitStack, job: Job = "live"
) -> tuple[Runtime, Matting, str]:
    """Runtime, networks and name of the preset that fits, or of the fastest where that one
    keeps no pace."""
    preset = preset_for(networks, size, "live")
    runtime, matting, takes = paced(networks, preset, size, fps, job)
    if (
        networks.preset
        or SLOWEST_LIVE not in load_manifest().presets
        or takes < 1000 / fps * NETWORKS_SHARE
    ):
        return runtime, stack.enter_context(matting), preset
    matting.close()
    log.info(
        f"the {preset} networks take {takes:.0f} ms here, too much of a frame's "
        f"{1000 / fps:.0f} ms: using --preset {SLOWEST_LIVE} "
        "(give --preset balanced for better edges at fewer frames/s)"
    )
    runtime, matting, _ = paced(networks, SLOWEST_LIVE, size, fps, job)
    return runtime, stack.enter_context(matting), SLOWEST_LIVE


def paced(
    networks: Networks, preset: str, size: Size, fps: float, job: Job
) -> tuple[Runtime, Bshm, float]:
    """Runtime, networks and the milliseconds of a matte: in few threads where they keep pace."""
    if job == "live":
        runtime, matting = open_networks(networks, preset, job, frugal=True)
        # Processor time: what else runs here gains nothing from more threads of ours.
        if milliseconds(matting, size, time.process_time) < 1000 / fps * FRUGAL_SHARE:
            return runtime, matting, milliseconds(matting, size)
        matting.close()
    runtime, matting = open_networks(networks, preset, job)
    return runtime, matting, milliseconds(matting, size)


def milliseconds(matting: Matting, size: Size, clock: Callable[[], float] | None = None) -> float:
    """What one matte takes on this machine by `clock` or by the wall's, the median of a few.

    The first run, which allocates memory, is not counted: it may take many times as long.
    """
    picture, clock = plain((128, 128, 128), size), clock or time.perf_counter
    times: list[float] = []
    matting.matte(picture)
    while len(times) < TRIALS and sum(times) < TRIALS_MS:
        start = clock()
        matting.matte(picture)
        times.append((clock() - start) * 1e3)
    return sorted(times)[len(times) // 2]


def cpu_then_gpu(cpu: CpuParts, preset: str, threads: int, stack: ExitStack) -> Switch:
    """`cpu` now, and TensorRT with a preset of its own when it is ready."""
    clip = VideoFile(demo_clip())
    known = next(iter(clip)).image.copy()
    clip.close()
    trial = Trial(cpu, lambda: load_bshm(preset, get_runtime("onnxruntime"), threads=1), known)
    switch = Switch(replace(cpu, matting=trial.watch(cpu.matting)))
    stack.enter_context(switch)
    command = [sys.executable, "-m", "bshm_live", "engines", "build", "--preset", preset]
    ways = gpu_ways(cpu, preset, threads)
    stack.enter_context(GpuStart(switch, Builder(command), ways, trial))
    return switch


def gpu_ways(cpu: CpuParts, preset: str, threads: int) -> tuple[Way, Way]:
    """Frames that stay on the GPU; or its networks alone, with the CPU's parts around them."""
    size = cpu.compositor.size

    def whole() -> tuple[Parts, str]:
        parts = open_gpu(preset, size, smooth=cpu.steadier.smooth, wrap=cpu.compositor.wrap)
        return parts, f"{get_runtime('tensorrt').description}, frames stay on the GPU"

    def networks_alone() -> tuple[Parts, str]:
        runtime = get_runtime("tensorrt")
        parts = replace(cpu, matting=load_bshm(preset, runtime, threads))
        return parts, f"{runtime.description}, composites on the CPU"

    return whole, networks_alone
