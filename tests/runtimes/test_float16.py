"""The float16 twin of a network computes the same, and what must stay float32 does."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from conftest import TOY
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bshm_live.commands.engines import load_goldens
from bshm_live.errors import EngineError
from bshm_live.runtimes.choice import BOUNDS
from bshm_live.runtimes.float16 import to_float16
from bshm_live.runtimes.manifest import NETWORKS, engines_folder, load_manifest

MIDDLES = ("Relu", "Clip", "Add", "Concat", "Resize", "MaxPool", "Sigmoid", "GlobalAveragePool")
SIDE = 8
Values = dict[str, np.ndarray]


def results(network: bytes, feeds: Values) -> Values:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(network, options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def weight(rng: np.random.Generator, name: str, *shape: int) -> onnx.TensorProto:
    values = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:]) or 1), shape)
    return numpy_helper.from_array(values.astype(np.float32), name)


def network(middles: list[str], seed: int) -> bytes:
    """Convolution ▸ what was asked for ▸ convolution ▸ sigmoid, on (1, 3, 8, 8)."""
    rng = np.random.default_rng(seed)
    weights = [weight(rng, "w0", 4, 3, 3, 3), weight(rng, "b0", 4)]
    weights += [
        numpy_helper.from_array(np.array(values, np.float32), name)
        for name, values in (("zero", 0), ("six", 6), ("scales", [1, 1, 2, 2]))
    ]
    nodes = [helper.make_node("Conv", ["image", "w0", "b0"], ["t0"], pads=[1, 1, 1, 1])]
    channels = 4
    for number, middle in enumerate(middles):
        given = {
            "Clip": ["", "zero", "six"],
            "Add": ["", f"t{number}"],
            "Concat": ["", f"t{number}"],
            "Resize": ["", "", "scales"],
        }.get(middle, [""])
        options = {
            "Concat": {"axis": 1},
            "Resize": {"mode": "linear"},
            "MaxPool": {"kernel_shape": [1, 1]},
        }.get(middle, {})
        inputs = [f"t{number}", *given[1:]]
        nodes.append(helper.make_node(middle, inputs, [f"t{number + 1}"], **options))
        channels *= 2 if middle == "Concat" else 1
    weights += [weight(rng, "w1", 1, channels, 1, 1)]
    nodes.append(helper.make_node("Conv", [f"t{len(middles)}", "w1"], ["logit"]))
    nodes.append(helper.make_node("Sigmoid", ["logit"], ["alpha"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    alpha = helper.make_tensor_value_info("alpha", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [image], [alpha], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model).SerializeToString()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(MIDDLES), max_size=4), st.integers(0, 2**31))
def test_the_twin_computes_the_same(middles: list[str], seed: int) -> None:
    middles = [m for n, m in enumerate(middles) if m != "Resize" or "Resize" not in middles[:n]]
    full = network(middles, seed)
    image = np.random.default_rng(seed).random((1, 3, SIDE, SIDE), np.float32)
    right = results(full, {"image": image})["alpha"]
    found = results(to_float16(full), {"image": image})["alpha"]
    assert found.shape == right.shape
    assert found.dtype == np.float32
    assert np.abs(found - right).max() < BOUNDS["f16"]


def types_of(network: bytes) -> dict[str, set[int]]:
    """Operator to the types of its first inputs."""
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(network), strict_mode=True)
    graph = model.graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info)}
    kinds |= {w.name: w.data_type for w in graph.initializer}
    found: dict[str, set[int]] = {}
    for node in graph.node:
        found.setdefault(node.op_type, set()).add(kinds[node.input[0]])
    return found


def test_curves_sums_and_the_end_stay_float32() -> None:
    kinds = types_of(to_float16(network(["Relu", "GlobalAveragePool", "Sigmoid", "Clip"], 1)))
    assert kinds["Relu"] == kinds["Clip"] == {TensorProto.FLOAT16}
    assert kinds["GlobalAveragePool"] == kinds["Sigmoid"] == {TensorProto.FLOAT}
    assert kinds["Conv"] == {TensorProto.FLOAT16, TensorProto.FLOAT}  # the first and the last


def test_weights_beyond_float16_stay_float32() -> None:
    model = onnx.load_from_string(network(["Relu"], 2))
    values = numpy_helper.to_array(model.graph.initializer[0]).copy()
    values[0, 0, 0, 0] = 1e6
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w0"))
    kinds = types_of(to_float16(model.SerializeToString()))
    assert kinds["Conv"] == {TensorProto.FLOAT}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_toy_networks_keep_their_shapes(name: str) -> None:
    path = TOY / "balanced" / f"{name}.onnx"
    full, half = path.read_bytes(), to_float16(path.read_bytes())
    rng = np.random.default_rng(0)
    shapes = {i.name: i.shape for i in ort.InferenceSession(full).get_inputs()}
    feeds = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
    right, found = results(full, feeds), results(half, feeds)
    assert list(right) == list(found)
    for output, values in right.items():
        assert np.abs(found[output] - values).max() < BOUNDS["f16"]


def test_the_committed_networks_agree_with_their_goldens() -> None:
    if not (engines_folder() / "goldens.npz").is_file():
        pytest.skip("no trained networks in this checkout")
    manifest = load_manifest()
    for preset, golden in load_goldens().items():
        zeros = np.zeros(golden["coarse"].shape, np.float32)
        given = {
            "image": golden["image"] / np.float32(255),
            "low": golden["low"] / np.float32(255),
            "coarse": golden["coarse"].astype(np.float32),
            "unified": golden["unified"].astype(np.float32),
            "hint": zeros,
        }
        for name, entry in manifest.preset(preset).items():
            feeds = {key: given[key] for key in entry.inputs}
            if name != "mrn":
                feeds["image"] = given["low"]
            for output, found in results(to_float16(entry.path.read_bytes()), feeds).items():
                right = golden[output].astype(np.float32)
                assert np.abs(found - right).max() < BOUNDS["f16"], (preset, name, output)


def test_what_cannot_be_converted_is_one_line() -> None:
    with pytest.raises(EngineError, match="the file is damaged") as error:
        to_float16(b"not a network", "mpn.onnx")
    assert str(error.value).startswith("mpn.onnx")
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "b",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    graph = helper.make_graph(
        [helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, [1]),
        ],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(EngineError, match="branches"):
        to_float16(model.SerializeToString())
