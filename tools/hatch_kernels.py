"""hatch calls this when it makes a wheel: the kernels are compiled for it and put inside."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.kernels import KERNELS, SYSTEM, SYSTEMS, build, this_system


class KernelsHook(BuildHookInterface):  # type: ignore[type-arg]
    """An editable install has the libraries in the checkout, a wheel has its own."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get(SYSTEM)
        system = SYSTEMS[wanted] if wanted else this_system()
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{system.tag}"
        if version == "editable":
            build(KERNELS, system)
            return
        self._folder = Path(tempfile.mkdtemp(prefix="bshm-kernels-"))
        for library in build(self._folder, system):
            build_data["force_include"][str(library)] = f"bshm_live/kernels/{library.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            shutil.rmtree(self._folder, ignore_errors=True)
