"""The training loop: seeded, logged, resumable."""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fociquant.errors import ModelError
from fociquant.segment.compact import save_atomically
from fociquant.segment.devices import resolve_precision
from fociquant.segment.network import CompactNet
from fociquant.segment.training.augment import Augmentation, Crop, random_crop
from fociquant.segment.training.images import Source

FLOW_SCALE = 5.0
"""Cellpose's networks predict 5 times the unit flow."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How long and how fast to train.

    Parameters
    ----------
    steps : int
        Optimiser steps in all.
    batch : int
        Crops per step.
    crop_px : int
        Height and width of a crop, a multiple of 16.
    rate : float
        Peak learning rate (AdamW, linear warm-up, cosine decay to 1 %).
    warmup_steps : int
    weight_decay : float
    average : float
        Decay of the exponential moving average of the weights, which is what is kept.
    seed : int
    save_every : int
        Steps between checkpoints.
    augmentation : Augmentation
    """

    steps: int
    batch: int = 8
    crop_px: int = 256
    rate: float = 1.5e-3
    warmup_steps: int = 100
    weight_decay: float = 1e-3
    average: float = 0.998
    seed: int = 0
    save_every: int = 250
    augmentation: Augmentation = field(default_factory=Augmentation)


def loss_terms(
    output: torch.Tensor, flows: torch.Tensor, cell: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cellpose's two losses, averaged over the pixels that count.

    Parameters
    ----------
    output : float32 (N, 3, H, W)
    flows : float32 (N, 2, H, W)
        Unit vectors.
    cell, weight : float32 (N, H, W)

    Returns
    -------
    flow, cell : float32 scalars
        Half the squared error of 5 times the flow; binary cross entropy of the cell logit.
    """
    total = weight.sum().clamp(min=1.0)
    squared = ((output[:, :2] - FLOW_SCALE * flows) ** 2).mean(dim=1)
    flow = 0.5 * (squared * weight).sum() / total
    entropy = nn.functional.binary_cross_entropy_with_logits(output[:, 2], cell, reduction="none")
    return flow, (entropy * weight).sum() / total


def train(
    net: CompactNet,
    sources: Sequence[tuple[float, Source]],
    plan: TrainingPlan,
    *,
    folder: Path,
    device: torch.device | None = None,
    on_step: Callable[[int, Mapping[str, float]], bool | None] | None = None,
) -> CompactNet:
    """Train `net`, continuing from the checkpoint in `folder` if there is one.

    Parameters
    ----------
    net : CompactNet
        Starting weights; overwritten.
    sources : sequence of (weight, Source)
        Mixed by weight.
    plan : TrainingPlan
    folder : pathlib.Path
        For ``checkpoint.pt`` and ``log.jsonl``.
    device : torch.device, optional
        Default the CPU.
    on_step : callable, optional
        Called with the number of steps done and the running losses; if it returns True,
        a checkpoint is written and training ends there.

    Returns
    -------
    CompactNet
        The averaged weights, in evaluation mode.

    Raises
    ------
    ModelError
        If the checkpoint is damaged or belongs to another network.

    Notes
    -----
    A batch depends on the plan's seed and the number of the step, so a training that was
    interrupted and continued is the same as one that was not: to the bit on one CPU
    thread, and to the rounding of the hardware otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    where = device or torch.device("cpu")
    state = _State(net.to(where, memory_format=torch.channels_last), plan, folder)
    state.resume()
    running: dict[str, float] = {}
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        stop = state.step >= plan.steps
        if not stop:
            pending = pool.submit(draw_batch, sources, plan, state.step)
        while not stop:
            batch = pending.result()
            if state.step + 1 < plan.steps:
                pending = pool.submit(draw_batch, sources, plan, state.step + 1)
            losses = state.advance([tensor.to(where) for tensor in batch])
            for key, value in losses.items():
                running[key] = 0.98 * running.get(key, value) + 0.02 * value
            wanted_to_end = on_step is not None and on_step(state.step, running) is True
            stop = wanted_to_end or state.step >= plan.steps
            if stop or state.step % plan.save_every == 0:
                state.save(running | {"seconds": time.monotonic() - started})
    return state.averaged()


class _State:
    """Everything that a checkpoint holds."""

    def __init__(self, net: CompactNet, plan: TrainingPlan, folder: Path) -> None:
        self.net, self.plan, self.folder = net, plan, folder
        self.step = 0
        self.average = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            net.parameters(), lr=plan.rate, weight_decay=plan.weight_decay
        )

    def advance(self, batch: Sequence[torch.Tensor]) -> dict[str, float]:
        planes, flows, cell, weight = batch
        self.net.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.optimiser.zero_grad(set_to_none=True)
        # Without native support bfloat16 is emulated, and several times slower than float32.
        precision = resolve_precision(planes.device)
        with torch.autocast(
            planes.device.type, torch.bfloat16, enabled=precision == torch.bfloat16
        ):
            output = self.net(planes.contiguous(memory_format=torch.channels_last))
        flow_loss, cell_loss = loss_terms(output.float(), flows, cell, weight)
        (flow_loss + cell_loss).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return {"flow": float(flow_loss.detach()), "cell": float(cell_loss.detach())}

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / max(1, self.plan.warmup_steps))
        done = min(1.0, self.step / max(1, self.plan.steps))
        return self.plan.rate * warm * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done)))

    def _update_average(self) -> None:
        # A short memory at first, or the random start would linger in the average.
        decay = min(self.plan.average, (1 + self.step) / (10 + self.step))
        for key, value in self.net.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[key].lerp_(value.detach(), 1.0 - decay)
            else:
                self.average[key].copy_(value)

    def save(self, log: Mapping[str, float]) -> None:
        content = {
            "step": self.step,
            "net": self.net.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
        }
        save_atomically(content, self.folder / "checkpoint.pt")
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, **log}) + "\n")

    def resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            self.net.load_state_dict(content["net"])
            self.average = {
                k: v.to(self.net.head.weight.device) for k, v in content["average"].items()
            }
            self.optimiser.load_state_dict(content["optimiser"])
            self.step = int(content["step"])
        except (
            KeyError, RuntimeError, ValueError, TypeError, OSError, EOFError,
            pickle.UnpicklingError,
        ) as error:  # fmt: skip
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelError(
                f"{path} is not a checkpoint of this network, or is damaged ({reason}). "
                "Remove it or use another folder."
            ) from error

    def averaged(self) -> CompactNet:
        result = CompactNet(self.net.widths)
        result.load_state_dict({k: v.cpu() for k, v in self.average.items()})
        return result.eval()


def draw_batch(
    sources: Sequence[tuple[float, Source]], plan: TrainingPlan, step: int
) -> list[torch.Tensor]:
    """The batch of one step; depends on the seed and the step alone (given the sources).

    Returns
    -------
    list of torch.Tensor
        Planes, flows, cell and weight, stacked (:class:`fociquant.segment.training.augment.Crop`).
    """
    rng = np.random.default_rng([plan.seed, step])
    weights = np.array([weight for weight, _ in sources], dtype=float)
    picks = rng.choice(len(sources), size=plan.batch, p=weights / weights.sum())
    crops = [
        random_crop(sources[i][1].draw(rng), rng, size=plan.crop_px, ranges=plan.augmentation)
        for i in picks
    ]
    return _stack(crops)


def _stack(crops: Sequence[Crop]) -> list[torch.Tensor]:
    fields = ("planes", "flows", "cell", "weight")
    return [torch.from_numpy(np.stack([getattr(c, name) for c in crops])) for name in fields]
