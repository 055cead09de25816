"""The kernels at odd sizes, with rows apart, at odd addresses, on any number of threads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent))
from exercise import LOW, exercise, matte, picture

from bshm_live.compositing.compositor import Compositor
from bshm_live.kernels import call
from bshm_live.kernels.library import library, path
from bshm_live.loop.guard import OUTPUT_GRID, spots
from bshm_live.matting.preprocess import Preprocessor
from bshm_live.matting.temporal import gated
from tools.kernels import KERNELS, OPTIONS

SIZES = ("2x2", "3x2", "2x3", "7x5", "40x24", "41x25", "79x47", "80x48", "81x95", "333x77")
LONG = ("8192x2", "2x8192", "8191x3", "1000x1300")
LARGE = ("8192x8192",)
WATCHED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
sides = st.integers(1, 260)
SETTINGS = settings(max_examples=40, deadline=None)


def same(one: Sequence[np.ndarray | None], other: Sequence[np.ndarray | None]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a is not None and b is not None and np.array_equal(a, b) for a, b in pairs)


@given(sides, sides, st.integers(1, 9), st.integers(0, 99))
@SETTINGS
def test_memory_may_lie_anywhere(width: int, height: int, apart: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, room = (picture(rng, width, height, apart) for _ in range(2))
    one = matte(rng, 4 * LOW[0], 4 * LOW[1])
    loose, packed = (Compositor((width, height), wrap=0.5) for _ in range(2))
    assert same(
        loose(image, one, room, foreground=True),
        packed(image.copy(), one, room.copy(), foreground=True),
    )
    loose_input, packed_input = (Preprocessor(LOW, (4 * LOW[0], 4 * LOW[1])) for _ in range(2))
    assert same(loose_input(image), packed_input(image.copy()))


@given(sides, sides, st.integers(0, 9), st.integers(0, 99))
@SETTINGS
def test_spots_are_counted_as_numpy_counts_them(
    width: int, height: int, apart: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    room = picture(rng, width, height, apart)
    alpha = rng.integers(0, 3, (height, width), np.uint8)
    composite = np.where(rng.random((height, width, 1)) < 0.5, room, room // 2)
    some = np.s_[::OUTPUT_GRID, ::OUTPUT_GRID]
    other = (composite[some] != room[some]).any(axis=2) & (alpha[some] == 0)
    wrong, coverage = spots(composite, alpha, room)
    assert wrong == other.sum()
    assert coverage == pytest.approx(alpha[some].mean() / 255)


@given(sides, sides, st.integers(0, 99))
@SETTINGS
def test_the_number_of_threads_changes_nothing(width: int, height: int, seed: int) -> None:
    right = exercise(width, height, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(call, "lanes", lambda: 1)
        assert same(exercise(width, height, seed=seed), right)


def test_a_picture_of_another_kind_is_refused() -> None:
    compositor, rng = Compositor((40, 24)), np.random.default_rng(0)
    image, one = picture(rng, 40, 24, 0), matte(rng, 24, 40)
    for wrong in (image[:, :39], image[::, ::, ::-1], image.astype(np.float32)):
        with pytest.raises(ValueError, match="is not a picture"):
            compositor(wrong, one, image)
        with pytest.raises(ValueError, match="is not a picture"):
            compositor(image, one, wrong)


# ---- the libraries -------------------------------------------------------------------------


def run_with(folder: Path, sizes: Sequence[str], **environment: str) -> str:
    """What `exercise.py` prints with the library in a folder."""
    script = Path(__file__).with_name("exercise.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), *sizes],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.skipif(not path("v2").is_file(), reason="not an x86-64 processor")
def test_every_variant_gives_the_same(tmp_path: Path) -> None:
    for name in ("probe", "v2"):
        shutil.copy(path(name), tmp_path)
    shutil.copy(path("v2"), tmp_path / path("v3").name)
    assert run_with(tmp_path, SIZES) == run_with(path("v2").parent, SIZES)


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The kernels with AddressSanitizer and UBSan, and the environment that they need."""
    compiler = shutil.which("g++")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no g++ for a build with sanitizers")
    folder = tmp_path_factory.mktemp("watched")
    built = Path(library()._name)
    options = [o for o in OPTIONS if o not in ("-O3", "-s", "-nostdlib", "-Werror")]
    arch = {"kernels-v3": ["-march=x86-64-v3"], "kernels-v2": ["-march=x86-64-v2"]}
    words = [*options, *WATCHED, *arch.get(built.stem, [])]
    command = [compiler, *words, str(KERNELS / "kernels.cpp"), "-o", str(folder / built.name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if path("probe").is_file():
        shutil.copy(path("probe"), folder)
    runtime = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return folder, {
        "LD_PRELOAD": ":".join(runtime),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",
        "PYTHONMALLOC": "malloc",
    }


@pytest.mark.parametrize(
    "sizes", [SIZES, LONG, pytest.param(LARGE, marks=pytest.mark.slow)], ids=lambda s: s[0]
)
def test_no_byte_outside_is_touched(
    watched: tuple[Path, dict[str, str]], sizes: Sequence[str]
) -> None:
    folder, environment = watched
    assert len(run_with(folder, sizes, **environment).splitlines()) == len(sizes)


def test_a_byte_outside_would_be_seen(watched: tuple[Path, dict[str, str]]) -> None:
    """The sanitizer sees what Python has allocated."""
    folder, environment = watched
    code = (
        "import sys, ctypes, numpy as np\n"
        "from pathlib import Path\n"
        "from bshm_live.kernels import call, library\n"
        "library.HERE = Path(sys.argv[1])\n"
        "a = np.zeros((8, 8), np.float32)\n"
        "gate = call.Gate(a.ctypes.data, a.ctypes.data, a.ctypes.data, w=200, h=200)\n"
        "call.run('change', gate, 200)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )
    assert "AddressSanitizer" in done.stderr


def test_one_thread_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise AssertionError("a helper was asked for")

    monkeypatch.setattr(call, "lanes", lambda: 2)
    monkeypatch.setattr(call, "helpers", none)
    rng = np.random.default_rng(0)
    image, one = picture(rng, 40, 24, 0), matte(rng, 24, 40)
    Compositor((40, 24), threads=1)(image, one, image)
    Preprocessor(LOW, (24, 40), threads=1)(image)
    gated(one.alpha, one.alpha, threads=1)
    with pytest.raises(AssertionError, match="helper"):
        gated(one.alpha, one.alpha)
