"""The guard's figures, on pictures made here."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import fake_networks, portrait, write_clip

from bshm_live.matting.bshm import Bshm
from tools.evaluate.guard import CLIP_HEAD, ROOM_HEAD, guarded, main, panned


def test_a_panned_room_moves_and_is_the_same_each_time() -> None:
    room = portrait(320, 200).background
    first, again = (list(panned(room, 3, 5)) for _ in range(2))
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    assert first[0].shape == (360, 640, 3)
    moved = [np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(first)]
    assert min(moved) > 1


def test_what_leaves_of_a_person_and_of_a_room_is_counted() -> None:
    matting, made = Bshm(*fake_networks()), portrait(256, 144)
    shares = [share for share, _ in guarded(matting, iter([made.picture] * 3), 30)]
    assert shares == pytest.approx([float(made.alpha.mean())] * 3, abs=0.05)
    empty = [share for share, _ in guarded(matting, iter([made.background] * 3), 30)]
    assert max(empty) < 0.01
    jump = [made.background, made.picture, made.background]
    assert [reason is None for _, reason in guarded(matting, iter(jump), 30)] == [
        True,
        False,
        True,
    ]


def test_the_table_has_rooms_and_clips(
    tmp_path: Path, toy_engines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("rooms_eval", "clips"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "rooms_eval" / "0.jpg"), portrait(320, 200).background)
    write_clip(tmp_path / "clips" / "me.mp4")
    assert main([str(tmp_path), "--presets", "balanced", "--frames", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ROOM_HEAD in lines
    assert CLIP_HEAD in lines
    assert any(line.startswith("| balanced | 4 | 0 | 0 |") for line in lines)
    assert any(line.startswith("| balanced | 1 | 12 | 0 |") for line in lines)
