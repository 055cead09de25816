"""The official BSHM release on this machine: where it lies once imported, how it is loaded."""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..errors import EngineError
from ..files import own_folder, path_of
from ..matting.official import INPUT, OUTPUT, Official
from .choice import Runtime, get_runtime

FOLDER_VARIABLE = "BSHM_DATA"
IMPORT = "bshm-live engines import tf_graph.pb"
RUNTIME = "onnxruntime"  # the one that takes pictures of any size


@dataclass(frozen=True)
class Imported:
    """The converted network and what is known of it; digests are SHA-256 in hex."""

    path: Path
    sha256: str
    graph_sha256: str  # of the release's own file
    made_with: str


def folder() -> Path:
    """BSHM_DATA, or the user's data folder as the system has it."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return path_of(chosen) if chosen else own_folder("data")


def network_path() -> Path:
    return folder() / "official.onnx"


def note_path() -> Path:
    """The text beside the network that names its digests."""
    return folder() / "official.toml"


def imported() -> Imported | None:
    """What was imported; None before that. Raises EngineError for a file that is another now."""
    path, note = network_path(), note_path()
    try:
        content = path.read_bytes()
        known = tomllib.loads(note.read_text(encoding="utf-8"))
        words = {key: str(known[key]) for key in ("sha256", "graph_sha256", "made_with")}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror}); try {IMPORT}") from error
    except (ValueError, KeyError) as error:
        raise EngineError(f"{note} is damaged; try {IMPORT}") from error
    if hashlib.sha256(content).hexdigest() != words["sha256"]:
        raise EngineError(f"{path}: not the file that was imported (its sha256 differs); {IMPORT}")
    return Imported(path, **words)


def load_official(runtime: str = "auto", threads: int = 0) -> tuple[Runtime, Official]:
    """The runtime, its description naming the release, and the network. Raises EngineError."""
    if runtime not in ("auto", RUNTIME):
        raise EngineError(f"--runtime {runtime}: the official network runs in {RUNTIME} alone")
    there = imported()
    if there is None:
        raise EngineError(f"preset official: not imported on this machine; {IMPORT}")
    engine = get_runtime(RUNTIME).load(there.path, threads)
    if list(engine.inputs) != [INPUT] or list(engine.outputs) != [OUTPUT]:
        engine.close()
        raise EngineError(f"{there.path} is from another version of bshm-live; {IMPORT}")
    return get_runtime(RUNTIME), Official(engine)
