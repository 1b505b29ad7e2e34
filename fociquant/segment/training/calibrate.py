"""Which steps the compact network's layers are rounded to when it computes in 8 bits.

For every convolution the reach is chosen that loses least: a smaller one cuts more, a larger one
rounds more coarsely. Giving back what the rounding takes from each map on average (bias
correction, M. Nagel et al., ICCV 2019) changed nothing here.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from fociquant.segment.int8 import Rounding, in_whole_numbers
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
) -> dict[str, Rounding]:
    """How each convolution that is computed in whole numbers is rounded.

    Parameters
    ----------
    net : CompactNet
        Trained, not fused; left as it is.
    sources : sequence of (weight, Source)
    plan : TrainingPlan
        As the training had them; the crops are those that it would have drawn next.

    Returns
    -------
    dict of str to Rounding
        By the name of the convolution.
    """
    fused = fuse_batch_norm(copy.deepcopy(net).cpu().eval())
    found: dict[str, Rounding] = {}
    for name, layer in fused.named_modules():
        if isinstance(layer, nn.Conv2d) and in_whole_numbers(name):
            layer.register_forward_pre_hook(
                lambda _, inputs, name=name: found.update({name: _rounding(inputs[0])})
            )
    with torch.inference_mode():
        fused(torch.cat([draw_batch(sources, plan, plan.steps + i)[0] for i in range(BATCHES)]))
    return found


def _rounding(x: torch.Tensor) -> Rounding:
    """The reach that loses least in the mean square."""
    values = x.flatten()[::EVERY]
    signed, most = bool((values < 0).any()), float(values.abs().max())
    if most == 0.0:
        return Rounding(1.0, signed)
    tried = [Rounding(share * most, signed) for share in REACHES]
    lost = [float((_rounded(values, one) - values).square().mean()) for one in tried]
    return tried[int(np.argmin(lost))]


def _rounded(values: torch.Tensor, how: Rounding) -> torch.Tensor:
    step = (how.reach - how.low) / (how.levels - 1)
    return torch.clamp(torch.round(values / step) * step, how.low, how.reach)
