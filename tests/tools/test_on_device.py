"""Training with frames made on the device, on the CPU; skipped where PyTorch is not installed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, portrait

torch = pytest.importorskip("torch", reason="PyTorch is for training only")
pytest.importorskip("onnx", reason="released weights are read as ONNX")

from tools.train import crops  # noqa: E402
from tools.train.on_device import draw, place  # noqa: E402
from tools.train.on_device.__main__ import main  # noqa: E402
from tools.train.on_device.deck import Deck, load  # noqa: E402
from tools.train.on_device.frames import Frames, LargeFrames  # noqa: E402

SIDE = 96


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of four people and two rooms."""
    root = tmp_path_factory.mktemp("photographs")
    for name in ("people", "alpha", "rooms"):
        (root / name).mkdir()
    for number, kind in enumerate(("portrait", "street", "street", "hair")):
        one = portrait(120, 90 + 10 * number, soft=6)
        name = f"{kind}_{number:04d}"
        cv2.imwrite(str(root / "people" / f"{name}.jpg"), one.picture)
        cv2.imwrite(str(root / "alpha" / f"{name}.png"), np.rint(one.alpha * 255))
        cv2.imwrite(str(root / "rooms" / f"{number:04d}.jpg"), one.background)
    main(["pack", "--data", str(root), "--out", str(root / "packs"), "--side", str(SIDE)])
    return root / "packs"


@pytest.fixture
def deck(packs: Path) -> Deck:
    torch.manual_seed(0)
    return load(packs, SIDE, "cpu")


def test_a_deck_holds_every_photograph(deck: Deck) -> None:
    assert deck.pictures.shape == deck.fronts.shape == (4, 3, SIDE, SIDE)
    assert deck.mattes.shape == (4, 1, SIDE, SIDE)
    assert len(deck.scenes) >= 4
    assert deck.size.max() == SIDE
    assert (deck.heads[..., 2] > 0).all()
    assert deck.chances.sum() == pytest.approx(1)


def test_a_box_over_the_whole_square_shows_the_square() -> None:
    square = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    box = torch.tensor([[0.0, 0.0, 32.0, 32.0]])
    for flip in (1.0, -1.0):
        grid = place.grids(box, 32, (32, 32), torch.zeros(1), torch.tensor([flip]))
        found = place.looked_at(square, box, grid)
        right = square.float() / 255
        right = right if flip > 0 else right.flip(3)
        assert torch.allclose(found, right, atol=1e-4)


def test_an_originals_box_stays_on_the_photograph(deck: Deck) -> None:
    rows = torch.randint(0, 4, (200,))
    one = torch.ones(200)
    box = place.boxes(deck, rows, one * 1.5, one)
    assert (box[:, :2] > -0.01).all()
    assert (box[:, :2] + box[:, 2:] < deck.size[rows] + 0.01).all()


def test_splat_covers_a_pixel_with_its_points() -> None:
    cover = draw.splat(torch.tensor([[3.0, 5.5]]), torch.tensor([[2.0, 4.0]]), (8, 9))
    assert cover[0, 0, 2, 3] == 1
    assert cover[0, 0, 4, 5] == cover[0, 0, 4, 6] == 0.5
    assert cover.sum() == 2


def test_batches_are_pictures_and_mattes(deck: Deck) -> None:
    frames = Frames(deck, "cpu", rows=3, half=False)
    for size in ((96, 128), (256, 160)):
        b = frames.batch(3, size)
        assert b["image"].shape == (3, 3, *size)
        assert b["alpha"].shape == b["last"].shape == (3, 1, *size)
        for value in b.values():
            assert torch.isfinite(value).all()
            assert value.min() >= -1e-5
            assert value.max() <= 1 + 1e-5
    b = LargeFrames(frames, rows=4).batch(3)
    assert b["image"].shape == b["foreground"].shape == (3, 3, crops.SIDE, crops.SIDE)
    assert b["low"].shape == (3, 3, *crops.LOW[::-1])


@pytest.mark.usefixtures("deck")
def test_it_trains_from_released_weights_and_ends_by_itself(packs: Path, tmp_path: Path) -> None:
    start = ROOT / "engines"
    words = ["--start", str(start), "--device", "cpu", "--batch", "4", "--minutes", "0.02"]
    main(["train", "--packs", str(packs), "--side", str(SIDE), "--work", str(tmp_path), *words])
    for name in ("mpn", "qun", "mrn", "slim"):
        saved = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        assert saved["state"]["step"] >= 1
        assert all(torch.isfinite(v).all() for v in saved["average"].values())
