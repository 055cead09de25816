"""What a command left behind: is it what was promised?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

from bshm_live.commands.record import RECORD, REPORT

CODES = (0, 2, 3, 4, 5)
# Words of decoders and of loaders, which are no words for a person.
FOREIGN = re.compile(
    r"\[\w+ @ 0x|libpng|Corrupt JPEG|TIFF\w*:|\[ ?WARN|OpenCV\(|^\s+at |ERROR:\d|cv::|Warning:",
    re.MULTILINE,
)
SLOW_S = 20.0
HUNGRY_MIB = 2048


@dataclass(frozen=True)
class Result:
    """How one command ended. `code` None: it did not; `fault`: its traceback or signal.

    `seconds` are the processor's: a busy machine is no fault.
    """

    code: int | None
    told: str
    seconds: float
    fault: str = ""
    mib: float = 0.0  # of memory, beyond what there was before


def faults(result: Result, folder: Path, given: set[str], *, usage: bool) -> Iterator[str]:
    """What is wrong, in words. `given`: the files that were there before.

    `usage`: the parser's own lines, several, are in order.
    """
    if result.code is None:
        yield result.fault or "it never ended"
        return
    if result.fault or "Traceback" in result.told:
        yield result.fault or "a traceback"
    elif result.code not in CODES:
        yield f"exit code {result.code}"
    if result.seconds > SLOW_S:
        yield f"{result.seconds:.0f} s"
    if result.mib > HUNGRY_MIB:
        yield f"{result.mib:.0f} MiB of memory"
    known = {*given, RECORD, REPORT}  # a folder of pictures gets these, too
    new = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in known)
    if result.code:
        if new:
            yield f"exit code {result.code} and {new[0].name} is left"
        lines = [line for line in result.told.splitlines() if line.strip()]
        if not lines or not (usage or lines[-1].startswith("bshm-live: ")):
            yield "failed without a line that says why"
    elif hidden := [path.name for path in new if path.name.startswith(".")]:
        yield f"exit code 0 and {hidden[0]} is left"
    else:
        yield from (
            f"exit code 0 and {path.name} cannot be read" for path in new if not whole(path)
        )
    if match := FOREIGN.search(result.told):
        yield f"a library's own words: {match[0].strip()}"


def whole(path: Path) -> bool:
    """Whether all of a picture or film can be decoded, and there is any."""
    if path.suffix == ".png":
        return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), -1) is not None
    try:
        with av.open(f"file:{path}") as container:
            return sum(1 for _ in container.decode(video=0)) > 0
    except (av.FFmpegError, IndexError):
        return False
