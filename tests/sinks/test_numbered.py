"""Numbered pictures: each a layer of its shot, all of them or none."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bshm_live.errors import SinkError
from bshm_live.sinks import open_file
from bshm_live.sinks.pictures import PictureWriter, is_numbered
from bshm_live.sinks.video_file import VideoWriter
from bshm_live.sources.video_file import VideoFile
from bshm_live.types import Shot

SIZE = (32, 24)


def shot(index: int) -> Shot:
    alpha = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (24, 1))
    composite = np.full((24, 32, 3), (10 * index, 50, 200), np.uint8)
    return Shot(composite, alpha, np.full((24, 32, 3), (40, 80, 120), np.uint8), index, 0.0, True)


def read(path: Path) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ending", ["png", "tiff", "webp", "jpg"])
def test_every_shot_is_a_picture(tmp_path: Path, ending: str) -> None:
    writer = PictureWriter(tmp_path / f"f-%03d.{ending}", SIZE)
    assert not writer.needs_foreground
    for index in range(12):
        writer.send(shot(index))
        assert len([name for name in names(tmp_path) if name.startswith("f-")]) == 0
    writer.close()
    assert names(tmp_path) == [f"f-{number:03d}.{ending}" for number in range(1, 13)]
    for index in range(12):
        picture = read(tmp_path / f"f-{index + 1:03d}.{ending}").astype(int)
        off = np.abs(picture - (10 * index, 50, 200)).max()
        assert off <= (6 if ending in ("jpg", "webp") else 0)


def test_layers_and_transparency(tmp_path: Path) -> None:
    for layer in ("alpha", "foreground"):
        writer = PictureWriter(tmp_path / f"{layer}%d.png", SIZE, layer)  # type: ignore[arg-type]
        writer.send(shot(3))
        writer.close()
    assert np.array_equal(read(tmp_path / "alpha1.png"), shot(3).alpha)
    foreground = read(tmp_path / "foreground1.png")
    assert not foreground[:, 0].any()
    assert (foreground[:, 1:] == (40, 80, 120)).all()
    writer = PictureWriter(tmp_path / "cut%d.png", SIZE, transparent=True)
    assert writer.needs_foreground
    writer.send(shot(3))
    writer.close()
    with Image.open(tmp_path / "cut1.png") as cut:
        assert cut.mode == "RGBA"
        assert np.array_equal(np.asarray(cut)[..., 3], shot(3).alpha)
        assert np.asarray(cut)[12, 20, :3].tolist() == [120, 80, 40]


def test_a_film_of_them_is_read_again(tmp_path: Path) -> None:
    writer = PictureWriter(tmp_path / "f%04d.png", SIZE)
    for index in range(5):
        writer.send(shot(index))
    writer.close()
    frames = list(VideoFile(tmp_path / "f%04d.png"))
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("sent", [0, 3])
def test_what_is_thrown_away_leaves_nothing(tmp_path: Path, sent: int) -> None:
    writer = PictureWriter(tmp_path / "f%d.png", SIZE)
    for index in range(sent):
        writer.send(shot(index))
    writer.close(ok=False)
    writer.close()
    assert names(tmp_path) == []
    with pytest.raises(SinkError, match="is closed"):
        writer.send(shot(0))


def test_errors_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"gone does not exist; make it first"):
        PictureWriter(tmp_path / "gone" / "f%d.png", SIZE)
    with pytest.raises(SinkError, match="unknown kind of picture"):
        PictureWriter(tmp_path / "f%d.xyz", SIZE)


def test_the_name_decides_what_is_written(tmp_path: Path) -> None:
    assert is_numbered(Path("a/%04d.png"))
    assert not is_numbered(Path("100%.png"))
    assert not is_numbered(Path("%d/a.png"))
    made = [open_file(tmp_path / name, SIZE, 25) for name in ("f%d.png", "f%d.mp4", "f.mkv")]
    assert [type(one) for one in made] == [PictureWriter, VideoWriter, VideoWriter]
    for one in made:
        one.close(ok=False)
    assert names(tmp_path) == []
