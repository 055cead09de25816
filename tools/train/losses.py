"""The losses, each a function of prediction and truth, mean over everything."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SOMEBODY = 20.0  # pixels of alpha from which on a picture shows somebody


def mask_loss(logits: Tensor, alpha: Tensor) -> Tensor:
    """Cross-entropy, which moves what is far off, and L1, which is what is measured."""
    bce = F.binary_cross_entropy_with_logits(logits, alpha)
    return bce + F.l1_loss(logits.sigmoid(), alpha)


def overlap_loss(logits: Tensor, alpha: Tensor) -> Tensor:
    """1 - intersection over union of each picture: a small person counts as much as a large one.

    Soft, as in Rahman and Wang (2016). Nothing where nobody is.
    """
    mask = logits.sigmoid()
    both = (mask * alpha).sum((1, 2, 3))
    either = (mask + alpha - mask * alpha).sum((1, 2, 3))
    somebody = (alpha.sum((1, 2, 3)) > SOMEBODY).float()
    return ((1 - both / (either + 1)) * somebody).mean()


def laplacian_loss(alpha: Tensor, truth: Tensor, levels: int = 4) -> Tensor:
    """L1 between Laplacian pyramids, each level weighted by 2^level (Hou and Liu 2019)."""
    loss = alpha.new_zeros(())
    difference = alpha - truth
    for level in range(levels):
        small = F.avg_pool2d(difference, 2)
        detail = difference - F.interpolate(
            small, size=difference.shape[2:], mode="bilinear", align_corners=False
        )
        loss = loss + detail.abs().mean() * 2**level
        difference = small
    return loss


def gradient_loss(alpha: Tensor, truth: Tensor) -> Tensor:
    """Squared difference of gradient magnitudes (Rhemann et al. 2009) where either has an edge.

    Scharr's filters, a little blur: near the Gaussian derivatives of the benchmark.
    """
    k = alpha.new_tensor([[3.0, 0.0, -3.0], [10.0, 0.0, -10.0], [3.0, 0.0, -3.0]]) / 32
    kernels = torch.stack([k, k.T])[:, None]

    def magnitude(a: Tensor) -> Tensor:
        a = F.avg_pool2d(F.pad(a, (1, 1, 1, 1), mode="replicate"), 3, 1)
        return (F.conv2d(a, kernels).square().sum(1, keepdim=True) + 1e-6).sqrt()

    return (magnitude(alpha) - magnitude(truth)).square().mean()


def feature_loss(student: Tensor, teacher: Tensor, taught: Tensor) -> Tensor:
    """Smooth L1 between an adapted map and the teacher's, on the student's grid.

    `taught` (N, 1, 1, 1) is 0 for pictures that the teacher has not seen.
    """
    teacher = F.interpolate(teacher, size=student.shape[2:], mode="bilinear", align_corners=False)
    loss = F.smooth_l1_loss(student, teacher, beta=0.1, reduction="none") * taught
    return loss.sum() / (taught.sum() * loss[0].numel() + 1)


def leaky_clip(x: Tensor) -> Tensor:
    """clip(x, 0, 1) that keeps a slope of 0.02 outside, so that training can return."""
    inside = x.clamp(0, 1)
    return inside + 0.02 * (x - inside)


def foreground_loss(residual: Tensor, image: Tensor, truth: Tensor, alpha: Tensor) -> Tensor:
    """L1 of F = I + enlarge(R) where alpha > 0; counted most where it shows, in the soft band."""
    up = F.interpolate(residual, size=image.shape[2:], mode="bilinear", align_corners=False)
    weight = (alpha > 0.01).float() * (0.2 + 4 * alpha * (1 - alpha))
    error = (leaky_clip(image + up) - truth).abs() * weight
    return error.sum() / (weight.sum() * 3 + 1)


def composition_loss(alpha: Tensor, truth: Tensor, foreground: Tensor) -> Tensor:
    """L1 between both composites over a background that contrasts with the foreground."""
    back = (foreground.mean((2, 3), keepdim=True) < 0.5).float()
    return ((alpha - truth) * (foreground - back)).abs().mean()


def finite(loss: Tensor) -> Tensor:
    if not torch.isfinite(loss):
        raise FloatingPointError("the loss is no longer a number: lower the learning rate")
    return loss
