"""Videos as backgrounds: at their own times for files; live, beside the loop."""

import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from bshm_live.compositing.background import open_background, plain
from bshm_live.compositing.fit import UNDER
from bshm_live.compositing.moving import Beside, InStep
from bshm_live.errors import SettingsError, SourceError
from bshm_live.settings import BackgroundSpec
from bshm_live.sources.video_file import VideoFile
from bshm_live.types import Frame

SIZE = (32, 24)
COUNT = 10  # frames of the clip, each of its own grey
BLACK = plain((0, 0, 0), SIZE)


def clip(path: Path, fps: int, size: tuple[int, int] = SIZE) -> Path:
    with av.open(str(path), "w", format="matroska") as file:
        stream = file.add_stream("ffv1", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "gray"
        for number in range(COUNT):
            grey = np.full(size[::-1], 20 * number + 10, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        file.mux(stream.encode())
    return path


def number(picture: np.ndarray) -> int:
    return round((int(picture[12, 16, 0]) - 10) / 20)


def shown(video: InStep, times: list[float]) -> list[int]:
    """The number of the clip's frame that is shown at each time."""
    return [number(video(Frame(BLACK, 0, t), None)) for t in times]


# --- for files --------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [10, 24, 25, 30])
@pytest.mark.parametrize("digits", [3, 9])
def test_a_video_repeats_without_a_hitch(tmp_path: Path, fps: int, digits: int) -> None:
    """Every frame once, in order, through several rounds, times rounded to `digits`."""
    video = InStep(clip(tmp_path / "loop.mkv", fps), SIZE)
    times = [round(number / fps, digits) for number in range(75)]
    assert shown(video, times) == [number % COUNT for number in range(75)]


def test_a_video_keeps_its_own_pace(tmp_path: Path) -> None:
    path = clip(tmp_path / "loop.mkv", 20)
    slower = shown(InStep(path, SIZE), [n / 10 for n in range(12)])
    faster = shown(InStep(path, SIZE), [n / 40 for n in range(40)])
    assert slower == [2 * n % COUNT for n in range(12)]
    assert faster == [n // 2 % COUNT for n in range(40)]


def test_after_a_gap_a_video_is_where_it_would_be(tmp_path: Path) -> None:
    """At 20 frames/s a round is half a second; hours are not decoded one by one."""
    video = InStep(clip(tmp_path / "loop.mkv", 20), SIZE)
    times = [0.0, 0.05, 60.0, 60.15, 36_000.3]
    assert shown(video, times) == [0, 1, 0, 3, 6]


def test_a_video_is_cut_to_the_output_s_size(tmp_path: Path) -> None:
    video = InStep(clip(tmp_path / "loop.mkv", 20), (64, 20))
    assert video(Frame(BLACK, 0, 0.0), None).shape == (20, 64, 3)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.png", "PNG"), ("a.jpg", "GIF")]
)
def test_animations_are_backgrounds_at_their_own_times(
    tmp_path: Path, name: str, kind: str
) -> None:
    pictures = [Image.new("RGB", SIZE, colour) for colour in ("red", "lime", "blue")]
    rest = {"save_all": True, "append_images": pictures[1:], "duration": [1000, 100, 100]}
    pictures[0].save(tmp_path / name, format=kind, loop=0, **rest)
    background = open_background(BackgroundSpec("picture", path=tmp_path / name), SIZE)
    times = [0, 0.9, 1.01, 1.08, 1.11, 1.19, 1.21, 2.15, 2.25]
    found = [background(Frame(BLACK, 0, t), None)[12, 16] for t in times]
    assert [int(np.argmax(pixel)) for pixel in found] == [2, 2, 1, 1, 0, 0, 2, 2, 1]


@pytest.mark.parametrize("name", ["a.mkv", "a.wmv", "a.jpg", "noending"])
@pytest.mark.parametrize("kind", ["picture", "video"])
def test_the_content_decides_what_a_background_is(tmp_path: Path, name: str, kind: str) -> None:
    spec = BackgroundSpec(kind, path=clip(tmp_path / name, 10))  # type: ignore[arg-type]
    background = open_background(spec, SIZE)
    assert isinstance(background, InStep)
    still = tmp_path / f"still-{name}"
    Image.new("RGB", SIZE, "lime").save(still, format="JPEG")
    picture = open_background(BackgroundSpec(kind, path=still), SIZE)  # type: ignore[arg-type]
    assert np.abs(picture(Frame(BLACK, 0, 9.0), None).astype(int) - (0, 255, 0)).max() <= 3


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("content", [b"neither", b"", b"\0" * 5000])
def test_a_broken_background_is_refused_at_the_start(
    tmp_path: Path, live: bool, content: bytes
) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"--bg .*bad\.mp4") as caught:
        open_background(BackgroundSpec("video", path=path), SIZE, live=live)
    assert "\n" not in str(caught.value)


def test_a_transparent_video_lies_over_one_colour(tmp_path: Path) -> None:
    picture = np.zeros((24, 32, 4), np.uint8)
    picture[...] = (255, 0, 255, 0)
    picture[:, :16] = (40, 80, 120, 255)
    picture[:, 8:16, 3] = 128
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        stream = file.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "bgra"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgra")))
        file.mux(stream.encode())
    seen = InStep(tmp_path / "a.mkv", SIZE)(Frame(BLACK, 0, 0.0), None)
    assert seen[12, 4].tolist() == [40, 80, 120]
    assert np.abs(seen[12, 12].astype(int) - (20, 40, 60)).max() <= 1
    assert seen[12, 24].tolist() == [UNDER] * 3


# --- live -------------------------------------------------------------------------------------


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def asked(video: Beside) -> int:
    return number(video(Frame(BLACK, 0, 0.0), None))


def test_a_live_video_plays_by_itself_and_repeats(tmp_path: Path) -> None:
    video = Beside(clip(tmp_path / "loop.mkv", 50), SIZE)
    seen = [asked(video)]
    end = time.monotonic() + 10
    while time.monotonic() < end and len(seen) < 2 * COUNT:
        now = asked(video)
        if now != seen[-1]:
            seen.append(now)
        time.sleep(0.002)
    video.close()
    steps = [(b - a) % COUNT for a, b in itertools.pairwise(seen)]
    assert len(seen) == 2 * COUNT
    assert seen[0] in (0, 1)
    assert max(steps) <= 5  # a busy machine may leave some out, but none comes twice


@pytest.mark.parametrize("loss", ["deleted", "truncated", "overwritten", "emptied"])
def test_a_live_background_that_is_lost_stands_still(
    tmp_path: Path, loss: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = clip(tmp_path / "loop.mkv", 50)
    whole = path.read_bytes()
    with caplog.at_level(logging.WARNING, "bshm_live"):
        video = Beside(path, SIZE)
        if loss == "deleted":
            path.unlink()
        else:
            rubbish = {
                "truncated": whole[:90],
                "overwritten": os.urandom(len(whole)),
                "emptied": b"",
            }
            path.write_bytes(rubbish[loss])
        wait_until(lambda: asked(video) >= 0 and not video._thread.is_alive())
    assert 0 <= asked(video) < COUNT
    assert asked(video) == asked(video)
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith(f"the background stands still: {path}")
    video.close()


def test_a_video_of_no_length_by_its_own_word_does_not_hang(tmp_path: Path) -> None:
    """A broken file may say 100,000 frames a second: thousands of rounds in each of ours."""
    with av.open(str(tmp_path / "short.avi"), "w") as file:
        stream = file.add_stream("ffv1", rate=100_000)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "gray"
        for _ in range(2):
            grey = np.full(SIZE[::-1], 90, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        file.mux(stream.encode())
    video = InStep(tmp_path / "short.avi", SIZE)
    start = time.process_time()
    for at in (0.0, 1.0, 1000.0):
        assert video(Frame(BLACK, 0, at), None).mean() == pytest.approx(90, abs=2)
    assert time.process_time() - start < 2
    video.close()


def test_nothing_is_decoded_while_nobody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bshm_live.compositing.moving.REST_S", 0.05)
    video = Beside(clip(tmp_path / "loop.mkv", 50), SIZE)
    wait_until(lambda: asked(video) == 3)
    time.sleep(0.2)
    before = video._picture
    time.sleep(0.1)
    assert video._picture is before
    asked(video)
    wait_until(lambda: video(Frame(BLACK, 0, 0.0), None) is not before)
    video.close()


def test_close_ends_the_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    video = Beside(clip(tmp_path / "loop.mkv", 50), SIZE)
    assert threading.active_count() == before + 1
    video.close()
    video.close()
    assert threading.active_count() == before


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a niceness of its own on Linux")
def test_the_decoder_lets_the_networks_go_first(tmp_path: Path) -> None:
    video = Beside(clip(tmp_path / "loop.mkv", 50), SIZE)
    thread = video._thread.native_id
    assert thread is not None
    wait_until(lambda: os.getpriority(os.PRIO_PROCESS, thread) >= 10)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) < 10
    video.close()


def test_a_live_video_that_is_gone_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        Beside(tmp_path / "none.mp4", SIZE)


def test_large_videos_are_decoded_at_the_output_s_size(tmp_path: Path) -> None:
    path = clip(tmp_path / "large.mkv", 10, (640, 480))
    assert VideoFile(path, cover=(64, 24)).size == (64, 48)
    assert InStep(path, (64, 24))(Frame(BLACK, 0, 0.0), None).shape == (24, 64, 3)
