"""One batch by one process, by two, and by a Ray cluster of two nodes: the same files?

    python -m tools.batch_check PICTURES --count 300 [--ways one two ray] [--preset fast]

A worker is killed in the middle of each way but the first. Every picture must have its outputs,
once, with the bytes that one process makes. Linux; `ray` needs the extra ray.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WAYS = ("one", "two", "ray")
RAY_TASK = "ray::do_there"  # the command line of a Ray worker that has a picture in hand
WORKER = "multiprocessing.spawn"  # in the command line of a worker of ours
REPORT = "report.csv"
LOOK_S = 0.2


def run(pictures: list[Path], out: Path, preset: str, *words: str, victim: str = "") -> str:
    """A whole batch; returns what it says at its end. Kills one process in its middle."""
    command = [sys.executable, "-m", "bshm_live", "image", "-d", str(out), "--preset", preset]
    command += ["--threads", "1", *words, "-i", *map(str, pictures)]
    with tempfile.TemporaryFile("w+") as said:
        running = subprocess.Popen(command, stderr=said)
        while victim and running.poll() is None:
            if len(list(out.glob("*_alpha.png"))) > len(pictures) // 3 and kill_one(victim):
                break
            time.sleep(LOOK_S)
        code = running.wait()
        said.seek(0)
        lines = [line.strip() for line in said if " ▸ " not in line]
    if code:
        raise SystemExit(f"exit code {code}: {lines[-3:]}")
    return "; ".join(line for line in lines if " done in " in line or "died" in line)


def kill_one(victim: str) -> bool:
    """SIGKILL for the first process whose command line has `victim`; whether there was one."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            ours = os.getpid() in ancestors(int(folder.name))
            if victim in line and ours and int(folder.name) != os.getpid():
                os.kill(int(folder.name), signal.SIGKILL)
                print(f"  killed: {line.split(' -c ')[0][:60]}")
                return True
    return False


def ancestors(number: int) -> Iterator[int]:
    while number > 1:
        stat = Path(f"/proc/{number}/stat").read_text()
        number = int(stat.rpartition(")")[2].split()[1])
        yield number


@contextmanager
def two_nodes() -> Iterator[str]:
    """The address of a Ray cluster of two nodes with one core each, on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.png")
    }


def check(pictures: list[Path], out: Path, known: Path) -> str:
    """What is wrong with a way's outputs, or that they are those of one process."""
    with (out / REPORT).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if sorted(row["input"] for row in rows) != sorted(map(str, pictures)):
        return f"WRONG: {len(rows)} lines in the report for {len(pictures)} pictures"
    if failed := [row["error"] for row in rows if row["error"]]:
        return f"WRONG: {len(failed)} failed, {failed[0]}"
    found, right = digests(out), digests(known)
    if found != right:
        others = {
            name for name in found.keys() | right.keys() if found.get(name) != right.get(name)
        }
        return f"WRONG: {len(others)} files differ, {min(others)}"
    return f"{len(rows)} pictures, {len(found)} files, the same bytes as one process"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--work", type=Path, help="kept; default: a folder that goes at the end")
    args = parser.parse_args()
    pictures = sorted(path for path in args.pictures.iterdir() if path.is_file())[: args.count]
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        for way in dict.fromkeys(("one", *args.ways)):
            print(way, flush=True)
            if way == "ray":
                with two_nodes() as address:
                    words = ("--ray", address)
                    said = run(pictures, work / way, args.preset, *words, victim=RAY_TASK)
            elif way == "two":
                words = ("--workers", "2")
                said = run(pictures, work / way, args.preset, *words, victim=WORKER)
            elif (work / way / REPORT).is_file():
                said = "made before"
            else:
                said = run(pictures, work / way, args.preset)
            print(f"  {said}\n  {check(pictures, work / way, work / 'one')}", flush=True)


if __name__ == "__main__":
    main()
