"""Makes README's pictures of ID photos and of a product scene, from official portraits.

python -m tools.make_stills ../shared/data/people

The portraits are those of members of the US Congress: works of the government, in the public
domain. The scene is drawn.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from bshm_live.cli import main as bshm_live
from bshm_live.types import Picture

OUT = Path("bshm_live/assets")
PEOPLE = ("0023", "0057", "0067", "0034", "0016", "0042", "0006", "0078", "0089", "0082")
COLOURS = ("blue", "white", "red")  # in turns
SIZE, COLUMNS, GAP = "213x295px", 5, 6  # pixels
STANDS = "0082"
SCENE = (560, 480)  # width, height
TABLE = 400  # rows down to the table's far edge
PLACE = (280, 455, 330)
WALL, LIT, WOOD = (52, 78, 122), (120, 178, 232), (38, 62, 98)  # BGR, a warm evening


def id_photos(folder: Path, temporary: Path) -> Picture:
    """Ten photos, five in a row."""
    photos = []
    for number, person in enumerate(PEOPLE):
        given = folder / f"portrait_{person}.jpg"
        words = ["--size", SIZE, "--bg", COLOURS[number % len(COLOURS)], "--format", "png"]
        if bshm_live(["id", "-i", str(given), "-d", str(temporary), *words]):
            raise SystemExit(f"{given}: no photo")
        photo = cv2.imread(str(temporary / f"{given.stem}_id.png"))
        edge = (GAP, GAP, GAP, GAP, cv2.BORDER_CONSTANT)
        photos.append(cv2.copyMakeBorder(photo, *edge, value=(235, 235, 235)))
    rows = [np.hstack(photos[i : i + COLUMNS]) for i in range(0, len(photos), COLUMNS)]
    return np.vstack(rows)


def scene() -> Picture:
    """A wall with a lamp's light from the left, and a table."""
    width, height = SCENE
    y, x = np.mgrid[:height, :width].astype(np.float32)
    light = np.exp(-(((x - 90) / 260) ** 2 + ((y - 120) / 200) ** 2))[..., None]
    wall = np.array(WALL) + light * (np.array(LIT) - np.array(WALL))
    grain = cv2.resize(np.random.default_rng(3).normal(0, 7, (48, 6)), SCENE).astype(np.float32)
    table = np.array(WOOD) * (1 + 0.5 * light) + grain[..., None] + (y[..., None] - TABLE) * 0.15
    made = np.where(y[..., None] < TABLE, wall, table)
    return np.clip(cv2.GaussianBlur(made, (0, 0), 1.2), 0, 255).astype(np.uint8)


def product(folder: Path, temporary: Path) -> Picture:
    """The portrait before, in the scene as it is, and with --shadow --match."""
    given, behind = folder / f"portrait_{STANDS}.jpg", temporary / "scene.png"
    cv2.imwrite(str(behind), scene())
    side = SCENE[1]
    row = [cv2.resize(cv2.imread(str(given)), (side, side))]
    for number, more in enumerate(([], ["--shadow", "--match"])):
        out = temporary / str(number)
        words = ["--scene", str(behind), "--place", ",".join(map(str, PLACE)), "--format", "png"]
        if bshm_live(["product", "-i", str(given), "-d", str(out), *words, *more]):
            raise SystemExit(f"{given}: no picture")
        row.append(cv2.imread(str(out / f"{given.stem}_product.png")))
    return np.hstack(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("portraits", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (("id_photos", id_photos), ("product", product)):
            made = make(args.portraits, Path(folder))
            path = OUT / f"{name}.jpg"
            cv2.imwrite(str(path), made, [cv2.IMWRITE_JPEG_QUALITY, 86])
            print(path, made.shape, path.stat().st_size)


if __name__ == "__main__":
    main()
