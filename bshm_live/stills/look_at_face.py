"""Whether a face will do for a document: straight, from the front, large, bright and sharp."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..matting.head import Head
from ..types import Picture
from .pupils import pupils

FORCE = "--force makes it all the same"
OTHERS = 0.4  # of the largest head's length: a smaller one is somebody far behind
TILT_MOST = 10.0  # degrees: what is straightened
UNEVEN_MOST = 7.0  # degrees between eyes and mouth; of 243 straight faces 2 have more
TURNED_MOST = 16.0  # degrees to the side: fewer, and frontal faces would be refused
NOSE_OUT = 0.5  # of the eyes' distance: how far the nose's tip stands before eyes and mouth
ENLARGED_MOST = 1.5  # times
# Of 255. The brightest twentieth of the face: white of the eyes and what shines are bright on
# every skin, if there is light.
LIGHT_LEAST = 80
SHARP_LEAST = 0.05  # of the face's contrast: what is finer than DETAIL
DETAIL = 1 / 60  # of the eyes' distance
FACE_WIDTH = 128  # pixels: of the face while it is judged, or as large as it comes


def grown_up(heads: Sequence[Head]) -> list[Head]:
    """Those that may be meant: not much smaller than the largest."""
    return [head for head in heads if head.length > OTHERS * heads[0].length]


def faults_of(picture: Picture, head: Head, matrix: NDArray[np.float64], height: int) -> list[str]:
    """What speaks against this head, each with its number.

    `matrix` (2, 3) places the picture in a photo `height` pixels high.
    """
    scale = float(np.hypot(*matrix[:, 0]))
    found = []
    if scale > ENLARGED_MOST:
        have, need = head.length, head.length * scale / ENLARGED_MOST
        found.append(f"head too small: {have:.0f} pixels high, {need:.0f} are needed")
    if abs(head.tilt) > TILT_MOST:
        found.append(f"head tilted by {abs(head.tilt):.1f}° ({TILT_MOST:.0f}° at most)")
    elif (uneven := unevenness(picture, head)) > UNEVEN_MOST:
        found.append(f"eyes not level with the mouth: {uneven:.1f}° ({UNEVEN_MOST:.0f}° at most)")
    if (turned := turning(head)) > TURNED_MOST:
        found.append(
            f"head turned by about {turned:.0f}° ({TURNED_MOST:.0f}° at most; look straight at the "
            "camera)"
        )
    face = face_of(picture, head)
    if (bright := np.percentile(face, 95)) < LIGHT_LEAST:
        found.append(f"too dark: the face's lights have {bright:.0f} of 255 ({LIGHT_LEAST} needed)")
    elif (sharp := sharpness(face)) < SHARP_LEAST:
        found.append(f"blurred: sharpness {sharp:.3f} ({SHARP_LEAST} needed)")
    return found


def unevenness(picture: Picture, head: Head) -> float:
    """Degrees between the line of the irises and that of the mouth."""
    eyes, mouth = (part[1] - part[0] for part in (pupils(picture, head), head.mouth))
    turn = np.degrees(np.arctan2(eyes[1], eyes[0]) - np.arctan2(mouth[1], mouth[0]))
    return abs(float((turn + 180) % 360 - 180))


def turning(head: Head) -> float:
    """About how many degrees to the side the head is turned.

    The nose's tip stands before eyes and mouth; from the side it therefore lies beside the line
    from the eyes' middle to the mouth's, while the eyes come nearer to each other.
    """
    eyes, mouth = head.eyes.mean(0), head.mouth.mean(0)
    axis = (mouth - eyes) / max(float(np.linalg.norm(mouth - eyes)), 1e-6)
    offset = head.nose - eyes
    beside = abs(float(axis[0] * offset[1] - axis[1] * offset[0]))
    apart = float(np.linalg.norm(head.eyes[1] - head.eyes[0]))
    return float(np.degrees(np.arctan2(beside, NOSE_OUT * apart)))


def face_of(picture: Picture, head: Head) -> NDArray[np.float32]:
    """The grey levels of the face between brows and chin, FACE_WIDTH wide or as it comes."""
    apart = float(np.linalg.norm(head.eyes[1] - head.eyes[0]))
    low = np.floor(head.middle - 0.9 * apart).astype(int)
    high = np.ceil(head.middle + 0.9 * apart).astype(int)
    (left, top), (right, bottom) = np.maximum(low, 0), np.maximum(high, 1)
    grey = cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_BGR2GRAY)
    scale = min(1.0, FACE_WIDTH / grey.shape[1])
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def sharpness(face: NDArray[np.float32]) -> float:
    """What a little blur takes away, by the face's own contrast: 0 is as soft as can be."""
    fine = face - cv2.GaussianBlur(face, (0, 0), max(0.6, DETAIL * face.shape[1] / 1.8))
    return float(fine.std() / max(float(face.std()), 1.0))
