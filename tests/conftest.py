"""The in-memory twin of every edge: source, sink, engine; and a picture whose matte is known.

Tests take what they need with `from conftest import ...`; fixtures need no import.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
# Behind the installed package: tools/ is in the checkout only, and so is the package
# where nothing is installed.
sys.path.append(str(ROOT))

# Started in the background or by nohup this ignores Ctrl-C, a closed terminal and their kin, and
# so would its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in {"SIGHUP", "SIGQUIT"} & set(dir(signal)):
    signal.signal(getattr(signal, number), signal.SIG_DFL)

from tools.kernels import build_if_stale  # noqa: E402

build_if_stale()  # of the checkout; an installed package has its own

import bshm_live  # noqa: E402
from bshm_live.compositing.background import Background  # noqa: E402
from bshm_live.errors import SinkError, SourceError  # noqa: E402
from bshm_live.loop.parts import Always, cpu_parts  # noqa: E402
from bshm_live.loop.pipeline import Pipeline  # noqa: E402
from bshm_live.loop.stage import Stage  # noqa: E402
from bshm_live.types import Frame, Matting, Shape, Shot, Size  # noqa: E402

Arrays = Mapping[str, np.ndarray]
PACKAGE = Path(bshm_live.__file__).parent
TOY = ROOT / "engines" / "toy"
TOY_LOW = {"balanced": (32, 64), "tall": (64, 32)}  # preset: (h, w)
SHARED = ROOT.parent / "shared"


class ArraySource:
    """A Source of given BGR pictures (H, W, 3), all of one size; fails at frame `fail_at`."""

    def __init__(
        self, pictures: Sequence[np.ndarray], fps: float = 30.0, fail_at: int | None = None
    ) -> None:
        self.pictures, self.fps, self.fail_at = list(pictures), fps, fail_at
        self.size: Size = self.pictures[0].shape[1::-1]
        self.count: int | None = len(self.pictures)
        self.closed = False

    def __iter__(self) -> Iterator[Frame]:
        for index, picture in enumerate(self.pictures):
            if index == self.fail_at:
                raise SourceError("the source was told to fail: ask it not to")
            yield Frame(picture, index, index / self.fps)

    def close(self) -> None:
        self.closed = True

    def describe(self) -> str:
        return f"{len(self.pictures)} pictures"


class ListSink:
    """A Sink that keeps a copy of every shot; fails at the shot number `fail_at`.

    `ok` is what close was told, None while the sink is open.
    """

    def __init__(self, needs_foreground: bool = False, fail_at: int | None = None) -> None:
        self.needs_foreground, self.fail_at = needs_foreground, fail_at
        self.shots: list[Shot] = []
        self.ok: bool | None = None

    def send(self, shot: Shot) -> None:
        assert self.ok is None, "a shot was sent to a closed sink"
        if len(self.shots) == self.fail_at:
            raise SinkError("the sink was told to fail: ask it not to")
        foreground = None if shot.foreground is None else shot.foreground.copy()
        composite, alpha = shot.composite.copy(), shot.alpha.copy()
        self.shots.append(
            Shot(composite, alpha, foreground, shot.index, shot.time, shot.has_person)
        )

    def close(self, *, ok: bool = True) -> None:
        self.ok = ok

    def describe(self) -> str:
        return "a list"


class FakeEngine:
    """An Engine that computes `function`, as strict as an engine may be.

    It refuses wrong names, shapes and types, and writes every result into the
    same arrays: who keeps one without a copy sees it change at the next run, and
    turn to NaN when the engine is closed. `calls` counts the runs.
    """

    def __init__(
        self,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        function: Callable[[Arrays], Arrays],
    ) -> None:
        self.inputs, self.outputs, self.function = dict(inputs), dict(outputs), function
        self.calls, self.closed = 0, False
        self._results = {name: np.zeros(shape, np.float32) for name, shape in outputs.items()}

    def run(self, feeds: Arrays) -> Arrays:
        assert not self.closed, "a closed engine was run"
        assert {name: array.shape for name, array in feeds.items()} == self.inputs
        assert all(array.dtype == np.float32 for array in feeds.values())
        self.calls += 1
        for name, array in self.function(feeds).items():
            self._results[name][...] = array
        return dict(self._results)

    def close(self) -> None:
        self.closed = True
        for array in self._results.values():
            array.fill(np.nan)


# The toy networks' arithmetic once more; the formulas stand in engines/toy/make.py.


def toy_mpn(feeds: Arrays) -> Arrays:
    likely = 1 / (1 + np.exp(-20 * _bright(feeds["image"])))
    return {"coarse": np.clip(likely + 0.25 * feeds["hint"], 0, 1)}


def toy_qun(feeds: Arrays) -> Arrays:
    mask = feeds["coarse"][0, 0].astype(np.float64)
    sums, counts = (_sum3(array) for array in (mask, np.ones_like(mask)))
    return {"unified": np.clip((sums / counts)[None, None] + 0.1 * _bright(feeds["image"]), 0, 1)}


def toy_mrn(feeds: Arrays) -> Arrays:
    mask, image = feeds["unified"][0, 0], feeds["image"].astype(np.float64)
    h, w = mask.shape
    large = _enlarge(_enlarge(mask.astype(np.float64), 4).T, 4).T[None, None]
    small = image.reshape(1, 3, h, 4, w, 4).mean(axis=(3, 5))
    return {
        "alpha": np.clip(large + 0.1 * _bright(image), 0, 1),
        "residual": 0.1 * (0.5 - small),
    }


def _bright(image: np.ndarray) -> np.ndarray:
    """(1, 3, H, W) RGB to luma - 0.5, (1, 1, H, W) float64."""
    luma = np.tensordot(np.array([0.5, 0.3, 0.2]), image[0].astype(np.float64), 1)
    return luma[None, None] - 0.5


def _sum3(array: np.ndarray) -> np.ndarray:
    """Each value and its eight neighbours added up; outside is zero."""
    h, w = array.shape
    wide = np.pad(array, 1)
    return sum(wide[y : y + h, x : x + w] for y in range(3) for x in range(3))


def _enlarge(array: np.ndarray, times: int) -> np.ndarray:
    """Linear along the first axis, pixel centres at half, edges repeated."""
    n = len(array)
    place = np.clip((np.arange(n * times) + 0.5) / times - 0.5, 0, n - 1)
    below = np.minimum(place.astype(int), n - 2)
    share = (place - below)[:, None]
    return array[below] * (1 - share) + array[below + 1] * share


def fake_networks(low: tuple[int, int] = (32, 64)) -> tuple[FakeEngine, FakeEngine, FakeEngine]:
    """MPN, QUN and MRN with the toy networks' arithmetic and no runtime; low is (h, w)."""
    high = (4 * low[0], 4 * low[1])
    one, three = (1, 1, *low), (1, 3, *low)
    return (
        FakeEngine({"image": three, "hint": one}, {"coarse": one}, toy_mpn),
        FakeEngine({"image": three, "coarse": one}, {"unified": one}, toy_qun),
        FakeEngine(
            {"image": (1, 3, *high), "unified": one},
            {"alpha": (1, 1, *high), "residual": three},
            toy_mrn,
        ),
    )


