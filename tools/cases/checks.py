"""What is right for each case, as far as a machine can tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

GREEN = (0, 128, 0)  # --bg green
STILL = "red', 0.0, 60"  # a file that has one picture after all
SHOWN = 70  # characters of a line
EVIL = re.compile(r"Traceback|Segmentation fault|core dumped|Exception ignored")


@dataclass(frozen=True)
class Ran:
    """How a case went: its folder afterwards and what was said."""

    folder: Path
    code: int | None  # None: it never ended
    said: str
    seconds: float

    def codes(self) -> list[int]:
        """Every exit code that the script printed, in order."""
        return [int(code) for code in re.findall(r"rc[= ](-?\d+)", self.said)]

    def lines(self) -> list[str]:
        return [line for line in self.said.splitlines() if line.strip()]

    def leftovers(self) -> list[str]:
        """Parts of files, but for those that the script made itself."""
        script = (self.folder / "cmd").read_text()
        found = (path.name for path in self.folder.rglob("*.part*"))
        return [name for name in found if name not in script]


def frames(path: Path) -> list[NDArray[np.uint8]]:
    """RGB (H, W, 3); none where the film cannot be read."""
    try:
        with av.open(f"file:{path}") as film:
            return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    except (av.FFmpegError, IndexError):
        return []


def sounds(path: Path) -> list[str]:
    with av.open(f"file:{path}") as film:
        return [stream.codec_context.name for stream in film.streams.audio]


def alpha_of(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return (
        image[:, :, 3]
        if image.ndim == 3 and image.shape[2] == 4
        else image.reshape(image.shape[:2])
    )


def near(found: NDArray[np.generic], want: tuple[int, ...], within: float) -> bool:
    return bool(np.abs(np.asarray(found, float) - want).max() <= within)


# Each yields what is wrong.


def alpha_in(ran: Ran) -> Iterator[str]:
    for name in ("cutout_half", "cutout_mag"):
        given, made = (
            alpha_of(ran.folder / f"{name}.png"),
            alpha_of(ran.folder / f"out/{name}_alpha.png"),
        )
        if (made.astype(int) > given.astype(int) + 2).any():
            yield f"{name}: what was transparent is back"
    film = frames(ran.folder / "out.mp4")
    if not film or np.ptp(film[0][:, :392].reshape(-1, 3).astype(int), axis=0).max() > 40:
        yield "alpha.mov: more than the background in columns 0 to 391"


def bg_huge(ran: Ran) -> Iterator[str]:
    most = [int(kib) for kib in re.findall(r"(\d+) KiB", ran.said)]
    if len(most) != 2 or max(most) > 1 << 20:
        yield f"memory {most} KiB"
    if "frames/s" in ran.said:
        yield "was shown"


def double_interrupt(ran: Ran) -> Iterator[str]:
    tries = re.findall(r"^(-?\d+) (\[.*\]) (True|False)$", ran.said, re.MULTILINE)
    for code, files, traceback in tries:
        if files not in ("[]", "['o.mp4']") or traceback == "True" or code not in ("0", "130"):
            yield f"{code} {files} {traceback}"
    if len(tries) != 12:
        yield f"{len(tries)} of 12 tries"


def folder_skips(ran: Ran) -> Iterator[str]:
    made = {path.name.partition("_")[0] for path in (ran.folder / "out").glob("*_alpha.png")}
    if missing := {"a", "b", "c", "d", "f", "g"} - made:
        yield f"not done: {sorted(missing)}"
    if "e.heic" not in ran.said:
        yield "no word of e.heic"


def hdr(ran: Ran) -> Iterator[str]:
    film = frames(ran.folder / "out_hlg.mp4")
    patch = film[0][130:170, 390:430].mean((0, 1)) if film else np.zeros(3)
    if not near(patch, (166, 111, 104), 10):
        yield f"RGB {patch.round()}"


def icc(ran: Ran) -> Iterator[str]:
    for path in (ran.folder / "out").glob("*_composite.png"):
        patch = cv2.imread(str(path))[420:440, 210:230, ::-1].mean((0, 1))
        if not near(patch, (101, 84, 64), 3):
            yield f"{path.name}: RGB {patch.round()}"


def bg_timing(ran: Ran) -> Iterator[str]:
    shown = re.findall(r"out\.mp4 \d+ frames (\[.*\])", ran.said)
    if len(shown) != 4:
        yield f"{len(shown)} of 4 films"
    wants = (("red', 0.0, 30",), ("red', 0.0, 30",), ("red', 0.0, 12",), ("red', 0.0, 12", STILL))
    for line, want in zip(shown, wants, strict=False):
        if not any(word in line for word in want):
            yield line[:SHOWN]


def size_of(name: str, width: int, height: int) -> Callable[[Ran], Iterator[str]]:
    """The film `name` is shown at this size, with square pixels or by its aspect."""

    def check(ran: Ran) -> Iterator[str]:
        with av.open(str(ran.folder / name)) as film:
            stream = film.streams.video[0]
            ratio = (stream.sample_aspect_ratio or 1) * stream.width / stream.height
        if abs(ratio - width / height) > 0.02:
            yield f"{name} is shown {float(ratio):.2f} wide"

    return check


def mirrored(ran: Ran) -> Iterator[str]:
    """Where the person is, the film shows what lies there in the turned one."""
    for name, source, way in (("out", "mirror_tkhd", "mirror"), ("out2", "transp", "transpose")):
        made, stored = frames(ran.folder / f"{name}.mp4"), frames(ran.folder / f"{source}.mp4")
        want = stored[0][:, ::-1] if way == "mirror" else stored[0].swapaxes(0, 1)
        if not made or made[0].shape != want.shape:
            yield f"{name}.mp4 is {made[0].shape if made else 'nothing'}"
            continue
        person = np.abs(made[0].astype(int) - GREEN).max(2) > 60
        if np.abs(made[0].astype(int) - want)[person].mean() > 20:
            yield f"{name}.mp4 is turned wrongly"


def pcm(ran: Ran) -> Iterator[str]:
    yield from codes(0, 0, 0)(ran)
    if len(frames(ran.folder / "out.mp4")) < 15 or sounds(ran.folder / "out.mp4") != ["aac"]:
        yield "out.mp4 lacks pictures or sound"


def tracks(ran: Ran) -> Iterator[str]:
    with av.open(str(ran.folder / "out.mkv")) as film:
        if film.metadata.get("title") != "My talk":
            yield "the title is lost"
        if not any(
            "ger" in stream.language or "deu" in stream.language
            for stream in film.streams.audio
            if stream.language
        ):
            yield "no German sound"


def sighup(ran: Ran) -> Iterator[str]:
    yield from codes(0, 130)(ran)
    live = ran.said.partition("rc=130")[0]
    if "rec.mp4" not in live:
        yield "no rec.mp4"


def stderr_ends(ran: Ran) -> Iterator[str]:
    if "rc=0" not in ran.said or not frames(ran.folder / "rec.mp4"):
        yield "the recording is lost"


def one_output(ran: Ran) -> Iterator[str]:
    if 0 in ran.codes() and len(frames(ran.folder / "v/o.mp4")) != 30:
        yield "rc=0 without a whole file"


def precious(ran: Ran) -> Iterator[str]:
    for name in ("victim1", "victim2"):
        if (ran.folder / name).read_text() != "precious\n":
            yield f"{name} is overwritten"


def codes(*want: int) -> Callable[[Ran], Iterator[str]]:
    """The script printed these exit codes."""

    def check(ran: Ran) -> Iterator[str]:
        if ran.codes() != list(want):
            yield f"exit codes {ran.codes()}, not {list(want)}"

    return check


def told(*patterns: str) -> Callable[[Ran], Iterator[str]]:
    def check(ran: Ran) -> Iterator[str]:
        yield from (f"no {word}" for word in patterns if not re.search(word, ran.said))

    return check


def nothing_sent(ran: Ran) -> Iterator[str]:
    if re.search(r"^/.*(onnxruntime|deviceid|Microsoft)", ran.said, re.MULTILINE):
        yield "a file under HOME"


CHECKS: dict[str, Callable[[Ran], Iterator[str]]] = {
    "alpha-in": alpha_in,
    "bg-huge": bg_huge,
    "bg-timing": bg_timing,
    "bg-video-gone-live": codes(0),
    "disk-full-in-call": told("camera there"),
    "double-interrupt": double_interrupt,
    "folder-skips": folder_skips,
    "hdr": hdr,
    "icc": icc,
    "latin1-bg": codes(0, 0),
    "mirrored-matrix": mirrored,
    "mjpg-garbage": told(r"s12: .* green 1\.00", "sends the same picture"),
    "odd-numbers": told(r"blur", r"--size", r"--threads", r"--frames"),
    "pcm-to-mp4": pcm,
    "same-output-twice": codes(2, 2),
    "sar": size_of("out.mp4", 16, 9),
    "sighup": sighup,
    "stderr-reader-ends": stderr_ends,
    "symlinked-part": precious,
    "telemetry": nothing_sent,
    "tracks": tracks,
    "two-runs-one-output": one_output,
    "url-endless": codes(*[3] * 7),
}


def verdict(name: str, ran: Ran) -> tuple[str, list[str]]:
    """right, WRONG or look, and why."""
    wrong = [found[0] for found in [EVIL.search(ran.said)] if found]
    wrong += [
        f"left: {name}" for name in ran.leftovers() if name not in ran.said.split("expect")[0:0]
    ]
    if ran.code is None:
        wrong.append("it never ended")
    if check := CHECKS.get(name):
        try:
            wrong += check(ran)
        except (OSError, av.FFmpegError, AttributeError, IndexError) as error:
            wrong.append(f"its result cannot be read ({type(error).__name__})")
    return ("WRONG" if wrong else "right" if check else "look"), wrong
