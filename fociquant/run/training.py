"""From images with labels to fine-tuned weights: ``fociquant train``."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fociquant import __version__
from fociquant.atomic import write_text
from fociquant.errors import InputError, SettingsError
from fociquant.run.evaluation import (
    LabelPair,
    evaluate_labels,
)
from fociquant.run.images import SegmentRequest, segment_image
from fociquant.run.progress import duration
from fociquant.run.training_data import (
    LabelledImage,
    TrainingRequest,
    labelled_images,
    load_labelled,
)
from fociquant.segment import check_model_name, load_segmenter
from fociquant.segment.compact import is_compact, load_compact, random_net, save_weights
from fociquant.segment.devices import resolve_device
from fociquant.segment.late import embedded_weights, file_sha256
from fociquant.segment.registry import CELLPOSE_NAMES, EMBEDDED
from fociquant.segment.training import (
    ImagePool,
    Source,
    TrainingImage,
    TrainingPlan,
    calibrate,
    train,
)
from fociquant.segment.training.card import card_text, number
from fociquant.settings import SegmentSettings
from fociquant.store import read_json, write_json

FORMAT = 1
"""Of ``plan.json``; raised when the same plan would train otherwise."""

RATE = 2e-4
"""Peak learning rate of a fine-tuning: low, the starting weights are good already."""

SCRATCH = "scratch"
"""Starting point of a compact network with random weights."""


def training_plan(start: str, *, steps: int, seed: int, rate: float | None = None) -> TrainingPlan:
    """The plan of a training that begins with `start`: from scratch, or a fine-tuning."""
    if start != SCRATCH:
        return fine_tuning_plan(steps=steps, seed=seed, rate=rate)
    plan = TrainingPlan(steps=steps, seed=seed)
    return plan if rate is None else replace(plan, rate=rate)


def fine_tuning_plan(*, steps: int, seed: int, rate: float | None = None) -> TrainingPlan:
    """The plan of a fine-tuning: low rate, short warm-up, short memory of the average."""
    return TrainingPlan(
        steps=steps,
        rate=RATE if rate is None else rate,
        warmup_steps=20,
        average=0.98,
        seed=seed,
        save_every=50,
    )


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training gave.

    Parameters
    ----------
    card : mapping
        The model card; empty if interrupted.
    interrupted : bool
        A checkpoint was kept; the same request continues.
    """

    card: Mapping[str, Any]
    interrupted: bool = False


def fine_tune(
    request: TrainingRequest,
    *,
    scenes: Source | None = None,
    fresh: bool = False,
    must_resume: bool = False,
    say: Callable[[str], None],
    stop: AbstractContextManager[Callable[[], bool]] | None = None,
) -> Trained:
    """Fine-tune a model, measure it before and after, and write weights and model card.

    Parameters
    ----------
    request : TrainingRequest
    scenes : Source, optional
        Simulated scenes, for ``request.simulate`` above 0.
    fresh : bool
        Forget an earlier training of these weights.
    must_resume : bool
        Refuse to begin anew.
    say : callable
        Gets lines for the user.
    stop : context manager, optional
        Entered for the training itself; what it gives is asked after every step, and True
        ends the training with a checkpoint.

    Raises
    ------
    InputError
        Images, labels or an earlier training that do not fit.
    ModelError
        Weights that cannot be loaded.
    """
    if request.start != SCRATCH:
        check_model_name(request.start)
    if request.out.suffix.lower() != ".pt":
        raise InputError(f"--out {request.out}: weights end in .pt. Choose such a name.")
    items = labelled_images(request)
    start = _start_weights(request)
    claim_folder(request, plan_record(request, items, start), fresh=fresh, must_resume=must_resume)
    kept = [item for item in items if not item.held_out]
    say(f"{len(kept)} images to train on, {len(items) - len(kept)} held out for validation")
    images = [load_labelled(item, request) for item in kept]
    scratch = request.start == SCRATCH
    before = None if scratch else _validate(request, items, request.start, "before", say)
    began = time.monotonic()
    if not _trains_compact(request, start):
        sha256 = _train_cellpose(request, images, say)
    else:
        finished = _train_compact(request, images, start, scenes, say, stop)
        if finished is None:
            return Trained({}, interrupted=True)
        sha256 = finished
    seconds = time.monotonic() - began
    after = _validate(request, items, str(request.out), "after", say)
    card = _card(request, items, images, sha256) | {
        "seconds": round(seconds, 1),
        "validation": {"before": before, "after": after},
    }
    write_json(request.out.with_suffix(".json"), card)
    write_text(request.out.with_suffix(".md"), card_text(card, took=duration(seconds)))
    return Trained(card)


