"""Writes the trained networks as ONNX and engines/manifest.toml.

    python -m tools.train.export --work .train
    python -m tools.train.export --work .train --start engines   # what was not trained stays

Every size is static, one file for each network and preset. BatchNorm is folded; weights
are stored as float16 and widened when a runtime loads them, which halves the
files and costs under 1e-3 of alpha.
"""

from __future__ import annotations

import argparse
import hashlib
import warnings
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .fit import loaded
from .lite0 import Scaled
from .mpn import MPN
from .mrn import CELL, MRN
from .qun import QUN
from .refine import Refiner
from .released import matched
from .sizes import PRESETS
from .stages import Taught

OPSET = 17
OWN = {"tall": "quality"}  # whose MPN and QUN another preset has
NEAR_LEAST, NEAR_GAIN = 0.05, 4.0  # of the mask's values near a pixel: none to all of its alpha
SMALLEST_HALVED = 256  # tensors with fewer values stay float32

Shapes = dict[str, tuple[int, ...]]


class CoarseMask(nn.Module):
    def __init__(self, mpn: MPN) -> None:
        super().__init__()
        self.mpn = mpn

    def forward(self, image: Tensor, hint: Tensor) -> Tensor:
        return self.mpn(image, hint)[0].sigmoid()  # type: ignore[no-any-return]


class UnifiedMask(nn.Module):
    def __init__(self, qun: QUN) -> None:
        super().__init__()
        self.qun = qun

    def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
        return self.qun(image, coarse).sigmoid()  # type: ignore[no-any-return]


class AlphaAndResidual(nn.Module):
    """MRN's alpha counts near somebody alone: far from the mask there is no hair to be found."""

    def __init__(self, mrn: MRN) -> None:
        super().__init__()
        self.mrn = mrn

    def forward(self, image: Tensor, unified: Tensor) -> tuple[Tensor, Tensor]:
        cells, residual = self.mrn.cells(image, unified)
        return F.pixel_shuffle(cells.clamp(0, 1) * near(unified), CELL), residual.clamp(-1, 1)


def near(unified: Tensor) -> Tensor:
    """1 where the mask (N, 1, h, w) is clearly above 0 within about ten pixels, else 0; softly."""
    around = F.max_pool2d(F.max_pool2d(unified, 4), 5, 1, 2)
    wide = F.interpolate(around, scale_factor=4.0, mode="bilinear")
    return ((wide - NEAR_LEAST) * NEAR_GAIN).clamp(0, 1)


def ready(model: nn.Module) -> nn.Module:
    """BatchNorm folded into its convolution and weights rounded as the files hold them."""
    for module in list(model.modules()):
        if isinstance(module, Scaled):
            module.fold()
        if isinstance(module, nn.Sequential):
            for at in range(len(module) - 1):
                conv, norm = module[at], module[at + 1]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[at] = fuse_conv_bn_eval(conv, norm)
                    module[at + 1] = nn.Identity()
    return rounded(model)


def rounded(model: nn.Module) -> nn.Module:
    """Weights as the files hold them."""
    for weight in model.parameters():
        if weight.numel() >= SMALLEST_HALVED:
            weight.data = weight.data.half().float()
    return model


