"""A table of what comes of failing inputs: python -m tools.cases FOLDER [NAME ...].

FOLDER has a folder for each case, with `cmd` (a shell script, run in a copy) and `expect` (prose;
its first words stand in the table). Where `checks` knows what is right, the table says `right` or
`WRONG`, else `look`; `instead` has today's words for some scripts, and where what is right differs
from what was expected. Files that several cases use lie in FOLDER itself. Cases whose cmd names the
guest are run by --guest PROGRAM (tools/v4l2), or left out; CLIP and ROOM in the environment name a
clip and a picture.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .checks import SHOWN, Ran, verdict
from .instead import INSTEAD, NOTES

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 1200.0
GUEST_S = 120


def run_case(folder: Path, name: str, scratch: Path, guest: Path | None) -> Ran | None:
    """Runs it in a copy of its folder; None where it needs a guest and there is none."""
    script = INSTEAD.get(name) or (folder / name / "cmd").read_text()
    in_guest = "in the guest" in script
    if in_guest and guest is None:
        return None
    place = scratch / "cases" / name
    shutil.copytree(folder / name, place)
    subprocess.run(["chmod", "-R", "u+w", str(place)], check=True)
    (place / "cmd").write_text(script)
    words = ["bash", f"cases/{name}/cmd"]
    if in_guest:
        given = [f"{name}={os.environ[name]}" for name in ("CLIP", "ROOM") if name in os.environ]
        words = [str(guest), "-w", ".", "-t", str(GUEST_S), "env", *given, *words]
    elif "dirname" not in script:
        words = ["bash", "-c", f"cd cases/{name} && . ./cmd"]
    start = time.monotonic()
    path = os.pathsep.join([str(scratch / "bin"), os.environ["PATH"]])
    running = subprocess.Popen(
        words,
        cwd=scratch,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "T": "130"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    code: int | None = None
    try:
        said, _ = running.communicate(timeout=LIMIT_S)
        code = running.returncode
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        said, _ = running.communicate()
    return Ran(place, code, said.decode(errors="replace"), time.monotonic() - start)


def prepare(folder: Path, scratch: Path) -> None:
    """What all cases find: this checkout as `bshm-live`, and the files that they share."""
    (scratch / "bin").mkdir()
    (scratch / "cases").mkdir()
    for name, words in (("bshm-live", "-m bshm_live "), ("python", ""), ("python3", "")):
        file = scratch / "bin" / name
        file.write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
        file.chmod(0o755)
    for path in folder.iterdir():
        if path.is_file():
            shutil.copy(path, scratch / "cases")


def whole_path(word: str) -> Path:
    """From the root: cases run in folders of their own."""
    return Path(word).resolve()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.cases", description=__doc__)
    parser.add_argument("folder", type=whole_path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--guest", type=whole_path, help="runs a command in a guest with cameras")
    parser.add_argument("--keep", type=Path, help="where what was said is written, by name")
    args = parser.parse_args()
    # A signal that is ignored, as nohup does, would be ignored by all that runs; one that is
    # handled is not.
    signal.signal(signal.SIGHUP, lambda *_: None)
    every = sorted(path.parent.name for path in args.folder.glob("*/cmd"))
    bad = 0
    for name in args.names or every:
        with tempfile.TemporaryDirectory(prefix="cases-") as scratch:
            prepare(args.folder, Path(scratch))
            ran = run_case(args.folder, name, Path(scratch), args.guest)
            if ran is None:
                print(f"{name:20} no guest", flush=True)
                continue
            word, wrong = verdict(name, ran)
            if args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                (args.keep / f"{name}.txt").write_text(ran.said)
        bad += word == "WRONG"
        expect = (args.folder / name / "expect").read_text().splitlines()[0]
        last = (ran.lines() or [""])[-1]
        print(f"{name:20} {word:5} rc {ran.code} {ran.seconds:5.1f} s  {'; '.join(wrong)}")
        print(f"{'':20} says:   {last[:SHOWN]}\n{'':20} expect: {expect[:SHOWN]}")
        if name in NOTES:
            print(f"{'':20} note:   {NOTES[name]}")
        sys.stdout.flush()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
