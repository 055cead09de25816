"""The command: every step in a process of its own, and what became of each."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from bshm_live.errors import EngineError
from bshm_live.runtimes.nvidia import find_gpu, tensorrt_lacks

from . import __doc__ as about
from .rival import RVM
from .steps import STEPS

NO_GPU = EngineError.exit_code
PATIENCE_S = 1200.0  # for a step: TensorRT on a small GPU builds for minutes
BACKGROUND = "#00b140"


def main(words: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(words)
    if args.here:
        return here(args)
    if lacks := [str(lack) for lack in tensorrt_lacks()]:
        print(f"gpu_check: {'; '.join(lacks)}", file=sys.stderr)
        return NO_GPU
    options = ["--preset", args.preset, "--frames", str(args.frames), "--rvm", str(args.rvm)]
    options += ["--bg", args.bg]
    options += ["--out", str(args.out)] if args.out else []
    outcomes = [outcome(name, options) for name in args.steps or STEPS]
    print(f"\n{find_gpu()}\n" + "\n".join(outcomes))
    return 0 if all("passed" in line for line in outcomes) else 1


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpu_check", description=(about or "").split("\n")[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)}; all")
    parser.add_argument("--preset", default="quality")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--bg", default=BACKGROUND)
    parser.add_argument("--rvm", type=Path, default=RVM, help="RVM as an ONNX file to compare with")
    parser.add_argument("--out", type=Path, help="file for the table")
    parser.add_argument("--here", action="store_true", help="in this process, up to a failure")
    return parser


def here(args: argparse.Namespace) -> int:
    """The steps in this process."""
    for name in args.steps:
        try:
            STEPS[name](args)
        except Exception:  # whatever it is, it is what a first run has to tell
            traceback.print_exc()
            return 1
    return 0


def outcome(name: str, options: Sequence[str], patience_s: float = PATIENCE_S) -> str:
    """Runs a step in a process of its own; one line for the summary."""
    what = (STEPS[name].__doc__ or "").split("\n")[0]
    print(f"\n== {name}: {what}", flush=True)
    command = [sys.executable, "-X", "faulthandler", "-m", "tools.gpu_check", "--here", name]
    start = time.perf_counter()
    try:
        done = subprocess.run([*command, *options], check=False, timeout=patience_s)
        found = "passed" if done.returncode == 0 else f"FAILED (code {done.returncode})"
    except subprocess.TimeoutExpired:
        found = "FAILED (it did not end)"
    line = f"{name:9} {found} in {time.perf_counter() - start:.1f} s"
    print(f"== {line}", flush=True)
    return line


if __name__ == "__main__":
    sys.exit(main())
