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

from .films import alpha_of, frames, length, sounds

GREEN = (0, 128, 0)  # --bg green
STILL = "red', 0.0, 60"  # a file that has one picture after all
SCREEN = (0, 177, 64)  # --bg "#00b140"
RATE_KEPT = 0.8  # with a large background: of the rate without
TALK_S = 7.5  # talk8s.mp4, less what a busy machine drops at its ends
LOOKS_LIKE = 0.01  # of a room's pixels: so many are like the background by chance
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


def bg_4k(ran: Ran) -> Iterator[str]:
    rates = [float(rate) for rate in re.findall(r"([\d.]+) frames/s", ran.said)]
    if len(rates) != 2 or rates[1] < RATE_KEPT * rates[0]:
        yield f"{rates} frames/s"


def bg_gone(ran: Ran) -> Iterator[str]:
    yield from codes(0)(ran)
    if (seconds := length(ran.folder / "out.mp4")) < TALK_S:
        yield f"out.mp4 lasts {seconds:.1f} s"
    if "bg.mp4" not in ran.said.partition("frames/s:")[0].replace("--bg", ""):
        yield "no word of bg.mp4"


def guard_99(ran: Ran) -> Iterator[str]:
    found = re.findall(r"^(\d+) person ([\d.]+) room ([\d.]+) ?(.*)$", ran.said, re.MULTILINE)
    if len(found) != 12:
        yield f"{len(found)} of 12 frames"
    for number, person, room, why in found:
        if float(person) > 0 or float(room) > LOOKS_LIKE or (int(number) >= 4 and not why):
            yield f"frame {number}: {person} person, {room} of the room, {why or 'no word'}"


def long_name(ran: Ran) -> Iterator[str]:
    yield from codes(0)(ran)
    made = [path.name for path in (ran.folder / "out").glob("*_alpha.png")]
    if len(made) != 3 or max(len(name.encode()) for name in made) > 255:
        yield f"{len(made)} of 3 pictures"


def names_too_long(ran: Ran) -> Iterator[str]:
    yield from codes(0, 2, 3, 5)(ran)
    if len(list((ran.folder / "out").glob("nnn*_alpha.png"))) != 1:
        yield "the picture with a long name is not done"
    if len(re.findall(r"^1$", ran.said, re.MULTILINE)) != 3:
        yield "more than a line"


def portrait_live(ran: Ran) -> Iterator[str]:
    """The person in a film of the whole portrait, between two sides of background."""
    made, given = frames(ran.folder / "out.mp4"), frames(ran.folder / "portrait.mp4")
    if not made or made[0].shape != (720, 1280, 3):
        yield f"out.mp4 is {made[0].shape if made else 'nothing'}"
        return
    wide = round(720 * given[0].shape[1] / given[0].shape[0])
    left = (1280 - wide) // 2
    whole = cv2.resize(given[0], (wide, 720), interpolation=cv2.INTER_AREA).astype(int)
    person = np.abs(made[0].astype(int) - SCREEN).max(2) > 60
    if person[:, : left - 8].any() or person[:, left + wide + 8 :].any():
        yield "the sides are not the background"
    inside = person[:, left : left + wide]
    if inside.mean() < 0.2 or np.abs(made[0][:, left : left + wide] - whole)[inside].mean() > 25:
        yield "the person is not where the whole portrait has it"


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
    """A whole recording; or, on a machine too busy to have begun one by then, none."""
    live, rec = ran.codes()[:1], ran.folder / "v/rec.mp4"
    yield from codes(*([130] if live == [130] and not rec.exists() else [0]), 130)(ran)
    if live == [0] and not frames(rec):
        yield "rec.mp4 is not whole"


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


def url_endless(ran: Ran) -> Iterator[str]:
    """A redirect is followed, its body unread; all else ends with one line, in printable words."""
    yield from codes(0, 3, 3, 3, 3, 3, 0)(ran)
    for name in ("redirbody", "slowredir"):
        if not (ran.folder / f"out/{name}_alpha.png").is_file():
            yield f"{name}: no picture"
    ends = [line for line in ran.lines() if line.startswith("bshm-live: ")]
    if len(ends) != 7 or "^[" in ran.said:
        yield f"{len(ends)} of 7 lines, or a server's own signs"


def told(*patterns: str) -> Callable[[Ran], Iterator[str]]:
    def check(ran: Ran) -> Iterator[str]:
        yield from (f"no {word}" for word in patterns if not re.search(word, ran.said))

    return check


def nothing_sent(ran: Ran) -> Iterator[str]:
    if re.search(r"^/.*(onnxruntime|deviceid|Microsoft)", ran.said, re.MULTILINE):
        yield "a file under HOME"


CHECKS: dict[str, Callable[[Ran], Iterator[str]]] = {
    "alpha-in": alpha_in,
    "bg-4k": bg_4k,
    "bg-huge": bg_huge,
    "bg-timing": bg_timing,
    "bg-video-gone-live": bg_gone,
    "disk-full-in-call": told("camera there", "goes on without the recording"),
    "double-interrupt": double_interrupt,
    "folder-skips": folder_skips,
    "guard-99": guard_99,
    "hdr": hdr,
    "icc": icc,
    "latin1-bg": codes(0, 0),
    "long-name": long_name,
    "mirrored-matrix": mirrored,
    "mjpg-garbage": told(r"s12: .* green 1\.00", "sends the same picture"),
    "names-too-long": names_too_long,
    "odd-numbers": told(r"blur", r"--size", r"--threads", r"--frames"),
    "pcm-to-mp4": pcm,
    "portrait-live": portrait_live,
    "same-output-twice": codes(2, 2),
    "sar": size_of("out.mp4", 16, 9),
    "sighup": sighup,
    "stderr-reader-ends": stderr_ends,
    "symlinked-part": precious,
    "telemetry": nothing_sent,
    "tracks": tracks,
    "two-runs-one-output": one_output,
    "url-endless": url_endless,
}


def verdict(name: str, ran: Ran) -> tuple[str, list[str]]:
    """right, WRONG or look, and why."""
    wrong = [found[0] for found in [EVIL.search(ran.said)] if found]
    wrong += [f"left: {name}" for name in ran.leftovers()]
    if ran.code is None:
        wrong.append("it never ended")
    if check := CHECKS.get(name):
        try:
            wrong += check(ran)
        except (OSError, av.FFmpegError, AttributeError, IndexError) as error:
            wrong.append(f"its result cannot be read ({type(error).__name__})")
    return ("WRONG" if wrong else "right" if check else "look"), wrong
