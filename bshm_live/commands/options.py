"""The words of the command line as settings: checked here, trusted behind."""

from __future__ import annotations

import argparse
import atexit
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from ..control.config import read_config
from ..control.desk import Wish
from ..control.wire import checked_name
from ..control.words import LOOK, changed
from ..errors import SettingsError
from ..files import path_of
from ..settings import (
    THREADS_A_CORE,
    BackgroundSpec,
    Live,
    Look,
    Networks,
    check_live,
    check_live_networks,
    check_networks,
    parse_size,
)
from ..stills.cloud import is_cloud
from ..types import Size

NAME_BYTES = 8  # of a folder of our own


@dataclass(frozen=True)
class Batch:
    """How many inputs are done: by `workers` processes, or by the Ray cluster at address `ray`.

    `resume` leaves out what is finished; `cloud` is the folder of an object store that
    outputs go to.
    """

    workers: int = 1
    resume: bool = False
    ray: str | None = None
    cloud: str | None = None


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def networks_of(args: argparse.Namespace) -> Networks:
    steady = not getattr(args, "no_steady", False)
    check = check_live_networks if args.command in ("live", "bench") else check_networks
    return check(Networks(args.runtime, args.preset, args.threads, steady, args.precision))


def look_of(args: argparse.Namespace, background: str | None = None) -> Look:
    """The look in the words of the command line; a scene's, where those say nothing.

    `background` is meant where none is given.
    """
    if scene := getattr(args, "scene", None):
        given = read_config().scene(scene)
    elif args.bg is None and background is None:
        raise SettingsError("--bg is missing: a picture, a video, blur, a colour or none")
    else:
        given = {"bg": background} if background else {}
    for name in set(LOOK) - {"rotate", "fit"}:  # they always have a value: a scene's counts more
        value = getattr(args, name, None)
        if value not in (None, False):
            given[name] = "on" if value is True else str(value)
    nothing = Look(
        BackgroundSpec("none"), rotate=getattr(args, "rotate", 0), fit=getattr(args, "fit", "cover")
    )
    return changed(Wish(nothing, Networks()), given).look


def files_of(look: Look) -> tuple[Path | None, ...]:
    return look.background.path, look.overlay.path if look.overlay else None


def live_of(args: argparse.Namespace) -> Live:
    sinks = [*(args.sink or ["vcam"]), *(["window"] if args.preview else [])]
    return check_live(
        Live(
            source=args.source,
            sinks=tuple(sinks),
            size=size_of(args),
            fps=args.fps,
            on_trouble=args.on_trouble,
            on_demand=args.on_demand,
            stats=args.stats,
            frames=args.frames,
            name=checked_name(args.name),
            control=args.control,
            tray=args.tray,
            backgrounds=optional_path(args.backgrounds),
            vcam_format=args.vcam_format,
        )
    )


def size_of(args: argparse.Namespace) -> Size | None:
    return parse_size(args.size) if args.size else None


def check_batch(batch: Batch) -> Batch:
    """The same, once it makes sense. Raises SettingsError."""
    most = THREADS_A_CORE * cores()
    if not 1 <= batch.workers <= most:
        raise SettingsError(
            f"--workers {batch.workers}: must be between 1 and {most} on this machine"
        )
    if batch.ray and batch.workers > 1:
        raise SettingsError("--ray has workers of its own: leave out --workers")
    return batch


def batch_of(args: argparse.Namespace) -> Batch:
    cloud = args.output_dir if is_cloud(args.output_dir or "") else None
    return check_batch(Batch(args.workers, args.resume, args.ray, cloud))


def optional_path(text: str | None) -> Path | None:
    return path_of(text) if text else None


def output_folder(text: str) -> Path:
    """What was typed as a folder; for a store's address, one of our own until the end."""
    if not is_cloud(text):
        return path_of(text)
    folder = Path(tempfile.gettempdir()) / f"bshm-live-{os.urandom(NAME_BYTES).hex()}"
    atexit.register(rmtree, folder, ignore_errors=True)
    return folder
