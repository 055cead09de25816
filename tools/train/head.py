"""Trains, measures and exports the head finder: heads with seven points each.

    python -m tools.train.head --data ../shared/data --work .train             # trains, 20 minutes
    python -m tools.train.head --data ../shared/data --work .train --measure   # figures alone
    python -m tools.train.head --data ../shared/data --work .train --export    # engines/head.onnx

One heat map of the faces' middles and, at each place, where the points of its head
lie (Zhou et al., "Objects as Points", 2019; one scale, stride 8). `faces.json` gives
eyes, nose and mouth; the chin is the box's lower edge on the face's axis, the crown the
place where the matte ends above it. A tenth of the photos, by the hash of their names,
is never trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from bshm_live.matting.head import FIVE, GREY, MIRRORED, POINTS, SIZE, STRIDE, HeadFinder, letterbox
from bshm_live.matting.warp import sampled
from bshm_live.runtimes.manifest import HEAD_INPUTS, HEAD_OUTPUTS

from .augment import degrade, light
from .export import ready, to_onnx
from .fit import Losses, fit
from .layers import Context, Conv, enlarge

F32, U8 = NDArray[np.float32], NDArray[np.uint8]
WIDTH, HEIGHT = SIZE
LONGEST_KEPT = 320  # pixels: of a photo in memory
BATCH, RATE = 24, 3e-3
HELD_OUT = 10  # one photo in so many
P_ROOM, P_FILLED = 0.08, 0.5  # a room without people; a room around the photo's edges
HEADS = (9.0, 120.0)  # pixels from crown to chin in the network's picture
TURN, TURN_MOST = 9.0, 35.0  # degrees: spread and most
CHIN, CHIN_LEAST, CHIN_MOST = 0.62, 0.4, 0.95  # of eyes to mouth, below the mouth
CROWN_LEAST, CROWN_MOST = 1.0, 3.2  # of eyes to mouth, above the eyes
SOLID = 128
NEAR = 0.35  # heat from which a place learns where the points are


class HeadNetwork(nn.Module):
    """RGB (1, 3, 128, 192) to heat (1, 1, 16, 24) and points (1, 14, 16, 24) in its pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.quarter = nn.Sequential(Conv(3, 16, 3, 2), Conv(16, 24, 3, 2), Inverted(24))
        self.eighth = nn.Sequential(Conv(24, 56, 3, 2), Inverted(56), Inverted(56))
        self.sixteenth = nn.Sequential(
            Conv(56, 80, 3, 2), Inverted(80), Inverted(80), Context(80), Inverted(80)
        )
        self.deep = nn.Conv2d(80, 56, 1)
        self.last = nn.Sequential(Inverted(56), Conv(56, 96, 1))
        self.heat, self.points = nn.Conv2d(96, 1, 1), nn.Conv2d(96, 2 * POINTS, 1)
        nn.init.constant_(self.heat.bias, -4.0)  # type: ignore[arg-type]
        y, x = torch.meshgrid(
            *(torch.arange(n) * float(STRIDE) + STRIDE / 2 for n in grid()), indexing="ij"
        )
        self.register_buffer("middles", torch.stack((x, y))[None].repeat(1, POINTS, 1, 1))

    def logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        near = self.eighth(self.quarter(image * 2 - 1))
        seen = self.last(near + enlarge(self.deep(self.sixteenth(near)), 2))
        points: Tensor = self.middles + STRIDE * self.points(seen)
        return self.heat(seen), points

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        heat, points = self.logits(image)
        return heat.sigmoid(), points


