"""An ONNX network in float32 to one that computes in float16, for runtimes that take it literally.

A strongly typed runtime computes every tensor in the type that the file gives
it. Convolutions and what merely moves or clips numbers become float16; sums
over a whole picture, normalisation, curves such as the sigmoid, and everything
from the last convolution on stay float32. Inputs and outputs keep float32, so
that the network is called like the one it came from.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from ..errors import EngineError

LARGEST = float(np.finfo(np.float16).max)
SUFFIX = "_f16"
INVALID = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    onnx.defs.SchemaError,
)
HEAVY = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
IN_FLOAT16 = HEAVY | {
    *("Add", "Sub", "Mul", "Max", "Min", "Neg", "Abs"),
    *("Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish"),
    *("Concat", "Split", "Slice", "Pad", "Gather", "Identity"),
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Tile"),
    *("DepthToSpace", "SpaceToDepth", "Resize", "MaxPool", "GlobalMaxPool"),
}


def to_float16(network: bytes, name: str = "the network") -> bytes:
    """A serialised network to its float16 twin, same names and shapes. Raises EngineError."""
    try:
        model = onnx.load_from_string(network)
        fold(model.graph)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        Converter(model).convert()
        onnx.checker.check_model(model, full_check=True)
    except DecodeError as error:
        raise EngineError(f"{name} is not a network: the file is damaged, reinstall") from error
    except INVALID as error:
        reason = " ".join(str(error).split())[:200]
        raise EngineError(
            f"{name} is not a network that can be computed in float16 ({reason})"
        ) from error
    return model.SerializeToString()


def fold(graph: GraphProto) -> None:
    """Turns constant nodes and casts of weights into weights, which is exact."""
    weights = {weight.name: weight for weight in graph.initializer}
    kept = []
    for node in graph.node:
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            raise EngineError(
                f"the network branches ({node.op_type}): only straight ones are taken"
            )
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            weight = node.attribute[0].t
        elif node.op_type == "Cast" and node.input[0] in weights:
            kind = helper.tensor_dtype_to_np_dtype(node.attribute[0].i)
            weight = numpy_helper.from_array(
                numpy_helper.to_array(weights[node.input[0]]).astype(kind)
            )
        else:
            kept.append(node)
            continue
        weight.name = node.output[0]
        weights[weight.name] = weight
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights.values())


class Converter:
    """Rewrites one graph: a tensor's own name is its float32, name_f16 its float16."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = graph = model.graph
        self.version = next(o.version for o in model.opset_import if not o.domain)
        self.weights = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
        declared = (*graph.input, *graph.value_info, *graph.output)
        self.kinds = {value.name: value.type.tensor_type.elem_type for value in declared}
        self.kinds |= {weight.name: weight.data_type for weight in graph.initializer}
        self.float32 = {*self.weights, *(value.name for value in graph.input)}
        self.float16: set[str] = set()
        self.nodes: list[NodeProto] = []

    def convert(self) -> None:
        tail = last_sums(self.graph)
        for number, node in enumerate(self.graph.node):
            places = () if number in tail else self._float16_inputs(node)
            if places:
                for at in places:
                    node.input[at] = self._as_float16(node.input[at])
                self.float16.update(node.output)
                node.output[:] = [name + SUFFIX for name in node.output]
            else:
                self._all_float32(node.input)
                self.float32.update(node.output)
            self.nodes.append(node)
        self._all_float32(output.name for output in self.graph.output)
        self._finish()

    def _float16_inputs(self, node: NodeProto) -> tuple[int, ...]:
        """Which inputs of a node become float16; none where it computes in float32."""
        if node.op_type not in IN_FLOAT16 or node.domain:
            return ()
        schema = onnx.defs.get_schema(node.op_type, self.version, "")
        kind = schema.inputs[0].type_str  # others, such as sizes and scales, have their own
        if any(output.type_str != kind for output in schema.outputs):
            return ()
        # The last formal input of a variadic operator stands for all that follow
        formal = [schema.inputs[min(at, len(schema.inputs) - 1)] for at in range(len(node.input))]
        places = tuple(
            at for at, name in enumerate(node.input) if name and formal[at].type_str == kind
        )
        names = [node.input[at] for at in places]
        if any(self.kinds.get(name) != TensorProto.FLOAT for name in names):
            return ()
        weights = [self.weights[name] for name in names if name in self.weights]
        if any(np.abs(values).max(initial=0) > LARGEST for values in weights):
            return ()
        return places

    def _as_float16(self, name: str) -> str:
        short = name + SUFFIX
        if name not in self.float16:
            self.float16.add(name)
            if name in self.weights:
                values = self.weights[name].astype(np.float16)
                self.graph.initializer.append(numpy_helper.from_array(values, short))
            else:
                self.nodes.append(helper.make_node("Cast", [name], [short], to=TensorProto.FLOAT16))
        return short

    def _all_float32(self, names: Iterable[str]) -> None:
        for name in names:
            if name and name not in self.float32:
                self.float32.add(name)
                cast = helper.make_node("Cast", [name + SUFFIX], [name], to=TensorProto.FLOAT)
                self.nodes.append(cast)

    def _finish(self) -> None:
        used = {name for node in self.nodes for name in node.input}
        used |= {output.name for output in self.graph.output}
        weights = [weight for weight in self.graph.initializer if weight.name in used]
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend(weights)


def last_sums(graph: GraphProto) -> set[int]:
    """Numbers of the nodes after the last convolutions: nothing averages out their rounding."""
    before_heavy: set[str] = set()
    tail = set()
    for number, node in reversed(list(enumerate(graph.node))):
        follows = not before_heavy.isdisjoint(node.output)
        if not follows:
            tail.add(number)
        if follows or node.op_type in HEAVY:
            before_heavy.update(node.input)
    return tail