def _start_weights(request: TrainingRequest) -> Path | None:
    """The file to begin with; None for random weights and for a Cellpose model known by name."""
    if request.start in (SCRATCH, *CELLPOSE_NAMES):
        start = None
    else:
        start = embedded_weights() if request.start == EMBEDDED else Path(request.start)
        if start.resolve() == request.out.resolve():
            raise InputError(f"--out {request.out} would replace the weights it begins with.")
    if request.simulate and not _trains_compact(request, start):
        raise SettingsError("--simulate works with the compact network only. Leave it out.")
    return start


def _trains_compact(request: TrainingRequest, start: Path | None) -> bool:
    """Whether the compact network is trained, as opposed to one of Cellpose's."""
    return request.start == SCRATCH or (start is not None and is_compact(start))


def plan_record(
    request: TrainingRequest, items: Sequence[LabelledImage], start: Path | None
) -> dict[str, Any]:
    """All that decides what is learned; ready for JSON."""
    record = {
        "format": FORMAT,
        "start": request.start if start is None else file_sha256(start),
        "steps": request.plan.steps,
        "plan": asdict(request.plan),
        "channels": [request.marker, request.nucleus, request.autofluorescence],
        "diameter_px": request.diameter_px,
        "simulate": request.simulate,
        "images": {item.name: [*item.fingerprints, item.held_out] for item in items},
    }
    copy: dict[str, Any] = json.loads(json.dumps(record))
    return copy


def claim_folder(
    request: TrainingRequest, record: Mapping[str, Any], *, fresh: bool, must_resume: bool
) -> None:
    """Make sure that the checkpoint folder belongs to this plan, or begin a new one.

    Raises
    ------
    InputError
        If it belongs to another plan, holds other files, or is absent where it is needed;
        or the weights file is there already and not of this plan.
    """
    folder, out = request.folder, request.out
    known = read_json(folder / "plan.json")
    if known is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds files of something else. Choose another --out.")
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    elif known is not None and known != record:
        changed = sorted(key for key in record if known.get(key) != record[key])
        raise InputError(
            f"{folder} was begun with other {', '.join(changed)}. Give the same command to "
            "continue it, --fresh to forget it, or another --out."
        )
    elif known is None and must_resume:
        raise InputError(f"there is nothing to resume in {folder}. Leave out --resume.")
    elif known is None and out.exists():
        raise InputError(f"{out} is there already. Choose another --out, or --fresh to replace it.")
    write_json(folder / "plan.json", dict(record))


def _train_compact(
    request: TrainingRequest,
    images: Sequence[TrainingImage],
    start: Path | None,
    scenes: Source | None,
    say: Callable[[str], None],
    stop: AbstractContextManager[Callable[[], bool]] | None,
) -> str | None:
    """The sha256 of the weights written; None if it was told to stop before the end."""
    sources: list[tuple[float, Source]] = [(1.0, ImagePool(images))]
    if scenes is not None and request.simulate > 0.0:
        sources.append((request.simulate, scenes))
    net = random_net(request.plan.seed) if start is None else load_compact(start)
    with stop or nullcontext(lambda: False) as asked:
        watch = _Watch(request.plan.steps, say, asked)
        trained = train(
            net, sources, request.plan, folder=request.folder,
            device=resolve_device(request.device), on_step=watch,
        )  # fmt: skip
    if watch.stopped:
        return None
    notes = {
        "fociquant": __version__,
        "started_from": request.start if start is None else f"{request.start} {file_sha256(start)}",
        "images": str(len(images)),
        "steps": str(request.plan.steps),
    }
    say("Finding the steps for 8-bit computation.")
    reaches = calibrate(trained, sources, request.plan)
    return save_weights(trained, request.out, reaches=reaches, notes=notes)


