"""A bounded run: python -m tools.fuzz [--count N] [--seed N] [--only N] [--keep FOLDER]."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections import Counter
from pathlib import Path

from .runner import Verdict, run_cases


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", help="these cases alone")
    parser.add_argument("--keep", type=Path, help="a folder for the files of what failed")
    parser.add_argument("--seconds", type=float, default=3600.0, help="the end, however far it is")
    args = parser.parse_args()
    numbers = args.only or range(args.first, args.first + args.count)
    start, kinds, codes, found = time.monotonic(), Counter(), Counter(), []
    for verdict in run_cases(args.seed, numbers, args.seconds):
        given, result, wrong = verdict
        kinds[given.kind] += 1
        codes[str(result.code)] += 1
        if wrong:
            found.append(verdict)
            show(verdict, args.seed)
            if args.keep:
                keep(verdict, args.keep)
    total = sum(kinds.values())
    print(
        f"{total} cases in {time.monotonic() - start:.0f} s with --seed {args.seed} "
        f"({', '.join(f'{count} {kind}' for kind, count in kinds.items())}); "
        f"exit codes {dict(sorted(codes.items()))}; {len(found)} wrong"
    )
    return 1 if found or not total else 0


def show(verdict: Verdict, seed: int) -> None:
    given, result, wrong = verdict
    words = shlex.join(
        word if len(word) < 60 else f"{word[:20]}...({len(word)})" for word in given.words
    )
    print(f"case {given.number} (--seed {seed}; {given.origin or given.kind}): {'; '.join(wrong)}")
    print(f"  bshm-live {words}")
    if lines := result.told.strip().splitlines():
        print(f"  {lines[-1][:160]!a}", flush=True)


def keep(verdict: Verdict, folder: Path) -> None:
    given = verdict[0]
    place = folder / str(given.number)
    place.mkdir(parents=True, exist_ok=True)
    for name, data in given.files.items():
        (place / name).write_bytes(data)
    (place / "words").write_bytes(shlex.join(given.words).encode(errors="surrogateescape"))


if __name__ == "__main__":
    sys.exit(main())
