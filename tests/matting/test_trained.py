"""What the trained networks promise of any picture."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from bshm_live.runtimes.manifest import engines_folder
from bshm_live.settings import PRESETS


@pytest.mark.parametrize("preset", [*PRESETS, "tall"])
def test_far_from_the_mask_there_is_no_alpha(preset: str) -> None:
    """Whatever MRN sees in the picture: noise here, a person's mask at the left edge."""
    file = engines_folder() / preset / "mrn.onnx"
    network = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    shapes = {one.name: one.shape for one in network.get_inputs()}
    image = np.random.default_rng(3).random(shapes["image"], np.float32)
    unified = np.full(shapes["unified"], 0.04, np.float32)
    unified[..., :8] = 1
    (alpha,) = network.run(["alpha"], {"image": image, "unified": unified})
    beside, far = alpha[..., : 4 * 8], alpha[..., 4 * 32 :]
    assert beside.max() > 0.5
    assert not far.any()
