"""Imports point one way, and nothing heavy is loaded before it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PACKAGE

# Each module may import only what stands above it.
ORDER = [
    "__init__",
    "types",
    "errors",
    "settings",
    "manifest",
    "nvidia",
    "half",
    "engine_cache",
    "cuda_graph",
    "trt_build",
    "guard",
    "preprocess",
    "bshm",
    "temporal",
    "background",
    "pixels",
    "rim_light",
    "composite",
    "parts",
    "source_video",
    "source",
    "source_live",
    "sink_sound",
    "sink_video",
    "loopback",
    "pace",
    "demand",
    "sink_obs",
    "sink_v4l2",
    "sink_vcam",
    "sink",
    "runtimes.onnxruntime",
    "runtimes.openvino",
    "runtimes.tensorrt",
    "runtimes",
    "gpu",
    "gpu.cuda",
    "gpu.kernels",
    "gpu.lane",
    "gpu.nvrtc",
    "gpu.pycuda",
    "gpu.matter",
    "gpu.steadier",
    "gpu.compositor",
    "gpu.parts",
    "gpu.rates",
    "pipeline",
    "gpu.flight",
    "agree",
    "builder",
    "swap",
    "still_input",
    "tiles",
    "still",
    "bench",
    "gpu.bench",
    "verify",
    "build",
    "system",
    "modprobe",
    "setup_step",
    "setup_install",
    "setup_module",
    "setup_vcam",
    "service",
    "doctor",
    "live",
    "file_loop",
    "commands",
    "cli",
    "__main__",
]
# Libraries that these modules alone may touch; "" is nobody.
HOME = {
    "onnxruntime": "runtimes.onnxruntime",
    "openvino": "runtimes.openvino",
    "tensorrt": "trt_build",
    "tensorrt_rtx": "trt_build",
    "pycuda": "runtimes.tensorrt gpu.pycuda",
    "pyvirtualcam": "sink_obs",
    "torch": "",
    "onnx": "half gpu.rates",
    "tools": "",
}
HEAVY = {
    "av",
    "cv2",
    "linuxpy",
    "numpy",
    "onnxruntime",
    "openvino",
    "pyvirtualcam",
    "rich",
    "tensorrt",
    "torch",
}


def modules() -> dict[str, Path]:
    """Dotted name inside the package to file; a folder has the name of its __init__."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        found[name] = path
    return found


def imported(name: str, path: Path) -> tuple[set[str], set[str]]:
    """What a module imports anywhere in its text: names inside the package, and foreign ones."""
    own, foreign = set(), set()
    package = ["bshm_live", *name.split(".")]
    if path.name != "__init__.py" or name == "__init__":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            targets = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for target in targets:
            if target[0] != "bshm_live":
                foreign.add(target[0])
            else:
                own.add(known(target[1:]))
    return own, foreign


def known(parts: list[str]) -> str:
    """The longest beginning of a dotted name that is a module of the package."""
    names = modules()
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in names:
            return ".".join(parts[:end])
    return "__init__"


def test_every_module_has_a_place() -> None:
    assert sorted(set(modules()) - set(ORDER)) == []


@pytest.mark.parametrize("name", sorted(modules()))
def test_module_imports_only_what_stands_above(name: str) -> None:
    own, foreign = imported(name, modules()[name])
    allowed = set(ORDER[: ORDER.index(name)])
    if name.startswith("runtimes."):
        allowed -= {other for other in allowed if other.startswith("runtimes.")}
    assert sorted(own - allowed) == []
    strangers = {library for library in foreign if name not in HOME.get(library, name).split()}
    assert sorted(strangers) == []


def loaded_after(code: str) -> set[str]:
    """Names of the modules loaded in a new interpreter that has run `code`."""
    start = "import sys\nsys.path.insert(0, sys.argv[1])"
    report = "print(*sys.modules, sep='\\n', file=sys.stderr)"
    text = "\n".join((start, code, report))
    done = subprocess.run(
        [sys.executable, "-I", "-c", text, str(PACKAGE.parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line.split(".")[0] for line in done.stderr.splitlines()}


@pytest.mark.parametrize("name", ["", ".types", ".settings", ".manifest"])
def test_importing_loads_nothing_heavy(name: str) -> None:
    assert sorted(loaded_after(f"import bshm_live{name}") & HEAVY) == []


@pytest.mark.parametrize("words", [["--help"], ["video", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    code = f"""
from bshm_live.cli import main
try:
    main({words!r})
except SystemExit as leave:
    assert not leave.code
"""
    assert sorted(loaded_after(code) & HEAVY) == []
