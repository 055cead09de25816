"""The whole program between a real webcam driver and a real virtual camera."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from bshm_live.manifest import engines_folder

GREEN = (64, 177, 0)  # BGR of #00b140
ALIVE = 5.0  # frames/s: how fast it is, is for the benchmark to say

# A portrait fed into one loopback device is the webcam, another is the virtual camera.
SCRIPT = """
set -u
clip=$1 python=$2
ffmpeg -v error -readrate 1.2 -stream_loop -1 -i "$clip" -vf scale=640:360 -pix_fmt yuyv422 \
    -f v4l2 /dev/video11 &
feeder=$!
until v4l2-ctl -d /dev/video11 --all | grep -q 'Video Capture$'; do sleep 0.1; done
"$python" -m bshm_live --bg '#00b140' --source /dev/video11 --sink vcam:/dev/video10 \
    --size 640x360 --runtime onnxruntime --stats &
program=$!
until v4l2-ctl -d /dev/video10 --all | grep -q 'Video Capture$'; do sleep 0.1; done
sleep 3
v4l2-ctl -d /dev/video10 --stream-mmap=2 --stream-count=100 2>&1
ffmpeg -v error -f v4l2 -i /dev/video10 -frames:v 5 -c:v ffv1 -y seen.mkv
kill -INT $program
wait $program
echo "the program ended with $?"
kill $feeder
"""


@pytest.mark.device
@pytest.mark.slow
def test_a_reader_sees_the_person_before_green(
    tmp_path: Path, shared: Path, guest: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    if not (engines_folder() / "manifest.toml").is_file():
        pytest.skip("no trained networks in this checkout")
    (tmp_path / "live.sh").write_text(SCRIPT)
    clip = shared / "eval" / "clip07.mp4"
    done = guest(tmp_path, "bash", "live.sh", clip, sys.executable, seconds=90)
    assert "the program ended with 0" in done.stdout, done.stdout
    rates = [float(x) for x in re.findall(r"([\d.]+) fps", done.stdout)]
    print(done.stdout)
    assert rates, done.stdout
    assert max(rates) >= ALIVE, done.stdout
    with av.open(str(tmp_path / "seen.mkv")) as container:
        frames = [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]
    assert len(frames) == 5
    for frame in frames:
        green = np.abs(frame.astype(int) - GREEN).max(2) <= 12  # I420 in between
        assert green[:60, :60].mean() > 0.95  # the room's corners are gone
        assert green[:60, -60:].mean() > 0.95
        assert 0.2 < green.mean() < 0.9
        assert green[150:210, 290:350].mean() < 0.05  # the face is there