@contextmanager
def heard(say: Callable[[str], object]) -> Iterator[None]:
    """Every line of the package's log goes to `say`, too."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(record.getMessage())

    logger, ear = logging.getLogger("bshm_live"), Ear()
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(ear)
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.setLevel(before)


def loop_of(
    matting: Matting,
    background: Background,
    size: Size,
    *,
    smooth: bool = True,
    fail_closed: bool = True,
    **options: Any,
) -> Pipeline:
    """The loop with the CPU's parts around a matting and a Stage, both the same for every frame."""
    supply, stage = Always(cpu_parts(matting, size, smooth=smooth)), Stage(background, **options)
    return Pipeline(supply, lambda: stage, size, fail_closed=fail_closed)


def stages(background: Background) -> Callable[[], Stage]:
    """The same background all the time."""
    stage = Stage(background)
    return lambda: stage


class Portrait(NamedTuple):
    """picture = alpha·foreground + (1-alpha)·background, rounded.

    Pictures are (H, W, 3) BGR uint8, alpha (H, W) float32 in [0, 1].
    """

    picture: np.ndarray
    alpha: np.ndarray
    foreground: np.ndarray
    background: np.ndarray


def portrait(
    width: int = 320,
    height: int = 180,
    *,
    centre: tuple[float, float] | None = None,
    radius: float | None = None,
    soft: float = 6.0,
    seed: int = 0,
) -> Portrait:
    """A bright disc as the person before a dark room; its edge is `soft` pixels wide.

    centre is (x, y) in pixels, by default the middle; radius by default a third
    of the shorter side. The toy networks take the disc for a person.
    """
    x0, y0 = centre or ((width - 1) / 2, (height - 1) / 2)
    radius = radius or min(width, height) / 3
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(x - x0, y - y0)
    alpha = np.clip((radius - distance) / soft + 0.5, 0, 1).astype(np.float32)
    foreground = _texture((height, width), (190, 200, 235), seed)
    background = _texture((height, width), (60, 40, 30), seed + 1)
    mixed = alpha[..., None] * foreground + (1 - alpha[..., None]) * background
    return Portrait(np.rint(mixed).astype(np.uint8), alpha, foreground, background)


