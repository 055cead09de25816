"""One function a command: takes what was parsed, builds the parts, runs them."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from .background import Background, Fixed, open_background, plain, studio
from .bshm import Bshm
from .errors import SettingsError, SinkError
from .manifest import load_manifest
from .pipeline import Pipeline, stage_table
from .runtimes import Runtime, get_runtime, load_bshm
from .settings import Settings, parse_background, parse_size
from .sink import VideoWriter, open_sink
from .source import VideoFile, demo_clip, open_source
from .types import Frame, Shot, Sink, Size

NETWORKS_SHARE = 0.75  # of a frame's time; the rest is for camera, composite and sinks
TRIALS = 7


def live(args: argparse.Namespace) -> int:
    """Webcam (or a file played at its own pace) to virtual camera."""
    settings = _settings(args)
    with ExitStack() as parts:
        text = str(demo_clip()) if settings.source == "demo" else settings.source
        source = open_source(text, settings.size, settings.fps)
        parts.callback(source.close)
        size = settings.size or source.size
        runtime, bshm = _live_networks(settings, size, source.fps, parts)
        background = open_background(settings.background, size)
        sinks = _open_sinks(settings, size, source.fps, background, parts)
        pipeline = Pipeline(bshm, background, size, mirror=settings.mirror, smooth=settings.steady)
        _say(f"{source.describe()}; output {size[0]}x{size[1]}; {runtime.description}")
        for sink in sinks:
            _say(sink.describe())
        watch = LiveWatch(pipeline, sinks, args.frames)
        _end_on_signal(watch, parts)
        pipeline.run(source, sinks, watch)
        watch.summary(stats=settings.stats)
    return 0


class LiveWatch:
    """Called after every frame: tells what changed, and when to stop."""

    def __init__(self, pipeline: Pipeline, sinks: list[Sink], most: int | None) -> None:
        self.pipeline, self.sinks, self.most = pipeline, sinks, most
        self.stop, self.count, self.covered = False, 0, 0
        self._trouble: str | None = None
        self._start = time.monotonic()

    def __call__(self, shot: Shot) -> bool:
        self.count += 1
        self.covered += not shot.covered
        if self.pipeline.trouble != self._trouble:
            self._trouble = self.pipeline.trouble
            _say(f"background only: {self._trouble}" if self._trouble else "the matte is back")
        if any(getattr(sink, "closed", False) for sink in self.sinks):
            return False
        return not self.stop and (self.most is None or self.count < self.most)

    def summary(self, *, stats: bool) -> None:
        seconds = max(time.monotonic() - self._start, 1e-6)
        note = f", {self.covered} with the background alone" if self.covered else ""
        _say(f"{self.count} frames in {seconds:.1f} s: {self.count / seconds:.1f} frames/s{note}")
        if stats:
            _say(stage_table(self.pipeline.clock.quantiles()))


def video(args: argparse.Namespace) -> int:
    """A file, every frame, each output frame with its own matte."""
    spec = parse_background(args.bg)
    source = VideoFile(Path(args.input))
    with ExitStack() as parts:
        parts.callback(source.close)
        width, height = source.size
        preset = "tall" if height > width else args.preset or "balanced"
        runtime, bshm = _networks(args, preset, parts)
        pipeline = Pipeline(
            bshm,
            open_background(spec, source.size),
            source.size,
            smooth=not args.no_steady,
            fail_closed=False,
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
        _say(note)
    rate = count / max(seconds, 1e-6)
    _say(f"{args.output}: {count} frames, {rate:.1f} frames/s, {runtime.description}")
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
        runtime, bshm = _networks(args, args.preset or "balanced", parts)
        background = (
            open_background(parse_background(args.bg), source.size)
            if args.bg
            else Fixed(studio(source.size))
        )
        pipeline = Pipeline(bshm, background, source.size, fail_closed=False)
        files = Files(parts)
        files.add(VideoWriter(Path(args.output), source.size, source.fps, "composite"))
        seconds, count = _run_with_bar(pipeline, source, files)
    _say(
        f"{args.output}: the packaged clip, {count} frames of {source.size[0]}x{source.size[1]}, "
        f"cut out by MPN, QUN and MRN and put before {args.bg or 'a studio'}; "
        f"{count / max(seconds, 1e-6):.1f} frames/s on {runtime.description}"
    )
    return 0


def image(args: argparse.Namespace) -> int:
    """Pictures, folders and URLs to alpha, composite and foreground."""
    from .still import Outcome, parse_box, run_image

    def report(outcome: Outcome) -> None:
        _say(f"bshm-live: {outcome}" if outcome.error else str(outcome))

    with ExitStack() as parts:
        _, wide = _networks(args, args.preset or "quality", parts)
        _, tall = _networks(args, "tall", parts)
        return run_image(
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


def bench(args: argparse.Namespace) -> int:
    from .bench import run_bench

    return run_bench(args)


def devices(args: argparse.Namespace) -> int:
    from .doctor import list_devices

    return list_devices()


def doctor(args: argparse.Namespace) -> int:
    from .doctor import run_doctor

    return run_doctor()


def engines(args: argparse.Namespace) -> int:
    from .verify import list_engines, verify_engines

    return list_engines() if args.action == "list" else verify_engines()


def _settings(args: argparse.Namespace) -> Settings:
    sinks = list(args.sink or ["vcam"])
    if args.preview:
        sinks.append("window")
    if args.fps is not None and not 1 <= args.fps <= 240:
        raise SettingsError(f"--fps {args.fps:g}: must be between 1 and 240; try 30")
    return Settings(
        background=parse_background(args.bg),
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
    )


def _networks(
    asked: argparse.Namespace | Settings, preset: str, parts: ExitStack
) -> tuple[Runtime, Bshm]:
    """The runtime that was asked for and its three networks, closed with `parts`."""
    runtime = get_runtime(asked.runtime)
    bshm = parts.enter_context(load_bshm(preset, runtime, asked.threads))
    return runtime, bshm


def _live_networks(
    settings: Settings, size: Size, fps: float, parts: ExitStack
) -> tuple[Runtime, Bshm]:
    """The preset that was asked for; else balanced, or fast where that keeps no pace."""
    runtime, bshm = _networks(settings, settings.preset or "balanced", parts)
    if settings.preset or "fast" not in load_manifest().presets:
        return runtime, bshm
    takes, frame = milliseconds(bshm, size), 1000 / fps
    if takes < frame * NETWORKS_SHARE:
        return runtime, bshm
    _say(
        f"the balanced networks take {takes:.0f} ms here, too much of a frame's {frame:.0f} ms: "
        "using --preset fast (give --preset balanced for better edges at fewer frames/s)"
    )
    return _networks(settings, "fast", parts)


def milliseconds(bshm: Bshm, size: Size) -> float:
    """What one matte takes on this machine, the median of a few; nothing else is counted."""
    picture = plain((128, 128, 128), size)
    times = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        bshm.matte(picture)
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)[TRIALS // 2]


def _open_sinks(
    settings: Settings, size: Size, fps: float, background: Background, parts: ExitStack
) -> list[Sink]:
    """All sinks, closed with `parts`: each, and a recording is kept, whatever ended the run."""
    placeholder = background(Frame(plain((0, 0, 0), size), 0, 0.0), None)
    sinks: list[Sink] = []
    for text in settings.sinks:
        transparent = settings.background.kind == "none"
        sinks.append(open_sink(text, size, fps, placeholder=placeholder, transparent=transparent))
        parts.callback(sinks[-1].close)
    return sinks


def _end_on_signal(watch: LiveWatch, parts: ExitStack) -> None:
    """Until `parts` closes, Ctrl-C and SIGTERM end after the frame in hand: files are whole."""

    def stop(number: int, frame: FrameType | None) -> None:
        if watch.stop:  # asked twice: at once
            raise KeyboardInterrupt
        watch.stop = True

    for number in (signal.SIGINT, signal.SIGTERM):
        parts.callback(signal.signal, number, signal.signal(number, stop))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
