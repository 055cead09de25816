"""Compiles the native kernels with the compiler in the package ziglang, and makes wheels.

python -m tools.kernels            for this machine, into the checkout
python -m tools.kernels --wheels   a wheel for every system, into dist/
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bshm_live.kernels.library import edition

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "bshm_live" / "kernels"
SYSTEM = "BSHM_SYSTEM"  # environment: the system that hatch makes a wheel for
OPTIONS = (
    *("-std=c++17", "-O3", "-shared", "-fPIC", "-fvisibility=hidden", "-s"),
    *("-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti"),
    # The same result on every processor
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    "-nostdlib",  # memcpy comes with the process: one library fits every libc
)
X86 = {"probe": "x86_64", "v2": "x86_64_v2", "v3": "x86_64_v3"}  # variant: zig's name
ARM = {"arm64": "generic"}


@dataclass(frozen=True)
class System:
    """What a wheel is for: zig's target, the wheel's platform tag, the libraries' suffix."""

    target: str
    tag: str
    suffix: str

    @property
    def variants(self) -> dict[str, str]:
        return X86 if self.target.startswith("x86_64") else ARM


SYSTEMS = {
    "linux-x86_64": System("x86_64-linux-gnu.2.17", "manylinux_2_17_x86_64", "so"),
    "linux-arm64": System("aarch64-linux-gnu.2.17", "manylinux_2_17_aarch64", "so"),
    "windows-x86_64": System("x86_64-windows-gnu", "win_amd64", "dll"),
    "macos-arm64": System("aarch64-macos.11.0", "macosx_11_0_arm64", "dylib"),
    "macos-x86_64": System("x86_64-macos.10.13", "macosx_10_13_x86_64", "dylib"),
}


def this_system() -> System:
    """The machine that this runs on; its wheels fit no other kind of libc."""
    kind = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
    machine = platform.machine().lower()
    name = f"{kind}-{'arm64' if machine in ('aarch64', 'arm64') else 'x86_64'}"
    if name not in SYSTEMS or machine not in ("x86_64", "amd64", "aarch64", "arm64"):
        raise SystemExit(f"there are no kernels for {sys.platform} on {machine}")
    tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return System(SYSTEMS[name].target, tag, SYSTEMS[name].suffix)


def build(folder: Path, system: System | None = None) -> list[Path]:
    """Compiles every variant into a folder. Raises CalledProcessError."""
    system = system or this_system()
    made = []
    with tempfile.TemporaryDirectory(prefix="zig-") as cache:
        places = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        for variant, processor in system.variants.items():
            source = KERNELS / ("probe.cpp" if variant == "probe" else "kernels.cpp")
            library = folder / f"kernels-{variant}.{system.suffix}"
            fresh = library.with_name(f"new-{library.name}")  # the old one may be in use
            words = ["-target", system.target, f"-mcpu={processor}", *OPTIONS]
            words.append(f"-DEDITION={edition()}u")
            command = [sys.executable, "-m", "ziglang", "c++", *words]
            subprocess.run(
                [*command, str(source), "-o", str(fresh)], check=True, env=os.environ | places
            )
            fresh.replace(library)
            made.append(library)
    return made


def build_if_stale() -> None:
    """Into the checkout, where a library is not there or older than its source."""
    sources = [*KERNELS.glob("*.cpp"), *KERNELS.glob("*.h"), Path(__file__)]
    newest = max(source.stat().st_mtime for source in sources)
    system = this_system()
    there = [KERNELS / f"kernels-{variant}.{system.suffix}" for variant in system.variants]
    if not all(library.is_file() and library.stat().st_mtime >= newest for library in there):
        build(KERNELS, system)


def make_wheels(folder: Path) -> None:
    """One wheel for every system; all Python versions share it."""
    for name in SYSTEMS:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, SYSTEM: name})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--wheels", action="store_true", help="a wheel for every system")
    if parser.parse_args().wheels:
        make_wheels(ROOT / "dist")
    else:
        print(*build(KERNELS), sep="\n")


if __name__ == "__main__":
    main()
