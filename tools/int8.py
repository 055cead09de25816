"""Makes the int8 twins of the networks, calibrated on training photographs.

    python -m tools.int8 DATA            # after tools.train.export: it makes the old ones stale

Static quantisation (Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", CVPR 2018): activations in 8 bits asymmetric, weights in 8
bits symmetric, one scale for each channel. The ranges are those of photographs for training;
nothing that the networks are judged by is looked at. Writes PRESET/NAME.int8.onnx and
int8.toml, which names each with the network that it was made from.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from bshm_live.compositing.fit import cover
from bshm_live.errors import BshmError
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.preprocess import Preprocessor, hint_tensor
from bshm_live.matting.temporal import as_hint, low_alpha
from bshm_live.runtimes.choice import get_runtime, load_bshm
from bshm_live.runtimes.float16 import fold
from bshm_live.runtimes.manifest import TWINS, Network, load_manifest
from bshm_live.types import Picture, Tensor
from tools.evaluate.clips import read_still
from tools.evaluate.photos import put_aside, rank

PHOTOS, ROOMS = 9, 3  # of each of the two sets
# What stays in float32, by the start of the nodes' names: MRN's first layers have three channels
# and one, and 8 bits cost them a quarter of the network's time more; so what they are added to
# and multiplied with.
IN_F32 = {"mrn": ("/patch/", "/mask/", "/detail/", "/Add", "/Mul")}
ERRORS = 3  # of ONNX Runtime's grades of messages
SETS = (("people", "rooms"), ("people2", "rooms2"))

Feeds = dict[str, Tensor]


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """What one network was fed with, one after the other."""

    def __init__(self, feeds: Sequence[Feeds]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._feeds, None)


def photographs(data: Path) -> Iterator[Picture]:
    """Some for training, always the same: those whose names have the lowest SHA-256."""
    aside = put_aside(data)
    for people, rooms in SETS:
        for folder, count in ((people, PHOTOS), (rooms, ROOMS)):
            paths = [p for p in (data / folder).glob("*.jpg") if p.stem not in aside]
            for path in sorted(paths, key=lambda p: rank(p.stem))[:count]:
                yield read_still(path)


def fed(bshm: Bshm, pictures: Sequence[Picture]) -> dict[str, list[Feeds]]:
    """What each network takes of these pictures, first without a hint, then with one."""
    feeds: dict[str, list[Feeds]] = {"mpn": [], "qun": [], "mrn": []}
    prepare, size = Preprocessor(bshm.low, bshm.high), (bshm.high[1], bshm.high[0])
    for picture in pictures:
        shown, hint = cover(picture, size), None
        low, high, _ = (part.copy() for part in prepare(shown))
        for _ in range(2):
            matte = bshm.matte(shown, hint)
            coarse, unified = matte.coarse[None, None], matte.unified[None, None]
            feeds["mpn"].append({"image": low, "hint": hint_tensor(hint, bshm.low)})
            feeds["qun"].append({"image": low, "coarse": coarse})
            feeds["mrn"].append({"image": high, "unified": unified})
            hint = as_hint(low_alpha(matte))
    return feeds


def quantised(network: Network, feeds: Sequence[Feeds]) -> bytes:
    """The int8 twin of a network, for the ranges that these feeds make in it."""
    with tempfile.TemporaryDirectory(prefix="int8-") as folder:
        flat, whole, out = (str(Path(folder) / name) for name in ("flat", "whole", "out"))
        model = onnx.load(network.path)
        fold(model.graph)  # its weights are stored as float16
        onnx.save(model, flat)
        quant_pre_process(flat, whole, skip_symbolic_shape=True)
        names = [node.name for node in onnx.load(whole).graph.node]
        quantize_static(
            whole,
            out,
            Reader(feeds),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[n for n in names if n.startswith(IN_F32.get(network.name, ()))],
        )
        return Path(out).read_bytes()


def entry(network: Network, file: Path, folder: Path) -> str:
    return (
        f'[[network]]\nname = "{network.name}"\npreset = "{network.preset}"\n'
        f'file = "{file.relative_to(folder).as_posix()}"\n'
        f'sha256 = "{hashlib.sha256(file.read_bytes()).hexdigest()}"\n'
        f'of = "{network.sha256}"\n'
    )


def make(data: Path, folder: Path) -> None:
    """All twins of the networks in a folder. Raises BshmError."""
    manifest, pictures = load_manifest(folder), list(photographs(data))
    entries = ["# Written by tools/int8.py\n"]
    for preset in manifest.presets:
        with load_bshm(preset, get_runtime("onnxruntime"), manifest=manifest) as bshm:
            feeds = fed(bshm, pictures)
        for name, network in manifest.preset(preset).items():
            file = network.path.with_suffix(".int8.onnx")
            file.write_bytes(quantised(network, feeds[name]))
            entries.append(entry(network, file, folder))
            print(file)
    (folder / TWINS).write_text("\n".join(entries))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with people, rooms, people2, rooms2")
    parser.add_argument("--engines", type=Path, default=Path("engines"))
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # each network's advice to prepare it, which was done
    onnxruntime.set_default_logger_severity(ERRORS)
    try:
        make(args.data, args.engines)
    except BshmError as error:
        raise SystemExit(f"int8: {error}") from None


if __name__ == "__main__":
    main()
