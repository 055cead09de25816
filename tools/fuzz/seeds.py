"""Sound files of every kind, made here: what mutations start from."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]

WIDTH, HEIGHT = 96, 64
FRAMES = 6
TICK = Fraction(1, 10)  # seconds; also between two frames
SOUND_HZ = 16000
# name: Pillow's mode, and how it is saved
STILLS: dict[str, tuple[str, dict[str, Any]]] = {
    "colour.png": ("RGB", {}),
    "alpha.png": ("RGBA", {}),
    "palette.png": ("P", {"transparency": 0}),
    "deep.png": ("I;16", {}),
    "moving.png": ("RGB", {"save_all": True}),
    "colour.jpg": ("RGB", {}),
    "turned.jpg": (
        "RGB",
        {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
    ),
    "progressive.jpg": ("L", {"progressive": True}),
    "ink.jpg": ("CMYK", {}),
    "colour.webp": ("RGB", {}),
    "moving.webp": ("RGBA", {"save_all": True}),
    "moving.gif": ("P", {"save_all": True}),
    "colour.bmp": ("RGB", {}),
    "colour.tiff": ("RGB", {"compression": "tiff_lzw"}),
    "deep.tiff": ("I;16", {}),
    "grey.ppm": ("L", {}),
    "colour.jp2": ("RGB", {}),
    "colour.avif": ("RGB", {}),
}
# suffix: encoder, pixels, sound
FILMS = {
    ".mp4": ("libx264", "yuv420p", "aac"),
    ".mkv": ("ffv1", "yuv420p", "pcm_s16le"),
    ".webm": ("libvpx-vp9", "yuva420p", None),
    ".avi": ("mjpeg", "yuvj420p", "pcm_s16le"),
    ".mov": ("prores_ks", "yuva444p10le", "aac"),
    ".ts": ("mpeg2video", "yuv420p", "mp2"),
}


def picture(number: int, channels: int = 3) -> Picture:
    """A bright oval before a ramp, with some noise; (HEIGHT, WIDTH, channels)."""
    random = np.random.default_rng(number)
    ramp = np.linspace(0, 200, WIDTH, dtype=np.uint8)
    base = np.repeat(np.tile(ramp, (HEIGHT, 1))[:, :, None], channels, axis=2)
    cv2.ellipse(base, (40 + 3 * number, 36), (14, 24), 0, 0, 360, (160, 190, 230, 255), -1)
    return cv2.add(base, random.integers(0, 20, base.shape, np.uint8)).reshape(base.shape)


def make_seeds(folder: Path) -> list[Path]:
    """Writes them all and returns them, pictures first, in the same order every time."""
    made = [still(folder / name, *how) for name, how in STILLS.items()]
    return made + [film(folder / f"film{suffix}", *how) for suffix, how in FILMS.items()]


def still(path: Path, mode: str, options: dict[str, Any]) -> Path:
    """In Pillow's `mode`, or of 16 bits a value; with more than one picture for save_all."""
    if mode == "I;16":
        Image.fromarray(picture(0, 1)[:, :, 0].astype(np.uint16) * 257).save(path)
        return path
    images = [Image.fromarray(picture(n)).convert(mode) for n in range(3)]
    if mode == "RGBA":
        images = [Image.fromarray(picture(n, 4)) for n in range(3)]
    more = {"append_images": images[1:], "duration": 100} if options.get("save_all") else {}
    images[0].save(path, **options, **more)
    return path


def film(path: Path, encoder: str, pixels: str, sound: str | None) -> Path:
    """FRAMES pictures, with a tone where `sound` is its encoder."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        stream.codec_context.time_base = TICK
        tone = container.add_stream(sound, rate=SOUND_HZ, layout="mono") if sound else None
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            frame.pts, frame.time_base = number, TICK
            container.mux(stream.encode(frame.reformat(format=pixels)))
            if tone is not None:
                container.mux(tone.encode(_tone(number)))
        container.mux(stream.encode(None))
        if tone is not None:
            container.mux(tone.encode(None))
    return path


def _tone(number: int) -> av.AudioFrame:
    count = int(SOUND_HZ * TICK)
    at = (np.arange(count) + number * count) / SOUND_HZ
    samples = (8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SOUND_HZ, number * count, Fraction(1, SOUND_HZ)
    return frame
