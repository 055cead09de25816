"""Case N of a run: its words and files, from the seed and N alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .mutate import mutated

KINDS = ("picture", "film", "background", "settings")
ENGINES = ["--runtime", "onnxruntime", "--preset", "balanced", "--threads", "1"]
PLAIN = ["--bg", "#00b140"]
# What people and scripts type by accident, and on purpose.
ODD = (
    *("", " ", "-", "--", "0", "-1", "1e9", "nan", "inf", "²", "٣", "9" * 5000, "0x10", "1_0"),
    *(
        "a" * 300,
        "é.mp4",
        "名" * 100 + ".png",
        "%s%n",
        "\udce9.jpg",
        "a\nb",
        "\x1b[31m",
        "~nobody/x",
    ),
    *(
        "blur:",
        "blur:0",
        "blur:-3",
        "blur:²",
        "blur:999",
        "#12",
        "#1234567",
        "#ggg",
        "none",
        "NONE",
    ),
    *(
        "1280x720x3",
        "0x0",
        "63x64",
        "64x",
        "99999x2",
        "64X64",
        ".//",
        ".",
        "..",
        "/dev/null",
        "/dev/full",
    ),
)
RESULTS = ("out.mp4", "out.mkv", "out.webm", "out.mov", "out.avi", "out.xyz", "no/out.mp4")


@dataclass(frozen=True)
class Case:
    """The command line `words`, run in a folder that holds `files` (name to bytes)."""

    number: int
    kind: str
    words: list[str]
    files: dict[str, bytes]
    origin: str  # the sound file, or nothing


def case(seed: int, number: int, seeds: Sequence[Path]) -> Case:
    random = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    if kind == "settings":
        return Case(number, kind, settings_words(random), _plain_files(seeds), "")
    films = [path for path in seeds if path.stem == "film"]
    pictures = [path for path in seeds if path.stem != "film"]
    pool = {"picture": pictures, "film": films, "background": list(seeds)}[kind]
    origin = pool[int(random.integers(len(pool)))]
    others = [path.read_bytes() for path in pool]
    data = mutated(origin.read_bytes(), others, random)
    name = f"given{origin.suffix}"
    files = {name: data}
    if kind == "picture":
        words = ["image", "-i", name, "-d", ".", *PLAIN]
    elif kind == "film":
        words = ["video", name, "-o", _one_of(RESULTS[:4], random), *PLAIN]
    else:
        files |= _plain_files(seeds)
        words = [
            ["video", "plain.mp4", "-o", "out.mkv", "--bg", name],
            ["image", "-i", "plain.png", "-d", ".", "--bg", name],
            ["--source", "plain.mp4", "--sink", "out.mkv", "--bg", name, "--frames", "4"],
        ][int(random.integers(3))]
    return Case(number, kind, [*words, *ENGINES], files, origin.name)


def _plain_files(seeds: Sequence[Path]) -> dict[str, bytes]:
    named = {path.name: path for path in seeds}
    pairs = (("plain.mp4", "film.mp4"), ("plain.png", "colour.png"))
    return {name: named[origin].read_bytes() for name, origin in pairs}


def _one_of(words: Sequence[str], random: np.random.Generator) -> str:
    return words[int(random.integers(len(words)))]


def settings_words(random: np.random.Generator) -> list[str]:
    """A command that would work, with some of its values replaced by odd ones.

    No camera, no device, no address: a number alone is never a source. No folder but that of
    the case and the one above: what a command writes stays there.
    """
    command = {
        "live": ["--source", "plain.mp4", "--sink", "null", "--frames", "2", *PLAIN, *ENGINES],
        "video": ["plain.mp4", "-o", _one_of(RESULTS, random), *PLAIN, *ENGINES],
        "image": ["-i", "plain.png", "-d", ".", *PLAIN, *ENGINES],
        "bench": ["--frames", "2", "--size", "128x64", *PLAIN, *ENGINES],
    }
    extra = {
        "live": [["--size", "128x64"], ["--fps", "30"], ["--on-demand"], ["--sink", "out.mkv"]],
        "video": [["--alpha", "alpha.mkv"], ["--foreground", "front.mp4"], ["--light-wrap"]],
        "image": [["--box", "1,2,30,40"], ["--scribble", "plain.png"], ["--stages"]],
        "bench": [["--json"]],
    }
    name = _one_of(list(command), random)
    words = [name, *command[name]]
    for option in extra[name]:
        if random.random() < 0.4:
            words += option
    for _ in range(int(random.integers(1, 3))):
        at = int(random.integers(1, len(words)))
        safe = words[at - 1] != "--source" and not words[at].startswith("-")
        if safe or words[at] == "--threads":
            words[at] = _one_of(ODD, random)
    return words