def to_onnx(model: nn.Module, inputs: Shapes, outputs: list[str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter is the one without symbolic sizes
        torch.onnx.export(
            model.eval(),
            tuple(torch.rand(shape) for shape in inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=outputs,
            opset_version=OPSET,
            dynamo=False,
        )
    network = onnx.load(str(path))
    halve(network.graph)
    onnx.checker.check_model(network, full_check=True)
    onnx.save(network, str(path))


def halve(graph: onnx.GraphProto) -> None:
    """Stores large weights as float16 with a Cast behind each."""
    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < SMALLEST_HALVED:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + "_half"))
        casts.append(helper.make_node("Cast", [name + "_half"], [name], to=onnx.TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)


@torch.no_grad()
def towards(model: nn.Module, path: Path, prefix: str, share: float) -> nn.Module:
    """A model that is `ready`, moved that share of the way to the weights of an ONNX file.

    The mean of the weights before and after training is steadier than either on pictures
    unlike those for training (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
    """
    for _, module, weight, bias in matched(model, path, prefix):
        module.weight.lerp_(weight, share)
        if module.bias is not None and bias is not None:
            module.bias.lerp_(bias, share)
    return rounded(model)


def networks(
    work: Path, preset: str, start: Path | None = None, share: float = 0.5
) -> dict[str, nn.Module]:
    """The three of a preset: its own (`work/mpn_PRESET.pt`, `work/refiner_PRESET.pt`), else
    those for all.

    MPN and QUN for all are moved that share of the way back to those of `start`; what was not
    trained is taken from there.
    """
    kin = OWN.get(preset, preset)
    taught, refiner = Taught(), Refiner(kin)
    back = {"mpn": 0.0, "qun": 0.0, "mrn": 0.0}
    if not loaded(taught, work / f"mpn_{kin}.pt"):
        back["mpn"] = share if loaded(taught, work / "mpn.pt") else 1.0
    if not loaded(refiner, work / f"refiner_{kin}.pt"):
        found = refiner.load_general(work)
        back |= {"qun": share if found["qun"] else 1.0, "mrn": 0.0 if found["mrn"] else 1.0}
    models = {"mpn": taught.mpn, "qun": refiner.qun, "mrn": refiner.mrn}
    for part, model in models.items():
        ready(model.eval())
        if start is not None:
            towards(model, start / preset / f"{part}.onnx", f"{part}.", back[part])
    mpn, qun, mrn = taught.mpn, refiner.qun, refiner.mrn
    return {"mpn": CoarseMask(mpn), "qun": UnifiedMask(qun), "mrn": AlphaAndResidual(mrn)}


def signature(
    name: str, h: int, w: int
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Inputs and outputs of a network at the low size (h, w), names and shapes."""
    image, mask = (1, 3, h, w), (1, 1, h, w)
    high, matte = (1, 3, CELL * h, CELL * w), (1, 1, CELL * h, CELL * w)
    return {
        "mpn": ({"image": image, "hint": mask}, {"coarse": mask}),
        "qun": ({"image": image, "coarse": mask}, {"unified": mask}),
        "mrn": ({"image": high, "unified": mask}, {"alpha": matte, "residual": image}),
    }[name]


def entry(
    name: str, preset: str, file: Path, folder: Path, shapes: tuple[dict[str, tuple[int, ...]], ...]
) -> str:
    inputs, outputs = (
        "\n".join(f"{key} = {list(shape)}" for key, shape in part.items()) for part in shapes
    )
    return (
        f'[[network]]\nname = "{name}"\npreset = "{preset}"\n'
        f'file = "{file.relative_to(folder).as_posix()}"\n'
        f'sha256 = "{hashlib.sha256(file.read_bytes()).hexdigest()}"\n'
        f"[network.inputs]\n{inputs}\n[network.outputs]\n{outputs}\n"
    )


def of_others(manifest: Path) -> str:
    """What the manifest says of networks that are trained elsewhere: it stays as it is."""
    text = manifest.read_text() if manifest.exists() else ""
    return text[text.index("[head]") :] if "[head]" in text else ""


def export(
    work: Path,
    folder: Path,
    picture: Path,
    start: Path | None = None,
    share: float = 0.5,
) -> None:
    entries = ['# Written by tools/train/export.py\ncolour = "RGB"\nrange = [0.0, 1.0]\n']
    models = {preset: networks(work, preset, start, share) for preset in PRESETS}
    for preset, (h, w) in PRESETS.items():
        for name, model in models[preset].items():
            shapes = signature(name, h, w)
            file = folder / preset / f"{name}.onnx"
            to_onnx(model, shapes[0], list(shapes[1]), file)
            entries.append(entry(name, preset, file, folder, shapes))
    entries.append(of_others(folder / "manifest.toml"))
    (folder / "manifest.toml").write_text("\n".join(entries))
    np.savez_compressed(folder / "goldens.npz", **goldens(models, picture))


def goldens(models: dict[str, dict[str, nn.Module]], picture: Path) -> dict[str, np.ndarray]:
    """What PyTorch makes of one picture at every preset, stage by stage.

    Keys are PRESET.NAME; pictures are uint8 NCHW RGB, the rest float16.
    """
    _, bgr = cv2.VideoCapture(str(picture)).read()
    out: dict[str, np.ndarray] = {}
    for preset, (h, w) in PRESETS.items():
        large = cv2.resize(bgr, (CELL * w, CELL * h), interpolation=cv2.INTER_AREA)
        small = cv2.resize(large, (w, h), interpolation=cv2.INTER_AREA)
        image, low = (
            np.ascontiguousarray(x[..., ::-1].transpose(2, 0, 1))[None] for x in (large, small)
        )
        with torch.no_grad():
            tensor = torch.from_numpy(low).float() / 255
            three = models[preset]
            coarse = three["mpn"](tensor, torch.zeros(1, 1, h, w)).half()
            unified = three["qun"](tensor, coarse.float()).half()
            alpha, residual = three["mrn"](torch.from_numpy(image).float() / 255, unified.float())
        found = {"coarse": coarse, "unified": unified, "alpha": alpha, "residual": residual}
        out |= {f"{preset}.image": image, f"{preset}.low": low}
        out |= {f"{preset}.{k}": v.half().numpy() for k, v in found.items()}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path(".train"))
    parser.add_argument("--out", type=Path, default=Path("engines"))
    parser.add_argument("--picture", type=Path, default=Path("bshm_live/assets/demo.mp4"))
    parser.add_argument(
        "--start",
        type=Path,
        help="the networks trained on from, as they were: part way back",
    )
    parser.add_argument("--share", type=float, default=0.5, help="of the way back to --start")
    args = parser.parse_args()
    export(args.work, args.out, args.picture, args.start, args.share)


if __name__ == "__main__":
    main()