class Inverted(nn.Module):
    """MBConv: 1x1 to twice the channels, 5x5 on each, 1x1 back, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.path = nn.Sequential(
            *Conv(channels, wide, 1),
            nn.Conv2d(wide, wide, 5, 1, 2, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.path(x)
        return out


def grid() -> tuple[int, int]:
    return HEIGHT // STRIDE, WIDTH // STRIDE


# --- photos -----------------------------------------------------------------------------------


class Faces:
    """Photos (RGB) and the points (n, 7, 2) of their heads, NaN where one is not known."""

    def __init__(self, data: Path, *, held_out: bool) -> None:
        known = json.loads((data / "faces.json").read_text())
        names = [name for name, faces in known.items() if faces and is_held_out(name) == held_out]
        self.photos: list[tuple[U8, F32]] = []
        for name in names:
            photo = cv2.imread(str(data / name))
            folder, stem = name.split("/")
            alpha_path = data / folder.replace("people", "alpha") / f"{stem[:-4]}.png"
            alpha = cv2.imread(str(alpha_path), cv2.IMREAD_GRAYSCALE)
            points = np.stack([seven_points(face, alpha) for face in known[name]])
            scale = min(1.0, LONGEST_KEPT / max(photo.shape[:2]))
            small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            self.photos.append((np.ascontiguousarray(small[..., ::-1]), points * scale))
        self.names = names


def is_held_out(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % HELD_OUT == 0


def seven_points(face: dict[str, list[float]], alpha: U8 | None) -> F32:
    """Eyes, nose, mouth corners, chin, crown (7, 2); NaN for a crown out of the photo."""
    five = np.array([*face["eyes"], face["nose"], *face["mouth"]], np.float32)
    eyes, mouth = five[:2].mean(0), five[3:5].mean(0)
    length = float(np.linalg.norm(mouth - eyes)) + 1e-6
    axis = (mouth - eyes) / length
    reach = CHIN * length
    if axis[1] > 0.9:  # only there does the box's lower edge say where the chin is
        reach = (face["box"][1] + face["box"][3] - mouth[1]) / axis[1]
    chin = mouth + axis * np.clip(reach, CHIN_LEAST * length, CHIN_MOST * length)
    crown = np.full(2, np.nan, np.float32)
    if alpha is not None:
        crown = crown_above(eyes, -axis, length, alpha)
    return np.stack([*five, chin, crown]).astype(np.float32)


def crown_above(eyes: F32, up: F32, length: float, alpha: U8) -> F32:
    """Where the matte first ends above the eyes, or NaN: out of the photo, or too near or far."""
    for step in np.arange(CROWN_LEAST * 0.5, CROWN_MOST, 0.02):
        x, y = np.rint(eyes + up * step * length).astype(int)
        if not (0 <= x < alpha.shape[1] and 0 <= y < alpha.shape[0]):
            break
        if alpha[y, x] < SOLID:
            return eyes + up * step * length if step >= CROWN_LEAST else np.full(2, np.nan)
    return np.full(2, np.nan, np.float32)


class Batches:
    """Batches for training: photos turned, scaled, placed, lit; rooms without people."""

    def __init__(self, data: Path, seed: int) -> None:
        self.photos = Faces(data, held_out=False).photos
        self.rng = np.random.default_rng(seed)
        files = [*data.glob("rooms/*"), *data.glob("rooms2/*")]
        rooms = (cv2.imread(str(file)) for file in sorted(files))
        self.rooms = [
            np.ascontiguousarray(fitted(room)[..., ::-1]) for room in rooms if room is not None
        ]

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """RGB in [0, 1]; heat; points in pixels with NaN; and how much each place's count."""
        pictures, maps = [], []
        for _ in range(BATCH):
            room = self.rooms[self.rng.integers(len(self.rooms))]
            if self.rng.random() < P_ROOM:
                picture, points = self.crop_of(room), np.zeros((0, POINTS, 2), np.float32)
            else:
                photo = self.photos[self.rng.integers(len(self.photos))]
                picture, points = self.placed(*photo, room)
            picture = degrade(light(picture, self.rng, 0.3), self.rng)
            pictures.append(picture)
            maps.append(targets(points))
        heat, at, weight = (torch.from_numpy(np.stack(part)) for part in zip(*maps, strict=True))
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
        return images, heat, at, weight

    def crop_of(self, room: U8) -> U8:
        zoom = self.rng.uniform(1, 2.5)
        corner = -self.rng.random(2) * (np.array(SIZE) * (zoom - 1))
        moved = np.array([[zoom, 0, corner[0]], [0, zoom, corner[1]]])
        return cv2.warpAffine(room, moved, SIZE, borderMode=cv2.BORDER_REFLECT)

    def placed(self, photo: U8, points: F32, room: U8) -> tuple[U8, F32]:
        """The photo so that one of its heads has a random size at a random place."""
        rng = self.rng
        one = points[rng.integers(len(points))]
        middle, long = one[:FIVE].mean(0), head_length(one)
        wanted = np.exp(rng.uniform(*np.log(HEADS)))
        scale = wanted / long
        whole = min(WIDTH / photo.shape[1], HEIGHT / photo.shape[0])
        if rng.random() < 0.4:  # as in use: the whole photo, or near to it
            scale = whole * np.exp(rng.normal(0, 0.15))
        turn = np.clip(rng.normal(0, TURN), -TURN_MOST, TURN_MOST)
        if scale <= whole * 1.3:
            place = np.array(SIZE) / 2 + rng.normal(0, 10, 2)
            middle = np.array(photo.shape[1::-1]) / 2
        else:
            place = rng.uniform(0.1, 0.9, 2) * SIZE
        matrix = cv2.getRotationMatrix2D((0, 0), turn, scale)
        if mirrored := rng.random() < 0.5:
            matrix[:, 0] *= -1
        matrix[:, 2] = place - matrix[:, :2] @ middle
        small = cv2.GaussianBlur(photo, (0, 0), 0.4 / scale) if scale < 0.7 else photo
        picture = cv2.warpAffine(small, matrix, SIZE, borderValue=(128, 128, 128))
        if rng.random() < P_FILLED:
            full = np.full(photo.shape[:2], 255, np.uint8)
            inside = cv2.warpAffine(full, matrix, SIZE, flags=cv2.INTER_NEAREST)
            picture = np.where(inside[..., None] > 0, picture, room)
        moved = points @ matrix[:, :2].T + matrix[:, 2]
        return picture, (moved[:, MIRRORED] if mirrored else moved).astype(np.float32)


