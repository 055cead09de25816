"""In which groups a photograph is: by whose face is the largest, and by its light.

Skin tone and light are measured; hair, headgear and glasses were looked up in `groups.toml`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bshm_live.types import Picture

SMALLEST_FACE = 12  # pixels of width under which a face's colour says nothing
# Individual typology angle in degrees (Chardon et al. 1991), lower bounds, the two lightest
# of the six groups taken together.
TONES = {"light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0, "dark": -91.0}
DIM, GLARING = 85, 160  # mean luma of a photograph, of 255
ALL = "all with a face"
FACE_WITH_EARS = 48  # pixels of width
FRONTAL = 0.2  # of the eyes' distance: how far the nose may lie beside their middle
# Of a face's box (w, h): where an ear's middle lies from that between the eyes, along their
# line and below it, and half of an ear's box.
EAR_AT, EAR_HALF = (0.53, 0.15), (0.17, 0.2)
Face = Mapping[str, Any]


class Groups:
    """Of the photographs of a folder."""

    def __init__(self, data: Path) -> None:
        faces = data / "faces.json"
        self._faces = json.loads(faces.read_text()) if faces.exists() else {}
        self._seen = tomllib.loads((Path(__file__).parent / "groups.toml").read_text("utf-8"))

    def of(self, name: str, picture: Picture) -> tuple[str, ...]:
        """Those of one photograph of `people2`; none where no face is."""
        tone = tone_of(picture, self._faces.get(f"people2/{name}.jpg", []))
        if tone is None or name in self._seen["nobody"]:
            return ()
        return (
            ALL,
            f"skin: {tone}",
            "hair: to the shoulders" if name in self._seen["long_hair"] else "hair: shorter",
            "hat, cap, hood" if name in self._seen["headgear"] else "nothing on the head",
            "glasses" if name in self._seen["glasses"] else "no glasses",
            f"light: {light_of(picture)}",
        )

    def ears(self, name: str, shape: tuple[int, int]) -> list[tuple[slice, slice]]:
        """Rows and columns around both ears of the largest face, if it is seen from the front.

        Inside of a picture (H, W).
        """
        face = largest(self._faces.get(f"people2/{name}.jpg", []), FACE_WITH_EARS)
        if face is None or name in self._seen["nobody"]:
            return []
        eyes, size = np.array(sorted(face["eyes"])), np.array(face["box"][2:])
        middle, apart = eyes.mean(0), eyes[1] - eyes[0]
        along = apart / max(float(np.hypot(*apart)), 1.0)
        if abs((face["nose"] - middle) @ along) > FRONTAL * (apart @ along):
            return []
        down, found = np.array([-along[1], along[0]]), []
        for side in (-1, 1):
            ear = middle + side * along * EAR_AT[0] * size[0] + down * EAR_AT[1] * size[1]
            least, most = (np.rint(ear + way * size * EAR_HALF) for way in (-1, 1))
            x, y = (slice(max(0, int(a)), max(0, int(b))) for a, b in zip(least, most, strict=True))
            if x.start < min(x.stop, shape[1]) and y.start < min(y.stop, shape[0]):
                found.append((y, x))
        return found


def largest(faces: Sequence[Face], width: int) -> Face | None:
    """The widest face, where one has so many pixels of width."""
    sized = [face for face in faces if face["box"][2] >= width]
    return max(sized, key=lambda face: float(face["box"][2]), default=None)


def tone_of(picture: Picture, faces: Sequence[Face]) -> str | None:
    """The group of the largest face by its typology angle; None without a face.

    The angle is arctan((L - 50) / b) of CIELAB, of the median colour between the height of
    the eyes and the tip of the nose: cheeks, which masks mostly leave bare. It is of the
    photograph, light and all.
    """
    face = largest(faces, SMALLEST_FACE)
    if face is None:
        return None
    x, _, width, _ = face["box"]
    top = max(0, int(np.mean([eye[1] for eye in face["eyes"]])))
    low = max(top + 2, int(face["nose"][1]))
    part = picture[top:low, max(0, int(x + 0.15 * width)) : int(x + 0.85 * width)]
    if not part.size:
        return None
    lab = cv2.cvtColor(part.astype(np.float32) / 255, cv2.COLOR_BGR2LAB).reshape(-1, 3)
    light, _, yellow = np.median(lab, 0)
    angle = float(np.degrees(np.arctan2(light - 50, max(yellow, 1e-3))))
    return next(tone for tone, bound in TONES.items() if angle > bound)


def light_of(picture: Picture) -> str:
    luma = float(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).mean())
    return "dim" if luma < DIM else "glaring" if luma > GLARING else "even"


def listed(found: Sequence[Sequence[str]]) -> list[str]:
    """Every group that photographs are in, in an order for a table."""
    first = [ALL, *(f"skin: {tone}" for tone in TONES)]
    others = sorted({group for groups in found for group in groups} - set(first))
    return [group for group in first if any(group in groups for groups in found)] + others
