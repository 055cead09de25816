"""Makes the clip that comes with the package: a person at a desk, as a webcam sees one.

    python -m tools.make_demo [--out bshm_live/assets/demo.mp4] [--frames DIR]

The person is NASA's portrait of the astronaut Eileen Collins, which is in the
public domain and comes with scikit-image; it is cut out of its picture here and
moved a little. The room is drawn. Nothing random: a fixed seed.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Image = NDArray[np.float32]

WIDTH, HEIGHT = 640, 360
FPS = 25
SECONDS = 4.8
FRAMES = round(FPS * SECONDS)
QUALITY = 17  # x264's constant rate factor

# The portrait, in its own 512x512 pixels: x, y
FACE, HAIR = (228, 130), (228, 75)
HEAD, RING = (228, 70), (209, 222)
# fmt: off
SUIT = np.array([
    (25, 512), (22, 400), (50, 290), (110, 215), (130, 165), (190, 150), (280, 180), (305, 235),
    (350, 270), (362, 350), (280, 420), (280, 512),
])
SUIT_CORE = np.array([
    (40, 500), (38, 400), (60, 300), (115, 240), (300, 250), (340, 280), (350, 345), (285, 400),
    (275, 500),
])
# fmt: on
AWAY = [  # the flag, the strip beside the sleeve, the shuttle and the helmet, the upper edge
    np.array([(0, 0), (140, 0), (140, 130), (100, 190), (60, 240), (20, 330), (0, 400)]),
    np.array([(0, 380), (16, 380), (14, 512), (0, 512)]),
    np.array([(512, 0), (318, 0), (318, 200), (345, 240), (372, 330), (372, 512), (512, 512)]),
    np.array([(0, 0), (512, 0), (512, 8), (0, 8)]),
]
UNSURE_HAIR, UNSURE = 9, 3  # half width in pixels of the band where alpha is solved for

# Where it stands in the frame and how it moves about its foot, the middle of the lower edge
FOOT = (222.0, 341.0)  # in the portrait
STAND = (318.0, 362.0)  # in the frame; below its edge, so that no sway opens a gap
SCALE = 1.0
SWAY, LEAN, BREATH = 9.0, 1.3, 0.012  # pixels, degrees, share of the size
DETAIL = 2  # the room is drawn this much larger and shrunk
NOISE = 1.6  # levels of 255, one standard deviation
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("bshm_live/assets/demo.mp4"))
    parser.add_argument("--frames", type=Path, help="also write some frames as PNG, to look at")
    args = parser.parse_args()
    front, alpha = cut_out()
    room = drawn_room()
    frames = [frame(number, front, alpha, room) for number in range(FRAMES)]
    write(args.out, frames)
    print(f"{args.out}: {FRAMES} frames, {args.out.stat().st_size} bytes")
    if args.frames:
        args.frames.mkdir(parents=True, exist_ok=True)
        for number in range(0, FRAMES, FRAMES // 5):
            cv2.imwrite(str(args.frames / f"{number:03}.png"), frames[number])


# --- the person -------------------------------------------------------------------------------


def cut_out() -> tuple[Image, Image]:
    """Foreground colour BGR (512, 512, 3) and alpha (512, 512), both in [0, 1]."""
    from pymatting import estimate_alpha_cf, estimate_foreground_ml
    from skimage.data import astronaut

    picture = np.ascontiguousarray(astronaut()[..., ::-1])  # type: ignore[no-untyped-call]
    known = trimap(person_mask(picture))
    alpha = estimate_alpha_cf(picture / 255.0, known)
    alpha = np.clip((alpha - 0.04) / 0.92, 0, 1)  # the solver leaves a veil and a few holes
    front = estimate_foreground_ml(picture / 255.0, alpha)
    return front.astype(np.float32), alpha.astype(np.float32)


def person_mask(picture: Picture) -> Picture:
    """255 where the person is, by GrabCut from a sketch of what is hers and what is not."""
    mask = np.full(picture.shape[:2], cv2.GC_PR_BGD, np.uint8)
    cv2.ellipse(mask, HAIR, (82, 68), 0, 0, 360, cv2.GC_PR_FGD, -1)
    cv2.fillPoly(mask, [SUIT], cv2.GC_PR_FGD)
    cv2.ellipse(mask, FACE, (34, 50), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.ellipse(mask, HEAD, (58, 38), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.ellipse(mask, RING, (82, 62), 22, 0, 360, cv2.GC_FGD, -1)
    cv2.fillPoly(mask, [SUIT_CORE], cv2.GC_FGD)
    for away in AWAY:
        cv2.fillPoly(mask, [away], cv2.GC_BGD)
    room, person = np.zeros((1, 65)), np.zeros((1, 65))  # GrabCut's colour models
    cv2.setRNGSeed(SEED)
    cv2.grabCut(picture, mask, (0, 0, 1, 1), room, person, 6, cv2.GC_INIT_WITH_MASK)
    hers = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(hers)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return np.where(parts == largest, 255, 0).astype(np.uint8)


def trimap(mask: Picture) -> NDArray[np.float64]:
    """1 person, 0 not, 0.5 in the band between: wide at the hair, narrow at the suit."""
    known = np.where(mask > 0, 1.0, 0.0)
    for band, rows in ((UNSURE_HAIR, slice(0, 150)), (UNSURE, slice(150, None))):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band + 1, 2 * band + 1))
        edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, disc) > 0
        part = np.zeros_like(edge)
        part[rows] = True
        known[edge & part] = 0.5
    return known


# --- the room ---------------------------------------------------------------------------------


def drawn_room() -> Image:
    """BGR (360, 640, 3) in [0, 1]: a wall in window light, shelf, books, lamp, picture."""
    big = np.zeros((HEIGHT * DETAIL, WIDTH * DETAIL, 3), np.uint8)
    wall(big)
    window(big)
    frame_on_wall(big)
    shelf(big)
    lamp(big)
    small = cv2.resize(big, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), 1.1)  # a webcam is sharp at the face
    return lit(np.asarray(blurred, np.float32) / np.float32(255))


def wall(big: Picture) -> None:
    plaster = np.random.default_rng(SEED).normal(0, 1, (24, 42)).astype(np.float32)
    patches = cv2.resize(plaster, big.shape[1::-1], interpolation=cv2.INTER_CUBIC)[..., None]
    big[:] = np.clip(np.array((172, 190, 196)) + 3.0 * patches, 0, 255)
    cv2.rectangle(big, (0, 640), (1280, 720), (120, 138, 150), -1)
    cv2.line(big, (0, 640), (1280, 640), (205, 215, 220), 5)


def window(big: Picture) -> None:
    x, y, w, h = 40, 50, 270, 420
    cv2.rectangle(big, (x - 16, y - 16), (x + w + 16, y + h + 16), (225, 230, 232), -1)
    sky = np.linspace(0, 1, h)[:, None, None]
    big[y : y + h, x : x + w] = (1 - sky) * (246, 226, 200) + sky * (235, 238, 236)
    hills = [(x, y + 330), (x + 70, y + 285), (x + 150, y + 320), (x + 215, y + 290)]
    ground = np.array([*hills, (x + w, y + 315), (x + w, y + h), (x, y + h)])
    cv2.fillPoly(big, [ground], (150, 178, 150))
    cv2.circle(big, (x + 205, y + 300), 46, (118, 158, 122), -1)
    cv2.line(big, (x + w // 2, y), (x + w // 2, y + h), (225, 230, 232), 12)
    cv2.line(big, (x, y + 190), (x + w, y + 190), (225, 230, 232), 12)
    cv2.rectangle(big, (x - 34, y + h + 16), (x + w + 34, y + h + 38), (232, 238, 240), -1)
    cv2.rectangle(big, (x - 34, y + h + 38), (x + w + 34, y + h + 46), (150, 165, 172), -1)


def frame_on_wall(big: Picture) -> None:
    cv2.rectangle(big, (826, 40), (1000, 172), (140, 155, 160), -1)  # its shadow
    cv2.rectangle(big, (816, 30), (990, 162), (52, 68, 84), -1)
    cv2.rectangle(big, (828, 42), (978, 150), (228, 232, 232), -1)
    cv2.rectangle(big, (846, 58), (960, 134), (178, 146, 92), -1)
    cv2.circle(big, (925, 82), 12, (120, 190, 240), -1)
    cv2.fillPoly(
        big, [np.array([(846, 134), (884, 84), (912, 114), (930, 100), (960, 134)])], (96, 110, 70)
    )


BOOKS = [(70, 60, 110), (120, 92, 60), (70, 120, 90), (140, 130, 60), (150, 140, 120),
         (80, 60, 90), (160, 120, 70), (70, 80, 80), (110, 150, 180)]  # fmt: skip


def shelf(big: Picture) -> None:
    rng = np.random.default_rng(SEED)
    for board in (300, 470, 640):
        x = 880
        while x < 1150:
            wide, high = int(rng.integers(16, 34)), int(rng.integers(84, 124))
            colour = BOOKS[int(rng.integers(len(BOOKS)))]
            if rng.random() < 0.8:
                cv2.rectangle(big, (x, board - high), (x + wide, board), colour, -1)
                dark = tuple(int(c * 0.75) for c in colour)
                cv2.line(big, (x, board - high), (x, board), dark, 2)
                cv2.line(
                    big,
                    (x + 4, board - high + 18),
                    (x + wide - 4, board - high + 18),
                    (190, 205, 215),
                    3,
                )
            x += wide + 2
        cv2.rectangle(big, (840, board), (1280, board + 14), (66, 96, 128), -1)
        cv2.rectangle(big, (840, board + 14), (1280, board + 24), (140, 155, 162), -1)


def lamp(big: Picture) -> None:
    shine = np.zeros(big.shape[:2], np.float32)
    cv2.circle(shine, (1205, 225), 60, 1.0, -1)
    glow = cv2.GaussianBlur(shine, (0, 0), 60)[..., None]
    big[:] = np.clip(big + glow * np.array((60, 95, 120)), 0, 255)
    cv2.rectangle(big, (1199, 250), (1211, 296), (60, 70, 78), -1)
    cv2.ellipse(big, (1205, 298), (34, 6), 0, 0, 360, (60, 70, 78), -1)
    cv2.fillPoly(
        big, [np.array([(1172, 176), (1238, 176), (1258, 252), (1152, 252)])], (172, 222, 246)
    )


def lit(room: Image) -> Image:
    """Bright by the window, darker in the corners."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    light = 1.08 - 0.34 * np.clip((x - 120) / WIDTH, 0, 1) - 0.14 * (y / HEIGHT)
    return np.asarray(np.clip(room * light[..., None] * 0.9, 0, 1), np.float32)


