"""Which codec a video file is written with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Layer = Literal["composite", "alpha", "foreground"]
SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
QUALITY = 80  # of 100, unless asked for otherwise
CRF_A_POINT = 0.25  # of the encoders' own scale, where less is better


@dataclass(frozen=True)
class Codec:
    """An encoder, its pixel format and options, and the numpy format it is fed."""

    name: str
    pixels: str
    fed: Literal["bgr24", "bgra", "gray"] = "bgr24"
    options: Mapping[str, str] = field(default_factory=dict)

    def at(self, quality: int) -> Codec:
        """The same at 0 (smallest) to 100 (most alike); lossless codecs stay as they are."""
        if "crf" not in self.options:
            return self
        crf = int(self.options["crf"]) + round((QUALITY - quality) * CRF_A_POINT)
        return replace(self, options={**self.options, "crf": str(crf)})


VP9_SPEED = {"b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}
H264 = Codec("libx264", "yuv420p", options={"crf": "18", "preset": "veryfast"})
VP9 = Codec("libvpx-vp9", "yuv420p", options=VP9_SPEED | {"crf": "24"})
LOSSLESS_GREY = Codec("ffv1", "gray", "gray", {"level": "3", "slicecrc": "1"})
TRANSPARENT = {
    # Alternate reference frames would tear alpha and colour apart.
    ".webm": Codec(
        "libvpx-vp9", "yuva420p", "bgra", VP9_SPEED | {"crf": "24", "auto-alt-ref": "0"}
    ),
    ".mov": Codec("prores_ks", "yuva444p10le", "bgra", {"profile": "4444", "vendor": "apl0"}),
}


def choose_codec(suffix: str, layer: Layer, transparent: bool) -> Codec:
    """The codec for a file ending in `suffix` (lower case, with its dot)."""
    if transparent and layer == "composite" and suffix in TRANSPARENT:
        return TRANSPARENT[suffix]
    if layer == "alpha" and suffix == ".mkv":
        return LOSSLESS_GREY
    return VP9 if suffix == ".webm" else H264
