"""How far the steps reach that the compact network's layers are rounded to in 8 bits.

For every convolution the reach is chosen that loses least: a smaller one cuts more, a larger one
rounds more coarsely.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from fociquant.segment.int8 import LEVELS, in_whole_numbers
from fociquant.segment.network import CompactNet, fuse_batch_norm
from fociquant.segment.training.images import Source
from fociquant.segment.training.loop import TrainingPlan, draw_batch

BATCHES = 12
"""Batches of crops that the reaches are found from."""

REACHES = (0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.36, 0.43, 0.5, 0.6, 0.7, 0.85, 1.0)
"""Shares of the largest value that are tried as reach."""

EVERY = 31
"""One of so many values is looked at for the reach."""


def calibrate(
    net: CompactNet, sources: Sequence[tuple[float, Source]], plan: TrainingPlan
) -> dict[str, float]:
    """The reach of each convolution that is computed in whole numbers.

    Parameters
    ----------
    net : CompactNet
        Trained, not fused; left as it is.
    sources : sequence of (weight, Source)
    plan : TrainingPlan
        As the training had them; the crops are those that it would have drawn next.

    Returns
    -------
    dict of str to float
        By the name of the convolution; see :class:`fociquant.segment.int8.Int8Net`.
    """
    fused = fuse_batch_norm(copy.deepcopy(net).cpu().eval())
    found: dict[str, float] = {}
    for name, layer in fused.named_modules():
        if isinstance(layer, nn.Conv2d) and in_whole_numbers(name):
            layer.register_forward_pre_hook(
                lambda _, inputs, name=name: found.update({name: _reach(inputs[0])})
            )
    with torch.inference_mode():
        fused(torch.cat([draw_batch(sources, plan, plan.steps + i)[0] for i in range(BATCHES)]))
    return found


def _reach(x: torch.Tensor) -> float:
    """The reach that loses least in the mean square; 1 where nothing comes in."""
    values = x.flatten()[::EVERY]
    most = float(values.max())
    if most <= 0.0:
        return 1.0
    tried = [share * most for share in REACHES]
    lost = [float((_rounded(values, one) - values).square().mean()) for one in tried]
    return tried[int(np.argmin(lost))]


def _rounded(values: torch.Tensor, reach: float) -> torch.Tensor:
    step = reach / (LEVELS - 1)
    return torch.clamp(torch.round(values / step) * step, 0.0, reach)