# --- the clip ---------------------------------------------------------------------------------


def frame(number: int, front: Image, alpha: Image, room: Image) -> Picture:
    """BGR uint8 (360, 640, 3): the person over the room, with a webcam's noise."""
    place = motion(number)
    weight = np.clip(moved(alpha, place), 0, 1)[..., None]
    person = np.clip(moved(front, place), 0, 1)
    noise = np.random.default_rng(SEED + number).normal(0, NOISE / 255, person.shape)
    mixed = weight * person + (1 - weight) * room + cv2.GaussianBlur(noise, (0, 0), 0.6) * 1.5
    return np.asarray(np.clip(mixed * 255 + 0.5, 0, 255), np.uint8)


def moved(image: Image, place: NDArray[np.float64]) -> Image:
    """`image` (512, 512[, 3]) by the map `place` into the frame (360, 640[, 3])."""
    way, edge = cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
    out = cv2.warpAffine(image, place, (WIDTH, HEIGHT), flags=way, borderMode=edge)
    return np.asarray(out, np.float32)


def motion(number: int) -> NDArray[np.float64]:
    """The affine map (2, 3) from the portrait to frame `number`; the clip loops smoothly."""
    turn = 2 * np.pi * number / FRAMES
    angle = LEAN * np.sin(turn + 0.4)
    scale = SCALE * (1 + BREATH * (1 - np.cos(2 * turn)) / 2)
    place = cv2.getRotationMatrix2D(FOOT, angle, scale)
    place[:, 2] += np.subtract(STAND, FOOT)
    place[0, 2] += SWAY * np.sin(turn)
    return np.asarray(place, np.float64)


def write(path: Path, frames: list[Picture]) -> None:
    """H.264 in MP4, playable before it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        stream.options = {"crf": str(QUALITY), "preset": "slow"}
        for picture in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        file.mux(stream.encode())


if __name__ == "__main__":
    main()
