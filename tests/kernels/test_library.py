from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TOY

from bshm_live.errors import EngineError
from bshm_live.kernels import library as home
from bshm_live.kernels.call import COLUMN_BYTES, KERNELS, SIDES_BYTES
from bshm_live.kernels.library import library
from bshm_live.runtimes.choice import cpu_runtime, load_bshm
from bshm_live.runtimes.manifest import load_manifest


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The choice of a library is made anew in the test, and after it."""
    library.cache_clear()
    yield monkeypatch
    library.cache_clear()


def test_arguments_lie_as_the_compiler_lays_them() -> None:
    for kernel, kind in KERNELS.items():
        assert getattr(library(), f"{kernel}_size")() == ctypes.sizeof(kind), kernel
    assert library().sides_size() == SIDES_BYTES
    assert library().column_size() == COLUMN_BYTES


def test_without_a_library_one_line_says_what_to_do(
    fresh: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fresh.setattr(home, "HERE", tmp_path)
    with pytest.raises(EngineError, match="install bshm-live with pip") as caught:
        load_bshm("balanced", cpu_runtime(), manifest=load_manifest(TOY))
    assert "\n" not in str(caught.value)


def test_another_machine_s_library_is_named(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fresh.setattr(home, "HERE", tmp_path)
    for variant in ("probe", "v2", "v3", "arm64"):
        home.path(variant).write_bytes(b"not for this machine")
    with pytest.raises(OSError, match="do not fit this machine"):
        library()


def test_a_library_of_other_sources_is_one_line(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A checkout that has moved on since its kernels were made."""
    for file in home.HERE.iterdir():
        if file.suffix in (".cpp", ".h", f".{home.SUFFIX}"):
            shutil.copy(file, tmp_path)
    fresh.setattr(home, "HERE", tmp_path)
    library()
    library.cache_clear()
    with (tmp_path / "pixel.h").open("a") as source:
        source.write("// another\n")
    with pytest.raises(EngineError, match=r"python -m tools\.kernels") as caught:
        load_bshm("balanced", cpu_runtime(), manifest=load_manifest(TOY))
    assert "\n" not in str(caught.value)


def test_a_library_that_says_no_edition_is_an_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        def prepare(self) -> None: ...

    with pytest.raises(OSError, match="made from other sources"):
        home.checked(Old())  # type: ignore[arg-type]
    monkeypatch.setattr(home, "SOURCES", ("not there",))
    home.checked(Old())  # type: ignore[arg-type]


@pytest.mark.parametrize(("level", "variant"), [(1, None), (2, "v2"), (3, "v3"), (4, "v3")])
def test_the_processor_s_level_chooses(
    fresh: pytest.MonkeyPatch, level: int, variant: str | None
) -> None:
    class Probe:
        def x86_level(self) -> int:
            return level

    fresh.setattr(home.platform, "machine", lambda: "AMD64")
    fresh.setattr(home, "load", lambda file: Probe() if "probe" in file.name else file)
    fresh.setattr(home, "checked", lambda kernels: kernels)
    if variant is None:
        with pytest.raises(OSError, match="older than x86-64-v2"):
            library()
    else:
        assert library() == home.path(variant)  # type: ignore[comparison-overlap]
