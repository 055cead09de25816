"""Runs cases in processes that may crash or hang: most in one, some in one of their own."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from .cases import Case, case
from .judge import Result, faults
from .seeds import make_seeds

ROOT = Path(__file__).resolve().parents[2]
HANGS_S = 40.0  # on a machine that has nothing else to do
ALONE = 60  # one of so many is run as its user would, in a process of its own
Verdict = tuple[Case, Result, list[str]]


def run_cases(seed: int, numbers: Sequence[int], most_s: float) -> Iterator[Verdict]:
    """Each case and what is wrong with how it ended; stops early after `most_s` seconds."""
    end = time.monotonic() + most_s
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        seeds_folder = Path(scratch) / "seeds"
        seeds_folder.mkdir()
        seeds = make_seeds(seeds_folder)
        worker = Worker(Path(scratch))
        try:
            for number in numbers:
                if time.monotonic() > end:
                    return
                given = case(seed, number, seeds)
                with fresh_folder(Path(scratch), given) as folder:
                    alone = number % ALONE == ALONE - 1
                    result = run_alone(given, folder) if alone else worker.run(given, folder)
                    usage = given.kind == "settings"
                    wrong = list(faults(result, folder, set(given.files), usage=usage))
                yield given, result, wrong
        finally:
            worker.end()


@contextlib.contextmanager
def fresh_folder(scratch: Path, given: Case) -> Iterator[Path]:
    folder = scratch / "run"
    folder.mkdir()
    for name, data in given.files.items():
        (folder / name).write_bytes(data)
    yield folder
    shutil.rmtree(folder)


def environment() -> dict[str, str]:
    """The toy networks: what is tested is all around them."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "BSHM_ENGINES": str(ROOT / "engines" / "toy"),
        "PYTHONPATH": os.pathsep.join(paths),
    }


def patience() -> float:
    """Seconds after which a command hangs, on a machine as busy as this one is."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else 1.0
    return HANGS_S * max(1.0, busy)


def processor_s(who: int) -> float:
    """Seconds of the processor that this process (RUSAGE_SELF) or its children have had."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def run_alone(given: Case, folder: Path) -> Result:
    start, most = processor_s(resource.RUSAGE_CHILDREN), patience()
    words = [sys.executable, "-m", "bshm_live", *given.words]
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=most,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Result(None, "", most)
    told = done.stderr.decode(errors="replace")
    seconds = processor_s(resource.RUSAGE_CHILDREN) - start
    if done.returncode < 0:
        return Result(None, told, seconds, f"ended by signal {-done.returncode}")
    return Result(done.returncode, told, seconds)


class Worker:
    """A process that runs one command after the other, made anew when it is lost."""

    def __init__(self, scratch: Path) -> None:
        self._told = scratch / "told"
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def run(self, given: Case, folder: Path) -> Result:
        if self._process is None:
            self._start()
        assert self._pipe is not None
        assert self._process is not None
        most = patience()
        self._pipe.send((given.words, str(folder)))
        try:
            if self._pipe.poll(most):
                code, fault, mib, seconds = self._pipe.recv()
                return Result(code, self._words(), seconds, fault, mib)
            fault = "it never ended"
        except EOFError:
            self._process.join()
            fault = f"the process ended: {self._process.exitcode}"
        self.end()
        return Result(None, self._words(), most, fault)

    def _words(self) -> str:
        return self._told.read_text(errors="replace")

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, its_end = context.Pipe()
        self._process = context.Process(target=serve, args=(its_end, str(self._told)), daemon=True)
        self._process.start()
        its_end.close()

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


def serve(pipe: Connection, told: str) -> None:
    """The worker: stderr, that of native libraries too, goes to the file `told`."""
    out = os.open(told, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 2)
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.update(environment())
    from bshm_live.cli import main

    while True:
        words, folder = pipe.recv()
        os.ftruncate(out, 0)
        os.chdir(folder)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = processor_s(resource.RUSAGE_SELF)
        code, fault = call(main, words)
        sys.stderr.flush()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB on Linux
        pipe.send((code, fault, grown / 1024, processor_s(resource.RUSAGE_SELF) - start))


def call(main, words: list[str]) -> tuple[int, str]:  # type: ignore[no-untyped-def]
    """Exit code, and the last line of a traceback with its place where there is one."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return main(words), ""
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 1, ""
    except BaseException as error:  # whatever a user would see as a traceback
        place = traceback.extract_tb(error.__traceback__)[-1]
        own = [
            step
            for step in traceback.extract_tb(error.__traceback__)
            if "bshm_live" in step.filename
        ]
        place = own[-1] if own else place
        where = f"{Path(place.filename).name}:{place.lineno}"
        return 1, f"{type(error).__name__} at {where}: {str(error)[:120]}"
