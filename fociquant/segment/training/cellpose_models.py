"""Fine-tuning of Cellpose's own networks, by Cellpose's own training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fociquant.atomic import put_in_place
from fociquant.errors import ModelError, SettingsError
from fociquant.segment.cellpose_models import LICENCE_NOTE, NAMES, needs_download
from fociquant.segment.late import file_sha256
from fociquant.segment.scaling import compress
from fociquant.segment.training.images import TrainingImage

LEARNING_RATE, WEIGHT_DECAY = 1e-5, 0.1
"""Cellpose 4's own recommendation for fine-tuning."""

LEAST_EPOCHS = 10
"""Cellpose raises the learning rate over the first ten epochs, from zero."""

DERIVED_LICENCE = (
    "Derived from Cellpose weights, which are licensed for non-commercial use (CC-BY-NC): "
    "the same holds for these."
)

_log = logging.getLogger(__name__)


def fine_tune_cellpose(
    name: str,
    images: Sequence[TrainingImage],
    *,
    out: Path,
    folder: Path,
    device: torch.device,
    steps: int,
    seed: int,
    say: Callable[[str], None] = _log.info,
) -> str:
    """Fine-tune a Cellpose 4.2 network and write its weights.

    Parameters
    ----------
    name : str
        One of :data:`fociquant.segment.cellpose_models.NAMES`, or the path of Cellpose weights.
    images : sequence of TrainingImage
    out : pathlib.Path
        Weights file to write.
    folder : pathlib.Path
        Where Cellpose keeps its own files.
    device : torch.device
    steps : int
        Optimiser steps of one crop each, about.
    seed : int
        Of PyTorch; Cellpose seeds its crops itself.
    say : callable
        Gets Cellpose's progress, line by line.

    Returns
    -------
    str
        sha256 of `out`.

    Raises
    ------
    SettingsError
        If no image has an object, or one has parts that are not known (Cellpose's
        training cannot leave pixels out).
    ModelError
        If the weights cannot be downloaded or loaded, or Cellpose's training fails.
    """
    if any(image.ignore.any() for image in images):
        raise SettingsError(
            "some labels have unknown parts (negative values); Cellpose's training cannot leave "
            "pixels out. Crop those parts away, or fine-tune the compact model."
        )
    if not any(image.labels.any() for image in images):
        raise SettingsError("no training image has an object. Add images with labels.")
    model = _load(name, device, say)
    epochs = max(LEAST_EPOCHS, -(-steps // len(images)))
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    from cellpose import train

    try:
        with _told(say):
            saved = train.train_seg(
                model.net,
                train_data=[_three_planes(image) for image in images],
                train_labels=[image.labels for image in images],
                channel_axis=0,
                load_files=True,
                batch_size=1,
                learning_rate=LEARNING_RATE,
                weight_decay=WEIGHT_DECAY,
                n_epochs=epochs,
                # A dict: a bare False would switch off normalisation for the whole process.
                normalize={"normalize": False},
                compute_flows=False,
                save_path=str(folder),
                save_every=max(LEAST_EPOCHS, epochs // 4),
                save_each=False,
                nimg_per_epoch=-(-steps // epochs),
                rescale=True,
                scale_range=0.5,
                min_train_masks=1,
                model_name="fine_tuned",
            )[0]
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(f"Cellpose could not train {name!r}: {error}") from error
    out.parent.mkdir(parents=True, exist_ok=True)
    put_in_place(Path(saved), out)
    return file_sha256(out)


def _load(name: str, device: torch.device, say: Callable[[str], None]) -> Any:
    from cellpose import models

    if name in NAMES and needs_download(name):
        say(LICENCE_NOTE.format(name=name))
    try:
        return models.CellposeModel(pretrained_model=name, device=device, use_bfloat16=False)
    except (OSError, RuntimeError, ValueError, KeyError, NameError) as error:
        raise ModelError(
            f"Cellpose model {name!r} could not be loaded: {error}. Named models are downloaded "
            "once (internet needed, non-commercial licence CC-BY-NC); a weights file must be of "
            "Cellpose 4. The compact model needs no download: --from compact."
        ) from error


def _three_planes(image: TrainingImage) -> np.ndarray:
    """The network's input as in a run: compressed, the third plane empty; float32 (3, H, W)."""
    planes = compress(image.planes.astype(np.float32))
    return np.pad(planes, ((0, 1), (0, 0), (0, 0)))


class _Telling(logging.Handler):
    """Hands log messages on."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


@contextmanager
def _told(say: Callable[[str], None]) -> Iterator[None]:
    """Cellpose's training log goes to `say` meanwhile."""
    logger, handler = logging.getLogger("cellpose.train"), _Telling(say)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
