"""Weights of networks that were exported before, to train on from.

Export folds BatchNorm into its convolution. Here each BatchNorm is put back
with the statistics of a batch, so that it changes nothing at first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from .lite0 import Scaled


def load_released(model: nn.Module, path: Path, prefix: str, forward: Callable[[], object]) -> None:
    """Puts the weights of one ONNX file into `model`, whose names there begin with `prefix`.

    `forward` calls the model on a batch of its inputs. Raises ValueError where
    the file is another network's.
    """
    modules, norms = dict(model.named_modules()), []
    for name, module, weight, bias in matched(model, path, prefix):
        module.weight.data.copy_(weight)
        if isinstance(module, Scaled):
            module.scale.fill_(1)
        if module.bias is not None and bias is not None:
            module.bias.data.copy_(bias)
        elif bias is not None:
            parent, _, at = name.rpartition(".")
            norm = modules[f"{parent}.{int(at) + 1}"]
            assert isinstance(norm, nn.BatchNorm2d)
            norms.append((norm, bias))
    calibrate(model, norms, forward)


def matched(
    model: nn.Module, path: Path, prefix: str
) -> Iterator[tuple[str, nn.Conv2d | Scaled, Tensor, Tensor | None]]:
    """Name and module in `model` of each convolution in the file, with the file's values."""
    modules = dict(model.named_modules())
    for name, weight, bias in convolutions(path):
        own = name.removeprefix(prefix)
        module = modules.get(own)
        if not isinstance(module, nn.Conv2d | Scaled) or module.weight.shape != weight.shape:
            raise ValueError(f"{path}: {name} is not a convolution of this network")
        yield own, module, weight, bias


def convolutions(path: Path) -> Iterator[tuple[str, Tensor, Tensor | None]]:
    """Name, weight and bias of each convolution; the name is that of its module."""
    graph = onnx.load(str(path)).graph
    values = {w.name: torch.tensor(numpy_helper.to_array(w)).float() for w in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]]
        if node.op_type == "Conv":
            bias = node.input[2] if len(node.input) > 2 else None
            # A weight that export computed has lost its name; the bias has not.
            name = (bias or node.input[1]).rpartition(".")[0]
            yield name, values[node.input[1]], None if bias is None else values[bias]


@torch.no_grad()
def calibrate(
    model: nn.Module,
    norms: list[tuple[nn.BatchNorm2d, Tensor]],
    forward: Callable[[], object],
) -> None:
    """Each BatchNorm adds its bias, and nothing else, to what it meets in `forward`."""

    def fit(norm: nn.BatchNorm2d, bias: Tensor) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor]) -> None:
            x = inputs[0].transpose(0, 1).flatten(1)
            mean, variance = x.mean(1), x.var(1, unbiased=False)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.data.copy_((variance + norm.eps).sqrt())
            norm.bias.data.copy_(bias.to(mean) + mean)

        return hook

    hooks = [norm.register_forward_pre_hook(fit(norm, bias)) for norm, bias in norms]
    was_training = model.training
    model.eval()
    forward()
    model.train(was_training)
    for hook in hooks:
        hook.remove()