def head_length(points: F32) -> float:
    """Crown to chin, or what is usual where the crown is not known."""
    crown, chin = points[6], points[5]
    if not np.isnan(crown).any():
        return float(np.linalg.norm(crown - chin)) + 1e-3
    eyes, mouth = points[:2].mean(0), points[3:5].mean(0)
    return 3.3 * float(np.linalg.norm(mouth - eyes)) + 1e-3


def fitted(room: U8) -> U8:
    scale = max(WIDTH / room.shape[1], HEIGHT / room.shape[0])
    large = cv2.resize(room, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.resize(large[:HEIGHT, :WIDTH], SIZE)


def targets(points: F32) -> tuple[F32, F32, F32]:
    """heat (1, h, w), points (14, h, w) with NaN, weight (1, h, w): 1 / head's length there.

    Where a head is too small to be looked for, heat is NaN: neither right nor wrong.
    """
    h, w = grid()
    y, x = np.mgrid[:h, :w] * STRIDE + STRIDE / 2
    heat, weight = np.zeros((1, h, w), np.float32), np.zeros((1, h, w), np.float32)
    at = np.full((2 * POINTS, h, w), np.nan, np.float32)
    for one in sorted(points, key=head_length):
        middle, long = one[:FIVE].mean(0), head_length(one)
        if not (0 <= middle[0] < WIDTH and 0 <= middle[1] < HEIGHT):
            continue
        spread = max(0.1 * long, 0.45 * STRIDE)
        bump = np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / (2 * spread**2))
        bump /= bump.max()
        if long < 0.6 * HEADS[0]:
            heat[0][bump > NEAR] = np.nan
            continue
        heat[0] = np.fmax(heat[0], bump)
        mine = bump > NEAR
        at[:, mine] = one.reshape(-1, 1)
        weight[0][mine] = bump[mine] / max(long, 8.0)
    return heat, at, weight


