"""What other programs make of the camera, and of its coming and going; run by test_guest.py."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kit
import numpy as np
import pytest
import readers

from bshm_live.sinks.v4l2 import Loopback

OFF = 4  # of 255: from BGR to I420 and back
GREEN, SKIN = (64, 177, 0), (120, 150, 220)  # BGR


@pytest.fixture(autouse=True)
def fresh() -> None:
    kit.reload_loopback()


def fields() -> str:
    words = ["v4l2-ctl", "-d", kit.OUT, "--get-fmt-video"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@contextmanager
def sending(camera: Loopback, image: np.ndarray) -> Iterator[None]:
    """Shows `image` thirty times a second."""
    end = threading.Event()

    def run() -> None:
        while not end.wait(1 / 30):
            camera.show(image)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("size", [(640, 360), (1280, 720)])
def test_the_fields_say_what_the_pixels_are(tmp_path: Path, size: tuple[int, int]) -> None:
    """Also after a producer that said something else."""
    before = ["v4l2-ctl", "-d", kit.OUT, "--set-fmt-video-out"]
    before[-1] += f"=width={size[0]},height={size[1]},pixelformat=YU12,colorspace=rec709,ycbcr=709"
    subprocess.run(before, check=True, capture_output=True)
    camera = Loopback(kit.OUT, size, 30)
    camera.show(np.zeros((size[1], size[0], 3), np.uint8))
    told = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in fields().splitlines())
    }
    assert told["Colorspace"] == "sRGB"
    assert told["Transfer Function"] == "sRGB"
    assert told["YCbCr/HSV Encoding"] == "ITU-R 601"
    if kit.loopback_version() >= (0, 13):  # before, the driver keeps this one to itself
        assert told["Quantization"] == "Limited Range"
    for colour in (GREEN, SKIN):
        image = np.full((size[1], size[0], 3), colour, np.uint8)
        with sending(camera, image):
            for name, seen in readers.read_all(tmp_path, 4, size, step=4).items():
                off = np.abs(seen.images[-1].astype(int) - colour).max()
                print(f"{name} at {size[0]}x{size[1]}: {off} of 255 beside {colour}")
                assert off <= OFF
    camera.close()
