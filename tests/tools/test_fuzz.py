"""The bounded fuzz run: it sees every kind of fault, and a short one finds none."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from tools.fuzz.cases import KINDS, case
from tools.fuzz.judge import Result, faults
from tools.fuzz.mutate import WAYS, mutated
from tools.fuzz.runner import Worker, call
from tools.fuzz.seeds import make_seeds

COUNT = 160  # about 20 s on two cores


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_seeds(tmp_path_factory.mktemp("seeds"))


def test_cases_come_from_their_number_alone(seeds: list[Path]) -> None:
    some = [case(3, number, seeds) for number in range(24)]
    assert some == [case(3, number, seeds) for number in range(24)]
    assert some != [case(4, number, seeds) for number in range(24)]
    assert {one.kind for one in some} == set(KINDS)


@pytest.mark.parametrize("way", sorted(set(WAYS), key=lambda way: way.__name__))
def test_mutations_change_and_stay_in_bounds(way: object) -> None:
    random = np.random.default_rng(0)
    data = bytes(range(256)) * 4
    results = [way(data, data[::-1], random) for _ in range(50)]  # type: ignore[operator]
    assert sum(result != data for result in results) > 40
    assert all(len(result) <= 2 * len(data) for result in results)
    assert mutated(b"", [b""], random) == b""


GOOD = Result(0, "done", 1.0)
TOLD = Result(3, "bshm-live: a.png: no picture; try another", 1.0)


@pytest.mark.parametrize(
    ("result", "left", "words"),
    [
        (GOOD, {}, None),
        (TOLD, {}, None),
        (Result(None, "", 40.0), {}, "it never ended"),
        (Result(None, "", 1.0, "ended by signal 11"), {}, "signal 11"),
        (Result(1, "", 1.0, "KeyError at bench.py:86"), {}, "KeyError"),
        (Result(1, "", 1.0), {}, "exit code 1"),
        (Result(3, "", 1.0), {}, "without a line"),
        (Result(0, "", 30.0), {}, "30 s"),
        (Result(0, "", 1.0, mib=5000.0), {}, "MiB"),
        (TOLD, {"out.png": b""}, "is left"),
        (GOOD, {".x.part.mp4": b""}, "is left"),
        (GOOD, {"out.png": b"no picture"}, "cannot be read"),
        (GOOD, {"out.mp4": b"no film"}, "cannot be read"),
        (Result(0, "[h264 @ 0x55] error while decoding", 1.0), {}, "own words"),
    ],
)
def test_faults_are_seen(
    tmp_path: Path, result: Result, left: dict[str, bytes], words: str | None
) -> None:
    (tmp_path / "given.png").touch()
    for name, data in left.items():
        (tmp_path / name).write_bytes(data)
    found = list(faults(result, tmp_path, {"given.png"}, usage=False))
    assert (words is None) == (not found)
    assert words is None or words in "; ".join(found)


def test_sound_files_give_sound_results(seeds: list[Path], tmp_path: Path) -> None:
    """What is broken is the mutation, not what it starts from."""
    worker = Worker(tmp_path)
    try:
        for origin in seeds:
            one = case(0, 0 if origin.stem != "film" else 1, [origin])
            name = f"given{origin.suffix}"
            folder = tmp_path / origin.name
            folder.mkdir()
            (folder / name).write_bytes(origin.read_bytes())
            if origin.suffix in (".jp2", ".avif") and one.kind == "picture":
                continue  # taken where Pillow reads them
            result = worker.run(one, folder)
            assert result.code == 0, (origin.name, result)
            assert not list(faults(result, folder, {name}, usage=False)), origin.name
    finally:
        worker.end()


def test_a_command_that_fails_is_named_with_its_place() -> None:
    def broken(words: list[str]) -> int:
        raise KeyError(words[0])

    code, fault = call(broken, ["mpn"])
    assert code == 1
    assert "KeyError at test_fuzz.py" in fault


def test_a_short_run_finds_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.fuzz", "--count", str(COUNT), "--seed", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{COUNT} cases" in done.stdout