def _texture(shape: tuple[int, int], colour: tuple[int, int, int], seed: int) -> np.ndarray:
    """(H, W, 3) BGR uint8: a colour with smooth noise of up to 20 levels."""
    coarse = np.random.default_rng(seed).uniform(-20, 20, (5, 7, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(smooth + np.array(colour), 0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def nobody_s_files(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's own settings and running programs have no part in a test."""
    folder = tmp_path_factory.mktemp("user", numbered=True)
    for name in ("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "BSHM_DATA"):
        monkeypatch.setenv(name, str(folder))
    # What was measured of the networks serves all tests.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard believes the toy networks, which see people wherever it is bright."""
    for name, value in (("SURE", 0.0), ("UNSEEN", 1.0), ("EXCESS", 1.0), ("MOST", 1.0)):
        monkeypatch.setattr(f"bshm_live.loop.guard.{name}", value)


@pytest.fixture
def toy_engines(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy networks' folder, which is also where the program looks during the test."""
    monkeypatch.setenv("BSHM_ENGINES", str(TOY))
    return TOY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of clips and other large things beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("there is no folder ../shared with clips")
    return SHARED


class Guest:
    """Runs a command where /dev/video0, 10, 11 and 12 exist: guest(folder, *command, seconds=N).

    `folder` is the only one that the command can write to, and its working folder.
    `modules` is where the guest's kernel modules lie.
    """

    def __init__(self, program: Path) -> None:
        self.program = program
        inside = program.parent / "modules"
        self.modules = inside if inside.is_dir() else program.parent

    def __call__(
        self, folder: Path, *command: object, seconds: int = 120
    ) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in (self.program, "-w", folder, "-t", seconds, *command)]
        return subprocess.run(
            words,
            cwd=folder,
            # The webcam of the guest has the controls that make it fail.
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "VIVID_NO_ERROR_INJ": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds + 60,
            check=False,
        )


@pytest.fixture(scope="session")
def guest() -> Guest:
    """The guest kernel of tools/v4l2: the one that BSHM_GUEST names, or that in ../shared."""
    program = Path(os.environ.get("BSHM_GUEST", SHARED / "v4l2" / "guest"))
    if not program.is_file():
        pytest.skip(f"there is no guest kernel with cameras at {program}: see tools/v4l2")
    return Guest(program)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are skipped where no NVIDIA driver is."""
    if Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="there is no NVIDIA GPU here"))


def write_clip(path: Path, count: int = 12) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (256, 144))
    for i in range(min(count, 12)):
        writer.write(portrait(256, 144, centre=(80 + 8 * i, 72), seed=i).picture)
    still = portrait(256, 144).picture
    for _ in range(count - 12):
        writer.write(still)
    writer.release()
    return path


def goldens(folder: Path, shift: float) -> None:
    """Toy goldens, all zero but for the shapes, next to a copy of the toy networks."""
    shutil.copytree(TOY, folder)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 3, 128, 256)).astype(np.uint8)
    low = image[:, :, ::4, ::4].copy()
    small, large = (x.astype(np.float32) / 255 for x in (low, image))
    coarse = toy_mpn({"image": small, "hint": np.zeros((1, 1, 32, 64))})["coarse"]
    coarse = coarse.astype(np.float16)
    unified = toy_qun({"image": small, "coarse": coarse})["unified"].astype(np.float16)
    found = toy_mrn({"image": large, "unified": unified})
    parts = {"image": image, "low": low, "coarse": coarse, "unified": unified, **found}
    parts["alpha"] = parts["alpha"] + shift
    np.savez(folder / "goldens.npz", **{f"balanced.{k}": v for k, v in parts.items()})