def losses(network: HeadNetwork, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Losses:
    """Focal loss of the heat (Law and Deng, "CornerNet", 2018); points in lengths of the head."""
    image, heat, at, weight = batch
    logit, points = network.logits(image)
    told = ~heat.isnan()
    heat = heat.nan_to_num(0)
    chance = logit.sigmoid()
    hit = heat > 0.99
    positive = F.logsigmoid(logit) * (1 - chance) ** 2 * hit
    negative = F.logsigmoid(-logit) * chance**2 * (1 - heat) ** 4 * ~hit
    count = hit.sum().clamp(min=1)
    off = (points - at.nan_to_num(0)).abs() * weight * ~at.isnan()
    return {
        "heat": -((positive + negative) * told).sum() / count,
        "points": 2 * off.sum() / (weight > 0).sum().clamp(min=1),
    }


# --- figures ----------------------------------------------------------------------------------


class Network:
    """The network as an Engine: what is measured is what the product does with it."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self.inputs, self.outputs = HEAD_INPUTS, HEAD_OUTPUTS

    def run(self, feeds: Mapping[str, F32]) -> Mapping[str, F32]:
        with torch.no_grad():
            heat, points = self._network(torch.from_numpy(feeds["image"]))
        return {"heat": heat.numpy(), "points": points.numpy()}

    def close(self) -> None:
        """Nothing to give back."""


def found_in(finder: HeadFinder, picture: U8) -> F32:
    """Heads (n, 7, 2) in pixels of an RGB picture, as the product finds them."""
    found = [head.points for head in finder(picture[..., ::-1])]
    return np.array(found).reshape(-1, POINTS, 2)


def errors(finder: HeadFinder, faces: Faces) -> Iterator[tuple[F32 | None, float]]:
    """Of each head: its points' errors by the eyes' distance (None: not found), and its size.

    The size is crown to chin in the network's picture.
    """
    for photo, known in faces.photos:
        found = found_in(finder, photo)
        scale = min(WIDTH / photo.shape[1], HEIGHT / photo.shape[0])
        for one in known:
            eyes = float(np.linalg.norm(one[0] - one[1])) + 1e-6
            long = head_length(one)
            best: F32 | None = None
            for head in found:
                if np.linalg.norm(head[:FIVE].mean(0) - one[:FIVE].mean(0)) < 0.25 * long:
                    best = np.linalg.norm(head - one, axis=1) / max(eyes, 0.15 * long)
            yield best, long * scale


def measure(network: nn.Module, data: Path) -> list[str]:
    """Lines for the model card."""
    finder = HeadFinder(Network(network))
    rows = list(errors(finder, Faces(data, held_out=True)))
    lines = []
    for least, most in ((6, 12), (12, 24), (24, 128)):
        some = [off for off, size in rows if least <= size < most]
        off = np.array([one for one in some if one is not None])
        parts = {"eyes": off[:, :2], "mouth": off[:, 3:5], "chin": off[:, 5], "crown": off[:, 6]}
        text = ", ".join(
            f"{name} {np.nanmean(part):.1%} (median {np.nanmedian(part):.1%})"
            for name, part in parts.items()
        )
        lines.append(f"{least}-{most} px: {len(off)} of {len(some)} found; {text}")
    rooms = [cv2.imread(str(file)) for file in sorted(data.glob("rooms_eval/*"))]
    seen = [len(found_in(finder, room[..., ::-1])) for room in rooms if room is not None]
    lines.append(f"rooms: {sum(seen)} false finds in {sum(map(bool, seen))} of {len(seen)}")
    return lines


def export(network: nn.Module, folder: Path, picture: Path) -> None:
    """head.onnx, and in head.npz what PyTorch makes of one picture."""
    inputs = {"image": (1, 3, HEIGHT, WIDTH)}
    to_onnx(network, inputs, ["heat", "points"], folder / "head.onnx")
    _, bgr = cv2.VideoCapture(str(picture)).read()
    small = sampled(bgr[..., ::-1], letterbox(bgr), SIZE, border=GREY, method=cv2.INTER_LINEAR)
    image = np.ascontiguousarray(small.transpose(2, 0, 1)[None])
    with torch.no_grad():
        heat, points = network(torch.from_numpy(image).float() / 255)
    np.savez_compressed(folder / "head.npz", image=image, heat=heat.numpy(), points=points.numpy())
    digest = hashlib.sha256((folder / "head.onnx").read_bytes()).hexdigest()
    manifest = folder / "manifest.toml"
    start, _, end = manifest.read_text().partition('file = "head.onnx"\nsha256 = "')
    manifest.write_text(f'{start}file = "head.onnx"\nsha256 = "{digest}{end[len(digest) :]}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".train"))
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="engines")
    parser.add_argument("--picture", type=Path, default=Path("bshm_live/assets/demo.mp4"))
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    # In this order of memory a step takes half of the time on a CPU.
    network = HeadNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not (args.measure or args.export):
        batches = Batches(args.data, args.seed)
        fit(
            "head",
            network,
            lambda progress: losses(network, batches.batch()),
            args.minutes * 60,
            RATE,
            args.work,
        )
    saved = torch.load(args.work / "head.pt", weights_only=True)
    # Not the average: it is that of all steps as long as they are few.
    network.load_state_dict(saved["model"])
    ready(network.eval())
    if args.export:
        export(network, args.export, args.picture)
    else:
        print("\n".join(measure(network, args.data)))


if __name__ == "__main__":
    main()