def _train_cellpose(
    request: TrainingRequest, images: Sequence[TrainingImage], say: Callable[[str], None]
) -> str:
    from fociquant.segment.training.cellpose_models import DERIVED_LICENCE, fine_tune_cellpose

    say(DERIVED_LICENCE)
    say("A training of a Cellpose model cannot be interrupted and continued: it starts again.")
    return fine_tune_cellpose(
        request.start, images, out=request.out, folder=request.folder,
        device=resolve_device(request.device), steps=request.plan.steps, seed=request.plan.seed,
        say=say,
    )  # fmt: skip


class _Watch:
    """Says how training goes, and when it is to end."""

    EVERY_S = 5.0

    def __init__(self, steps: int, say: Callable[[str], None], stop: Callable[[], bool]) -> None:
        self._steps, self._say, self._stop = steps, say, stop
        self._began = self._last = time.monotonic()
        self._first: int | None = None
        self.stopped = False

    def __call__(self, step: int, losses: Mapping[str, float]) -> bool:
        if self._first is None:
            self._first = step - 1
            if self._first:
                self._say(f"continued after step {self._first}")
        now = time.monotonic()
        if now - self._last >= self.EVERY_S or step == self._steps:
            self._last = now
            rate = (step - self._first) / max(now - self._began, 1e-3)
            terms = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
            left = duration((self._steps - step) / rate)
            self._say(
                f"step {step}/{self._steps}  loss {sum(losses.values()):.3f} ({terms}), "
                f"{rate:.2f} steps/s, {left} left"
            )
        self.stopped = step < self._steps and self._stop()
        return self.stopped


def _validate(
    request: TrainingRequest,
    items: Sequence[LabelledImage],
    model: str,
    when: str,
    say: Callable[[str], None],
) -> dict[str, Any] | None:
    """Segment the images held out as ``fociquant segment`` would, and compare; None without any."""
    held_out = [item for item in items if item.held_out]
    if not held_out:
        return None
    segmenter = load_segmenter(model, device=request.device)
    settings = SegmentSettings(model=model)
    wanted = SegmentRequest(
        request.marker, request.nucleus, request.diameter_px, settings, request.autofluorescence
    )
    folder = request.folder / f"validation_{when}"
    folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    for item in held_out:
        target = folder / f"{item.name}.tif"
        segment_image(item.image, target, wanted, segmenter)
        pairs.append(LabelPair(item.name, target, item.labels))
    overall = dict(evaluate_labels(pairs).overall)
    mean = overall["image_mean"]
    say(
        f"validation {when} training: F1 {number(mean['f1_50'])} at IoU 0.5, "
        f"AP {number(mean['ap_mean_50_95'])} over 0.5–0.95, "
        f"{overall['pooled']['objects']} objects for {overall['pooled']['objects_true']}"
    )
    return overall


def _card(
    request: TrainingRequest,
    items: Sequence[LabelledImage],
    images: Sequence[TrainingImage],
    sha256: str,
) -> dict[str, Any]:
    cellpose = request.start in CELLPOSE_NAMES or (
        request.start not in (EMBEDDED, SCRATCH) and not is_compact(Path(request.start))
    )
    record = json.loads(json.dumps(asdict(request.plan)))
    return {
        "weights": request.out.name,
        "sha256": sha256,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "fociquant": __version__,
        "started_from": request.start,
        "licence": "non-commercial (CC-BY-NC), as that of the Cellpose weights"
        if cellpose
        else "that of the weights it began with; fociquant adds no condition",
        "channels": {
            "marker": request.marker,
            "nucleus": request.nucleus,
            "autofluorescence": request.autofluorescence,
        },
        "diameter_px": request.diameter_px,
        "training": {
            "images": [item.name for item in items if not item.held_out],
            "objects": int(sum(int(image.labels.max(initial=0)) for image in images)),
            "megapixels": round(sum(image.labels.size for image in images) / 1e6, 3),
        },
        "held_out": [item.name for item in items if item.held_out],
        "fingerprints": {item.name: list(item.fingerprints) for item in items},
        "simulated_weight": request.simulate,
        "plan": {"steps": request.plan.steps} if cellpose else record,
        "device": request.device,
    }
