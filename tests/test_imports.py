"""Imports point one way, and nothing heavy is loaded before it is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PACKAGE

# The house, from the ground up. A room is a folder or a file of the package. A line imports
# from its own room and from rows below its own, never from a neighbour or from above.
ROWS = (
    {"types", "errors", "console", "files", "kernels"},
    {"matting", "sinks", "sources", "settings"},
    {"runtimes", "compositing", "setup", "control"},
    {"gpu", "stills"},
    {"loop"},
    {"api"},
    {"commands"},
    {"cli"},
    {"__main__"},  # of the same row: two lines that call `cli`
)
ROW_OF = {room: number for number, rooms in enumerate(ROWS, 1) for room in rooms}
PUBLIC = "__init__"  # the version, and the way to `api`: anybody's
# Libraries that these modules alone may touch; "" is nobody.
HOME = {
    "pygame": "sinks.window",
    "onnxruntime": "runtimes.onnxruntime",
    "openvino": "runtimes.openvino",
    "tensorrt": "runtimes.tensorrt_build",
    "tensorrt_rtx": "runtimes.tensorrt_build",
    "pycuda": "runtimes.tensorrt gpu.pycuda",
    "pyvirtualcam": "sinks.obs",
    "PIL": "sources.picture sources.animation sinks.photo commands.tray",
    "pillow_heif": "sources.picture",
    "httpcore": "stills.download",
    "ray": "commands.cluster",
    "fsspec": "stills.cloud",
    "tensorflow": "runtimes.official_graph",
    "tf2onnx": "runtimes.official_graph",
    "torch": "",
    "onnx": "runtimes.float16",
    "tools": "",
}
HEAVY = {
    "PIL",
    "av",
    "cv2",
    "httpcore",
    "linuxpy",
    "numpy",
    "onnxruntime",
    "openvino",
    "pygame",
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


def room_of(name: str) -> str:
    """The room that a module lies in: its folder, or itself."""
    return name.partition(".")[0]


def upward(name: str, own: set[str]) -> list[str]:
    """Those of a module's imports that do not point to its own room or to a row below."""
    room = room_of(name)
    return sorted(
        other
        for other in own
        if room_of(other) not in (PUBLIC, room) and ROW_OF[room_of(other)] >= ROW_OF[room]
    )


def test_every_room_has_a_row() -> None:
    assert {room_of(name) for name in modules()} - {PUBLIC} <= set(ROW_OF)


def test_an_import_upwards_or_sideways_is_seen() -> None:
    assert upward("matting.bshm", {"types", "matting.check", "loop.guard"}) == ["loop.guard"]
    assert upward("gpu.parts", {"stills.cut", "runtimes.choice"}) == ["stills.cut"]
    assert upward("types", {"errors"}) == ["errors"]


@pytest.mark.parametrize("name", sorted(set(modules()) - {PUBLIC}))
def test_module_imports_from_below(name: str) -> None:
    own, foreign = imported(name, modules()[name])
    assert upward(name, own) == []
    strangers = {library for library in foreign if name not in HOME.get(library, name).split()}
    assert sorted(strangers) == []


@pytest.mark.parametrize("room", sorted({room_of(name) for name in modules()}))
def test_no_circle_in_a_room(room: str) -> None:
    files = {name: path for name, path in modules().items() if room_of(name) == room}
    below = {name: imported(name, path)[0] & set(files) for name, path in files.items()}
    while free := [name for name, needs in below.items() if not needs & set(below) - {name}]:
        for name in free:
            del below[name]
    assert below == {}


LONGEST_FILE, LONGEST_FUNCTION = 320, 40  # lines


@pytest.mark.parametrize("name", sorted(modules()))
def test_files_and_functions_are_short(name: str) -> None:
    text = modules()[name].read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, functions):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name


def test_the_package_has_few_files_beside_its_rooms() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 10


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


@pytest.mark.parametrize("name", ["", ".types", ".settings", ".runtimes.manifest"])
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
