"""One function a command: takes what was parsed, builds the parts, runs them."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from ..compositing.background import Background, Fixed, open_background, studio
from ..compositing.compositor import LIGHT_WRAP
from ..console import say
from ..errors import SettingsError, SinkError
from ..files import camera_device
from ..loop.assemble import file_loop
from ..loop.pipeline import Pipeline
from ..runtimes.choice import get_runtime
from ..settings import TALL, BackgroundSpec, Settings, parse_background, parse_size
from ..sinks.video_file import VideoWriter
from ..sources.video_file import VideoFile, demo_clip
from ..types import Shot
from .live import networks, run_live


def live(args: argparse.Namespace) -> int:
    """Webcam (or a file played at its own pace) to virtual camera."""
    run_live(_settings(args), args.frames)
    return 0


def video(args: argparse.Namespace) -> int:
    """A file, every frame, each output frame with its own matte."""
    spec = parse_background(args.bg)
    source = VideoFile(Path(args.input))
    with ExitStack() as parts:
        parts.callback(source.close)
        width, height = source.size
        preset = TALL if height > width else args.preset or "balanced"
        background = open_background(spec, source.size)
        name, pipeline = file_loop(
            get_runtime(args.runtime),
            preset,
            args.threads,
            background,
            source.size,
            parts,
            smooth=not args.no_steady,
            wrap=LIGHT_WRAP * lights(args, spec),
        )
        files = Files(parts)
        files.add(
            VideoWriter(
                Path(args.output),
                source.size,
                source.fps,
                "composite",
                audio_from=source.path,
                transparent=spec.kind == "none",
            )
        )
        for layer in ("alpha", "foreground"):
            if path := getattr(args, layer):
                files.add(VideoWriter(Path(path), source.size, source.fps, layer))
        seconds, count = _run_with_bar(pipeline, source, files)
    for note in files.notes():
        say(note)
    rate = count / max(seconds, 1e-6)
    say(f"{args.output}: {count} frames, {rate:.1f} frames/s, {name}")
    return 0


class Files:
    """Video files that are all kept when everything went well, and all dropped when not."""

    def __init__(self, parts: ExitStack) -> None:
        self.writers: list[VideoWriter] = []
        parts.push(self._leave)
        # So that SIGTERM, too, leaves no part of a file behind.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        parts.callback(signal.signal, signal.SIGTERM, before)

    def add(self, writer: VideoWriter) -> None:
        self.writers.append(writer)

    def _leave(self, kind: type[BaseException] | None, *_: object) -> None:
        ok = kind is None
        for writer in self.writers:
            try:
                writer.close(ok=ok)
            except SinkError:
                for other in self.writers:
                    other.close(ok=False)
                raise

    def notes(self) -> list[str]:
        return [note for writer in self.writers for note in writer.notes]


def _run_with_bar(pipeline: Pipeline, source: VideoFile, files: Files) -> tuple[float, int]:
    """Seconds and frames; shows frames/s and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.completed} of {task.total} frames"),
        BarColumn(),
        TextColumn("{task.fields[rate]:.1f} frames/s"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    console = Console(stderr=True)
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("", total=source.count, rate=0.0)

        def after(shot: Shot) -> bool:
            rate = (shot.index + 1) / max(time.monotonic() - start, 1e-6)
            bar.update(task, advance=1, rate=rate)
            return True

        count = pipeline.run(source, files.writers, after)
    return time.monotonic() - start, count


def demo(args: argparse.Namespace) -> int:
    """The main job on the packaged clip: no camera, no GPU, no network."""
    source = VideoFile(demo_clip())
    with ExitStack() as parts:
        parts.callback(source.close)
        background: Background = (
            open_background(parse_background(args.bg), source.size)
            if args.bg
            else Fixed(studio(source.size))
        )
        preset = args.preset or "balanced"
        runtime = get_runtime(args.runtime)
        name, pipeline = file_loop(runtime, preset, args.threads, background, source.size, parts)
        files = Files(parts)
        files.add(VideoWriter(Path(args.output), source.size, source.fps, "composite"))
        seconds, count = _run_with_bar(pipeline, source, files)
    say(
        f"{args.output}: the packaged clip, {count} frames of {source.size[0]}x{source.size[1]}, "
        f"cut out by MPN, QUN and MRN and put before {args.bg or 'a studio'}; "
        f"{count / max(seconds, 1e-6):.1f} frames/s on {name}"
    )
    return 0


def image(args: argparse.Namespace) -> int:
    """Pictures, folders and URLs to alpha, composite and foreground."""
    from ..stills.cut import parse_box
    from ..stills.files import Outcome, run_image

    def report(outcome: Outcome) -> None:
        say(f"bshm-live: {outcome}" if outcome.error else str(outcome))

    with ExitStack() as parts:
        runtime, wide = networks(args.runtime, args.preset or "quality", args.threads, parts)
        _, tall = networks(args.runtime, TALL, args.threads, parts)
        code = run_image(
            args.input,
            Path(args.output_dir),
            wide,
            tall,
            background=parse_background(args.bg) if args.bg else None,
            box=parse_box(args.box) if args.box else None,
            scribble=Path(args.scribble) if args.scribble else None,
            stages=args.stages,
            report=report,
        )
    if not code:
        say(f"cut out on {runtime.description}")
    return code


def bench(args: argparse.Namespace) -> int:
    """The CPU in one size, a GPU in all that matter, or in the one that is asked for."""
    runtime, preset = get_runtime(args.runtime), args.preset or "balanced"
    size = parse_size(args.size) if args.size else None
    if runtime.name == "tensorrt":
        from ..gpu.bench import SIZES, run_gpu_bench

        sizes, background = SIZES if size is None else (size,), parse_background(args.bg)
        title = runtime.description
        return run_gpu_bench(preset, sizes, args.frames, title, background, as_json=args.json)
    from .bench import SIZE, run_bench

    return run_bench(args, runtime, preset, size or SIZE)


def devices(args: argparse.Namespace) -> int:
    from .machine import list_devices

    return list_devices()


def doctor(args: argparse.Namespace) -> int:
    from .machine import run_doctor

    return run_doctor()


def setup(args: argparse.Namespace) -> int:
    from ..setup import OBS, apply, show, undo
    from ..setup.system import System

    if sys.platform != "linux":
        say(OBS.get(sys.platform, "virtual cameras are for Linux, Windows and macOS"))
    elif args.undo:
        undo(System())
    elif args.apply:
        return 0 if apply(System()) else SinkError.exit_code
    else:
        show(System())
    return 0


def service(args: argparse.Namespace) -> int:
    from ..setup.service import install, live_words, remove
    from ..setup.system import System

    if args.action == "install":
        args.live.on_demand = True
        _settings(args.live)  # a wrong one is refused now, not at the next login
        install(live_words(args.live, args.live_defaults), System())
    else:
        remove(System())
    return 0


def engines(args: argparse.Namespace) -> int:
    from .engines import list_engines, verify_engines

    if args.action == "build":
        from .build import build_engines

        return build_engines(args.runtime, args.preset, progress=args.progress)
    return list_engines() if args.action == "list" else verify_engines()


def _settings(args: argparse.Namespace) -> Settings:
    sinks = list(args.sink or ["vcam"])
    if args.preview:
        sinks.append("window")
    if args.fps is not None and not 1 <= args.fps <= 240:
        raise SettingsError(f"--fps {args.fps:g}: must be between 1 and 240; try 30")
    for sink in sinks:
        if sinks.count(sink) > 1:
            raise SettingsError(f"--sink {sink} is given twice; several cameras: vcam:/dev/videoN")
    if args.on_demand:
        _check_on_demand(args.source, sinks)
    background = parse_background(args.bg)
    return Settings(
        background=background,
        source=args.source,
        sinks=tuple(sinks),
        size=parse_size(args.size) if args.size else None,
        fps=args.fps,
        runtime=args.runtime,
        preset=args.preset,
        threads=args.threads,
        mirror=args.mirror,
        steady=not args.no_steady,
        stats=args.stats,
        on_trouble=args.on_trouble,
        on_demand=args.on_demand,
        light_wrap=lights(args, background),
    )


def lights(args: argparse.Namespace, background: BackgroundSpec) -> bool:
    """Whether the background lights the person; what is transparent gives no light."""
    return bool(args.light_wrap) and background.kind != "none"


def _check_on_demand(source: str, sinks: list[str]) -> None:
    if not any(sink.partition(":")[0] == "vcam" for sink in sinks):
        raise SettingsError(
            "--on-demand waits until a program reads the virtual camera: add --sink vcam"
        )
    if camera_device(source) is None:
        raise SettingsError(
            f"--on-demand switches a camera off, and --source {source} is none; leave one out"
        )
