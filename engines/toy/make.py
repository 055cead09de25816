"""Makes the toy networks: real names and shape rules, arithmetic in place of learning.

    python engines/toy/make.py

They take a bright person before a dark room for granted. With image in [0, 1],
RGB, and `luma` = 0.5 R + 0.3 G + 0.2 B (all weights differ, so that a swap of
channels shows):

    mpn   coarse   = clip(sigmoid(20 * (luma(image) - 0.5)) + 0.25 * hint, 0, 1)
    qun   unified  = clip(box(coarse) + 0.1 * (luma(image) - 0.5), 0, 1)
    mrn   alpha    = clip(enlarge(unified) + 0.1 * (luma(image) - 0.5), 0, 1)
          residual = 0.1 * (0.5 - shrink(image))

`box` is the mean of the 3x3 neighbours that lie inside the picture; `enlarge`
is bilinear, four times, pixel centres at half, edges repeated (OpenCV's
INTER_LINEAR); `shrink` is the mean of 4x4 pixels. For mrn `image` has the high
size, unified and residual the low one.

The files are the same at every run, byte for byte; manifest.toml is written
with them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

LOW_SIZES = {"balanced": (32, 64), "tall": (64, 32)}  # preset: (h, w)
REFINED = 4
LUMA = (0.5, 0.3, 0.2)  # of R, G, B
STEEPNESS, MIDDLE = 20.0, 0.5
HINT_WEIGHT = 0.25
TRUST = 0.1  # of the picture's luma in unified and alpha
RESIDUAL = 0.1
OPSET, IR_VERSION = 17, 8  # what every runtime reads

Shapes = dict[str, list[int]]


def mpn(h: int, w: int) -> ModelProto:
    nodes = [
        *_scaled_luma(),
        helper.make_node("Sigmoid", ["scaled"], ["likely"]),
        helper.make_node("Mul", ["hint", "hint_weight"], ["hinted"]),
        helper.make_node("Add", ["likely", "hinted"], ["sum"]),
        _clip("sum", "coarse"),
    ]
    inputs = {"image": [1, 3, h, w], "hint": [1, 1, h, w]}
    numbers = {**_luma_numbers(STEEPNESS), "hint_weight": np.float32(HINT_WEIGHT)}
    return _model("mpn", nodes, inputs, {"coarse": [1, 1, h, w]}, numbers)


def qun(h: int, w: int) -> ModelProto:
    box = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 0}
    nodes = [
        *_scaled_luma(),
        helper.make_node("AveragePool", ["coarse"], ["smooth"], **box),
        helper.make_node("Add", ["smooth", "scaled"], ["sum"]),
        _clip("sum", "unified"),
    ]
    inputs = {"image": [1, 3, h, w], "coarse": [1, 1, h, w]}
    return _model("qun", nodes, inputs, {"unified": [1, 1, h, w]}, _luma_numbers(TRUST))


def mrn(h: int, w: int) -> ModelProto:
    pool = {"kernel_shape": [REFINED, REFINED], "strides": [REFINED, REFINED]}
    bilinear = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    nodes = [
        *_scaled_luma(),
        helper.make_node("Resize", ["unified", "", "scales"], ["large"], **bilinear),
        helper.make_node("Add", ["large", "scaled"], ["sum"]),
        _clip("sum", "alpha"),
        helper.make_node("AveragePool", ["image"], ["small"], **pool),
        helper.make_node("Sub", ["middle", "small"], ["distance"]),
        helper.make_node("Mul", ["distance", "residual_weight"], ["residual"]),
    ]
    numbers = {
        **_luma_numbers(TRUST),
        "scales": np.array([1, 1, REFINED, REFINED], np.float32),
        "middle": np.float32(MIDDLE),
        "residual_weight": np.float32(RESIDUAL),
    }
    high = [REFINED * h, REFINED * w]
    inputs = {"image": [1, 3, *high], "unified": [1, 1, h, w]}
    outputs = {"alpha": [1, 1, *high], "residual": [1, 3, h, w]}
    return _model("mrn", nodes, inputs, outputs, numbers)


def _scaled_luma() -> list[NodeProto]:
    """scaled = factor * (luma(image) - MIDDLE) in one convolution; see _luma_numbers."""
    return [helper.make_node("Conv", ["image", "luma", "bias"], ["scaled"], kernel_shape=[1, 1])]


def _luma_numbers(factor: float) -> dict[str, np.ndarray]:
    luma = np.array(LUMA, np.float32).reshape(1, 3, 1, 1) * np.float32(factor)
    return {
        "luma": luma,
        "bias": np.array([-factor * MIDDLE], np.float32),
        "zero": np.float32(0),
        "one": np.float32(1),
    }


def _clip(name: str, result: str) -> NodeProto:
    return helper.make_node("Clip", [name, "zero", "one"], [result])


def _model(
    name: str,
    nodes: list[NodeProto],
    inputs: Shapes,
    outputs: Shapes,
    numbers: dict[str, np.ndarray],
) -> ModelProto:
    def described(shapes: Shapes) -> list:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

    constants = [numpy_helper.from_array(np.asarray(value), n) for n, value in numbers.items()]
    graph: GraphProto = helper.make_graph(
        nodes, name, described(inputs), described(outputs), constants
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    model.producer_name = "bshm-live toy"
    checker.check_model(model, full_check=True)
    return model


def manifest_entry(preset: str, file: str, content: bytes, model: ModelProto) -> str:
    """The manifest's lines for one network."""

    def lines(values: list) -> list[str]:
        return [f"{v.name} = {[d.dim_value for d in v.type.tensor_type.shape.dim]}" for v in values]

    return "\n".join(
        [
            "",
            "[[network]]",
            f'name = "{model.graph.name}"',
            f'preset = "{preset}"',
            f'file = "{file}"',
            f'sha256 = "{hashlib.sha256(content).hexdigest()}"',
            "[network.inputs]",
            *lines(model.graph.input),
            "[network.outputs]",
            *lines(model.graph.output),
            "",
        ]
    )


def make(folder: Path) -> None:
    """Writes the networks of every preset and their manifest into `folder`."""
    manifest = 'colour = "RGB"\nrange = [0.0, 1.0]\n'
    for preset, (h, w) in LOW_SIZES.items():
        (folder / preset).mkdir(parents=True, exist_ok=True)
        for build in (mpn, qun, mrn):
            file = f"{preset}/{build.__name__}.onnx"
            model = build(h, w)
            content = model.SerializeToString(deterministic=True)
            (folder / file).write_bytes(content)
            manifest += manifest_entry(preset, file, content, model)
    (folder / "manifest.toml").write_text(manifest, encoding="utf-8")


if __name__ == "__main__":
    make(Path(__file__).parent)
