"""The official release's frozen TensorFlow 1 graph, made an ONNX network once and checked.

tf_graph.pb ▸ names and types ▸ alpha alone ▸ ONNX ▸ pictures, as TensorFlow has them ▸ stored
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineError, SettingsError
from ..files import replacing, why_unreadable, why_unwritable
from ..matting.official import INPUT, OUTPUT, SOLID
from ..types import Alpha, Picture
from .choice import get_runtime
from .official import RUNTIME, Imported, folder, network_path, note_path

INSTALL = "pip install 'bshm-live[import]' (Python 3.11 to 3.13)"
GIVEN = "output_png:0"  # RGBA, uint8
OPSET = 17
BYTES_MOST = 2_000_000_000  # what a frozen graph can hold
OFF_MEAN, OFF_MOST = 0.25, 8  # of 255: from TensorFlow's own alpha
PERSON_LEAST, PERSON_MOST = 0.01, 0.99  # of a portrait: what is a matte at all
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}


def import_graph(path: Path, pictures: Iterable[Picture]) -> tuple[Imported, float]:
    """Converts the graph of a file, checks it on BGR pictures of people and stores it.

    Returns what was stored, and how far its alpha is from TensorFlow's at most, in
    levels of 255. Raises EngineError, and SettingsError for a file that cannot be read.
    """
    content = read(path)
    tensorflow, converter = libraries()
    graph = checked_graph(path, content, tensorflow)
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / "official.onnx"
        convert(path, graph, made, tensorflow, converter)
        off = max(compared(path, graph, made, picture, tensorflow) for picture in pictures)
        network = made.read_bytes()
    return store(network, content), off


def read(path: Path) -> bytes:
    if why := why_unreadable(path):
        raise SettingsError(why)
    if path.stat().st_size > BYTES_MOST:
        raise SettingsError(f"{path}: too large for a frozen graph; give the release's tf_graph.pb")
    return path.read_bytes()


def libraries() -> tuple[Any, Any]:
    """TensorFlow, its version 1 face, and tf2onnx. Raises EngineError where one is not there."""
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    try:
        import tensorflow
        import tf2onnx
    except ImportError as error:
        raise EngineError(f"engines import needs {error.name}: {INSTALL}") from None
    for name in ("tensorflow", "tf2onnx", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return tensorflow.compat.v1, tf2onnx


def checked_graph(path: Path, content: bytes, tensorflow: Any) -> Any:
    """A graph with `alpha`, (H, W) float32 in levels, beside what it had. Raises EngineError."""
    from google.protobuf.message import DecodeError

    definition, graph = tensorflow.GraphDef(), tensorflow.Graph()
    try:
        definition.ParseFromString(content)
        with graph.as_default():
            tensorflow.import_graph_def(definition, name="")
    except (DecodeError, ValueError, RuntimeError) as error:
        raise wrong(path, f"no frozen TensorFlow graph ({line_of(error)})") from None
    for name, kind, channels in ((INPUT, tensorflow.float32, 3), (GIVEN, tensorflow.uint8, 4)):
        try:
            tensor = graph.get_tensor_by_name(name)
            tensor.set_shape([None, None, channels])
        except (KeyError, ValueError) as error:
            raise wrong(path, line_of(error)) from None
        if tensor.dtype != kind:
            raise wrong(path, f"{name} is {tensor.dtype.name}, not {kind.name}")
    with graph.as_default():
        rgba = tensorflow.cast(graph.get_tensor_by_name(GIVEN), tensorflow.float32)
        tensorflow.identity(rgba[..., 3], name=OUTPUT.partition(":")[0])
    return graph


def convert(path: Path, graph: Any, made: Path, tensorflow: Any, converter: Any) -> None:
    try:
        converter.convert.from_graph_def(
            graph.as_graph_def(),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset=OPSET,
            output_path=str(made),
        )
    except Exception as error:  # whatever tf2onnx has not, it says in its own way
        raise wrong(path, f"tf2onnx cannot convert it: {line_of(error)}") from error


def compared(path: Path, graph: Any, made: Path, picture: Picture, tensorflow: Any) -> float:
    """The largest difference in levels between both alphas of one picture. Raises EngineError."""
    image = picture[..., ::-1].astype(np.float32)
    try:
        with tensorflow.Session(graph=graph) as session:
            known: Alpha = session.run(GIVEN, {INPUT: image})[..., 3].astype(np.float32)
    except tensorflow.errors.OpError as error:
        raise wrong(path, f"TensorFlow cannot run it: {line_of(error)}") from None
    engine = get_runtime(RUNTIME).load(made, 0)
    found = engine.run({INPUT: image})[OUTPUT]
    engine.close()
    if found.shape != image.shape[:2] or known.shape != found.shape:
        raise wrong(path, f"alpha is {found.shape} for a picture of {image.shape[:2]}")
    person = float((found > SOLID / 2).mean())
    if not PERSON_LEAST < person < PERSON_MOST:
        raise wrong(path, f"it calls {person:.0%} of a portrait person")
    off = np.abs(found - known)
    if not (off.mean() <= OFF_MEAN and off.max() <= OFF_MOST):
        raise EngineError(
            f"{path}: converted, its alpha is {off.mean():.2f} levels from TensorFlow's, "
            f"{off.max():.0f} at most ({OFF_MEAN} and {OFF_MOST} allowed); try another tf2onnx"
        )
    return float(off.max())


def store(network: bytes, content: bytes) -> Imported:
    """Both files, or none. Raises EngineError."""
    made_with = f"tf2onnx {version('tf2onnx')}"
    known = Imported(
        network_path(),
        hashlib.sha256(network).hexdigest(),
        hashlib.sha256(content).hexdigest(),
        made_with,
    )
    text = (
        f'sha256 = "{known.sha256}"\ngraph_sha256 = "{known.graph_sha256}"\n'
        f'made_with = "{made_with}"\n'
    )
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with replacing(network_path(), note_path()) as (first, second):
            first.write_bytes(network)
            second.write_text(text, encoding="utf-8")
    except OSError as error:
        instead = "choose another folder with BSHM_DATA"
        raise EngineError(why_unwritable(network_path(), error, instead)) from None
    return known


def wrong(path: Path, reason: str) -> EngineError:
    return EngineError(f"{path} is not the BSHM release: {reason}; give its tf_graph.pb")


def line_of(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
