"""The networks that belong to the program: where they lie, what they take and give.

`manifest.toml` stands in the networks' folder and names every file with its
sha256 and its shapes. It is checked as a whole when it is read; the files are
checked one by one before they are used. `int8.toml` names the networks' twins for
processors that multiply in 8 bits, each with the sha256 of the network that it was made
from: a twin of any other network is not there.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import EngineError
from ..files import path_of
from ..types import Shape

MANIFEST, TWINS = "manifest.toml", "int8.toml"
FOLDER_VARIABLE = "BSHM_ENGINES"
COLOUR, RANGE = "RGB", [0.0, 1.0]
NETWORKS = ("mpn", "qun", "mrn")
STRIDE = 32  # pixels: the smallest map of a network is 1/32 of its input
REFINED = 4  # the high size is so many times the low size
REINSTALL = "reinstall bshm-live"

# What each network takes and gives: name, channels, and its size in low sizes.
INPUTS = {
    "mpn": {"image": (3, 1), "hint": (1, 1)},
    "qun": {"image": (3, 1), "coarse": (1, 1)},
    "mrn": {"image": (3, REFINED), "unified": (1, 1)},
}
OUTPUTS = {
    "mpn": {"coarse": (1, 1)},
    "qun": {"unified": (1, 1)},
    "mrn": {"alpha": (1, REFINED), "residual": (3, 1)},
}
HEAD_INPUTS = {"image": (1, 3, 128, 192)}
HEAD_OUTPUTS = {"heat": (1, 1, 16, 24), "points": (1, 14, 16, 24)}


@dataclass(frozen=True)
class Network:
    """One ONNX file and what the manifest says of it; `tall` presets are for portrait format."""

    name: str
    preset: str
    path: Path
    sha256: str
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


@dataclass(frozen=True)
class Manifest:
    """All networks of one folder, their shapes known to fit together.

    `twins`: the int8 twin of a network, by the network's sha256.
    """

    folder: Path
    networks: tuple[Network, ...]
    head: Network | None = None  # the head finder, which has no presets
    twins: Mapping[str, Network] = field(default_factory=dict)

    @property
    def presets(self) -> tuple[str, ...]:
        """The names of the presets, in the manifest's order."""
        return tuple(dict.fromkeys(network.preset for network in self.networks))

    def preset(self, name: str) -> dict[str, Network]:
        """The three networks of a preset by name. Raises EngineError."""
        found = {network.name: network for network in self.networks if network.preset == name}
        if not found:
            there = ", ".join(self.presets)
            raise EngineError(f"preset {name}: no such networks in {self.folder}; try {there}")
        return found

    def int8(self, preset: str) -> dict[str, Network]:
        """The int8 twins of a preset's networks by name; empty unless all are there."""
        found = {
            name: self.twins[network.sha256]
            for name, network in self.preset(preset).items()
            if network.sha256 in self.twins
        }
        return found if len(found) == len(NETWORKS) else {}


def engines_folder() -> Path:
    """The folder of the networks: BSHM_ENGINES, the package's own, or the checkout's."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return path_of(chosen)
    package = Path(__file__).resolve().parents[1]
    packaged, checkout = package / "engines", package.parent / "engines"
    return checkout if not packaged.is_dir() and checkout.is_dir() else packaged


def load_manifest(folder: Path | None = None) -> Manifest:
    """Reads and checks a folder's manifest, by default the program's. Raises EngineError."""
    folder = engines_folder() if folder is None else folder
    path = folder / MANIFEST
    content = _read(path)
    if content.get("colour") != COLOUR or content.get("range") != RANGE:
        raise _malformed(path, f"colour must be {COLOUR} and range {RANGE}")
    try:
        networks = tuple(_network(folder, entry) for entry in content["network"])
        finder = _network(folder, content["head"]) if "head" in content else None
    except KeyError as error:
        raise _malformed(path, f"{error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:  # a text for a number, and the like
        raise _malformed(path, f"a network has a value of the wrong kind ({error})") from error
    for preset in dict.fromkeys(network.preset for network in networks):
        if fault := _fault([n for n in networks if n.preset == preset]):
            raise _malformed(path, f"preset {preset}: {fault}")
    if finder and (finder.inputs != HEAD_INPUTS or finder.outputs != HEAD_OUTPUTS):
        raise _malformed(path, f"the head finder takes {HEAD_INPUTS} and gives {HEAD_OUTPUTS}")
    return Manifest(folder, networks, finder, _twins(folder, networks))


def _read(path: Path) -> Mapping[str, Any]:
    """A TOML file. Raises EngineError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror}); {REINSTALL}") from error
    except ValueError as error:  # neither UTF-8 nor TOML
        raise _malformed(path, " ".join(str(error).split())) from error


def _twins(folder: Path, networks: tuple[Network, ...]) -> dict[str, Network]:
    """The int8 twins of these networks; those of others are left out."""
    path = folder / TWINS
    if not path.is_file():
        return {}
    content = _read(path)
    try:
        found = {
            entry["of"]: (folder / entry["file"], entry["sha256"].lower())
            for entry in content["network"]
        }
    except KeyError as error:
        raise _malformed(path, f"{error} is missing") from error
    except (TypeError, AttributeError) as error:
        raise _malformed(path, f"a network has a value of the wrong kind ({error})") from error
    return {
        network.sha256: replace(
            network, path=found[network.sha256][0], sha256=found[network.sha256][1]
        )
        for network in networks
        if network.sha256 in found
    }


def check_file(network: Network) -> None:
    """Raises EngineError unless the file is there and is the one that the manifest means."""
    try:
        with network.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise EngineError(f"{network.path}: {reason}; {REINSTALL}") from error
    if digest != network.sha256:
        reason = "not the file that belongs to this version (its sha256 differs)"
        raise EngineError(f"{network.path}: {reason}; {REINSTALL}")


def _network(folder: Path, entry: Mapping[str, Any]) -> Network:
    def shapes(key: str) -> dict[str, Shape]:
        return {name: tuple(int(n) for n in shape) for name, shape in entry[key].items()}

    path, sha256 = folder / entry["file"], entry["sha256"].lower()
    name, preset = entry["name"], entry.get("preset", "")
    return Network(name, preset, path, sha256, shapes("inputs"), shapes("outputs"))


def _fault(networks: list[Network]) -> str | None:
    """What is wrong with one preset's networks, or None."""
    if sorted(network.name for network in networks) != sorted(NETWORKS):
        return f"must have {', '.join(NETWORKS)}, each once"
    low = next(n.inputs.get("image", ())[2:] for n in networks if n.name == "mpn")
    if len(low) != 2 or any(side < STRIDE or side % STRIDE for side in low):
        return f"mpn's image must be [1, 3, h, w], h and w multiples of {STRIDE}"
    for network in networks:
        for kind, given in (("inputs", network.inputs), ("outputs", network.outputs)):
            table = (INPUTS if kind == "inputs" else OUTPUTS)[network.name]
            wanted = {
                name: (1, channels, low[0] * times, low[1] * times)
                for name, (channels, times) in table.items()
            }
            if dict(given) != wanted:
                return f"the {kind} of {network.name} must be {wanted}"
    return None


def _malformed(path: Path, reason: str) -> EngineError:
    return EngineError(f"{path}: malformed: {reason}; {REINSTALL}")
