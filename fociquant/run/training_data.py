"""From images with labels to fine-tuned weights: ``fociquant train``."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fociquant import __version__
from fociquant.errors import InputError, SettingsError
from fociquant.io import SectionImage, open_image
from fociquant.model import Box
from fociquant.prepare import prepare_section
from fociquant.run.evaluation import (
    IMAGE_ENDINGS,
    LABEL_ENDINGS,
    LabelPair,
    evaluate_labels,
    file_key,
    is_image_file,
    label_files,
    read_labels,
)
from fociquant.run.images import SegmentRequest, segment_image
from fociquant.run.progress import duration
from fociquant.segment import check_model_name, load_segmenter
from fociquant.segment.compact import (
    NATIVE_DIAMETER_PX,
    embedded_weights,
    file_sha256,
    is_compact,
    load_compact,
    save_weights,
)
from fociquant.segment.devices import resolve_device
from fociquant.segment.registry import CELLPOSE_NAMES, EMBEDDED
from fociquant.segment.scaling import to_unit
from fociquant.segment.training import (
    ImagePool,
    Source,
    TrainingImage,
    TrainingPlan,
    train,
    training_image,
)
from fociquant.segment.training.card import card_text, number
from fociquant.settings import PrepareSettings, SegmentSettings
from fociquant.store import read_json, write_json
from fociquant.store.atomic import write_text
from fociquant.units import PixelSize

VALIDATION_SHARE = 0.1
"""Part of the images that is held out, by a hash of their names."""

MAX_PIXELS = 2**26
"""Largest image that is trained on, px; 13 bytes each are kept in memory."""

FORMAT = 1
"""Of ``plan.json``; raised when the same plan would train otherwise."""

RATE = 2e-4
"""Peak learning rate of a fine-tuning: low, the starting weights are good already."""


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
class TrainingRequest:
    """What the user wants.

    Parameters
    ----------
    images : tuple of pathlib.Path
        Files or folders.
    labels : str
        A folder of label images, or what a label file's name has after the image's
        (``_masks`` for ``a_masks.tif`` beside ``a.tif``).
    out : pathlib.Path
        Weights to write.
    start : str
        Model to begin with: ``compact``, a Cellpose model, or a weights file.
    plan : TrainingPlan
    marker, nucleus : str, int or None
        Channels; without a marker the first is used, without a nucleus none.
    diameter_px : float or None
        Typical diameter in pixels of the images; None: as ``fociquant segment`` finds it.
    validation : str or None
        Pattern (``mouse3_*``) of the images to hold out; None: one in ten by name.
    simulate : float
        Weight of simulated scenes beside the images' 1.
    device : str
    """

    images: tuple[Path, ...]
    labels: str
    out: Path
    start: str
    plan: TrainingPlan
    marker: str | int | None = None
    nucleus: str | int | None = None
    diameter_px: float | None = None
    validation: str | None = None
    simulate: float = 0.0
    device: str = "auto"

    @property
    def folder(self) -> Path:
        """Checkpoints and validation labels, beside the weights."""
        return self.out.with_name(f"{self.out.name}.training")


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image file and its label file.

    Parameters
    ----------
    name : str
    image, labels : pathlib.Path
    fingerprints : (str, str)
        Of the two files.
    held_out : bool
        For validation only; never trained on.
    """

    name: str
    image: Path
    labels: Path
    fingerprints: tuple[str, str]
    held_out: bool


def labelled_images(request: TrainingRequest) -> list[LabelledImage]:
    """Find images and labels, check that they fit, and hold some out.

    Raises
    ------
    InputError
        An image without labels, two images of one name, sizes that differ, nothing left
        to train on; all files are listed.
    ImageError
        If a file cannot be opened.
    """
    pairs = _pairs(request)
    opened = {name: _fingerprints(*paths) for name, paths in pairs.items()}
    wrong = [text for text in (value for value in opened.values()) if isinstance(text, str)]
    if wrong:
        raise InputError("labels do not fit their images:\n  " + "\n  ".join(wrong))
    prints = {name: value for name, value in opened.items() if not isinstance(value, str)}
    held_out = hold_out({name: value[0] for name, value in prints.items()}, request.validation)
    if len(held_out) == len(pairs):
        raise InputError(
            f"--validation {request.validation!r} holds out every image; none is left to train on."
        )
    return [
        LabelledImage(name, image, labels, prints[name], name in held_out)
        for name, (image, labels) in sorted(pairs.items())
    ]


def hold_out(fingerprints: Mapping[str, str], pattern: str | None) -> set[str]:
    """Names of the images that are not trained on.

    Without a pattern the name alone decides, so that an image keeps its side when others
    are added; where that holds out none or all of at least two, the image whose hash is
    nearest changes its side. Copies of one image (the same fingerprint) stay together.

    Parameters
    ----------
    fingerprints : mapping of str to str
        Name to fingerprint.
    pattern : str or None
        As in a shell: ``mouse3_*``.

    Raises
    ------
    InputError
        If the pattern fits no image.
    """
    if pattern is not None:
        chosen = set(fnmatch.filter(fingerprints, pattern))
        if not chosen:
            raise InputError(f"--validation {pattern!r} fits no image. Check the pattern.")
    else:
        chosen = _by_hash(fingerprints)
    copies = {fingerprints[name] for name in chosen}
    return {name for name, value in fingerprints.items() if value in copies}


def _by_hash(fingerprints: Mapping[str, str]) -> set[str]:
    first: dict[str, str] = {}
    for name in sorted(fingerprints):
        first.setdefault(fingerprints[name], name)
    order = sorted((_share(name), name) for name in first.values())
    chosen = [name for share, name in order if share < VALIDATION_SHARE]
    if len(order) < 2:
        return set()
    return set(chosen[: len(order) - 1] or [order[0][1]])


def _share(name: str) -> float:
    """A number in [0, 1) from a name, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2.0**64


def _pairs(request: TrainingRequest) -> dict[str, tuple[Path, Path]]:
    folder = Path(request.labels)
    files = label_files(folder) if folder.is_dir() else None
    pairs: dict[str, tuple[Path, Path]] = {}
    missing, twice = [], []
    for image in _image_files(request):
        name = _plain_name(image)
        labels = _beside(image, request.labels) if files is None else files.get(file_key(image))
        if labels is None or labels.resolve() == image.resolve():
            missing.append(str(image))
        elif name in pairs:
            twice.append(str(image))
        else:
            pairs[name] = (image, labels)
    if missing:
        where = f"in {folder}" if files is not None else f"ending in {request.labels!r} beside it"
        raise InputError(f"no labels {where} for:\n  " + "\n  ".join(missing))
    if twice:
        raise InputError("another image has the same name:\n  " + "\n  ".join(twice))
    return pairs


def _image_files(request: TrainingRequest) -> list[Path]:
    found: list[Path] = []
    for path in request.images:
        if not path.exists():
            raise InputError(f"{path} does not exist. Check the path.")
        is_folder = path.is_dir() and path.suffix.lower() != ".zarr"
        inside = sorted(filter(is_image_file, path.iterdir())) if is_folder else [path]
        found += [p for p in inside if not is_folder or not _is_label_name(p, request.labels)]
    if not found:
        raise InputError(f"no image in {request.images[0]}. Images end in .tif, .tiff or .zarr.")
    return found


def _is_label_name(path: Path, suffix: str) -> bool:
    return _plain_name(path).lower().endswith((*LABEL_ENDINGS, suffix.lower()))


def _plain_name(path: Path) -> str:
    """File name without its format ending."""
    for ending in IMAGE_ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def _beside(image: Path, suffix: str) -> Path | None:
    names = [image.with_name(f"{_plain_name(image)}{suffix}{ending}") for ending in IMAGE_ENDINGS]
    return next((path for path in names if path.exists()), None)


def _fingerprints(image: Path, labels: Path) -> tuple[str, str] | str:
    """Of both files; or what is wrong with their shapes."""
    with open_image(image) as left, open_image(labels) as right:
        if left.shape[1:] != right.shape[1:]:
            sizes = [f"{one.shape[1]} × {one.shape[2]} px" for one in (left, right)]
            return f"{image} is {sizes[0]}, {labels} is {sizes[1]}"
        if left.shape[1] * left.shape[2] > MAX_PIXELS:
            return f"{image} has more than {MAX_PIXELS / 1e6:.0f} megapixels; crop labelled parts"
        return left.fingerprint, right.fingerprint


def load_labelled(item: LabelledImage, request: TrainingRequest) -> TrainingImage:
    """One image scaled as a run would scale it, with its flow targets.

    Negative labels are parts that nobody looked at; they do not count in the loss.

    Raises
    ------
    ImageError
        If a file cannot be read, or a channel is not there.
    """
    with open_image(item.image) as image:
        planes = _planes(image, request)
    raw = read_labels(item.labels)
    names, index = np.unique(np.maximum(raw, 0), return_inverse=True)
    labels = index.reshape(raw.shape) + (0 if names.size and names[0] == 0 else 1)
    return training_image(
        planes,
        labels,
        ignore=raw < 0,
        diameter_px=request.diameter_px or NATIVE_DIAMETER_PX,
    )


def _planes(image: SectionImage, request: TrainingRequest) -> np.ndarray:
    roles = {"marker": 0 if request.marker is None else image.channel_index(request.marker)}
    if request.nucleus is not None:
        roles["nucleus"] = image.channel_index(request.nucleus)
    size = image.pixel_size or PixelSize.square(0.5)
    stats = prepare_section(image, roles, size, PrepareSettings()).facts.stats
    pixels = image.read(Box.of_shape(image.shape[1:]), list(roles.values()))
    planes = np.zeros((2, *image.shape[1:]), np.float32)
    for index, (role, plane) in enumerate(zip(roles, pixels, strict=True)):
        planes[index] = to_unit(plane, stats[role].low, stats[role].high)
    return planes


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
    check_model_name(request.start)
    if request.out.suffix.lower() != ".pt":
        raise InputError(f"--out {request.out}: weights end in .pt. Choose such a name.")
    items = labelled_images(request)
    start = _start_weights(request)
    claim_folder(request, plan_record(request, items, start), fresh=fresh, must_resume=must_resume)
    kept = [item for item in items if not item.held_out]
    say(f"{len(kept)} images to train on, {len(items) - len(kept)} held out for validation")
    images = [load_labelled(item, request) for item in kept]
    before = _validate(request, items, request.start, "before", say)
    began = time.monotonic()
    if start is None or not is_compact(start):
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
    """The file to begin with; None for a Cellpose model that is known by name."""
    if request.start in CELLPOSE_NAMES:
        start = None
    else:
        start = embedded_weights() if request.start == EMBEDDED else Path(request.start)
        if start.resolve() == request.out.resolve():
            raise InputError(f"--out {request.out} would replace the weights it begins with.")
    compact = start is not None and is_compact(start)
    if request.simulate and not compact:
        raise SettingsError("--simulate works with the compact network only. Leave it out.")
    return start


def plan_record(
    request: TrainingRequest, items: Sequence[LabelledImage], start: Path | None
) -> dict[str, Any]:
    """All that decides what is learned; ready for JSON."""
    record = {
        "format": FORMAT,
        "start": request.start if start is None else file_sha256(start),
        "steps": request.plan.steps,
        "plan": asdict(request.plan),
        "channels": [request.marker, request.nucleus],
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
    start: Path,
    scenes: Source | None,
    say: Callable[[str], None],
    stop: AbstractContextManager[Callable[[], bool]] | None,
) -> str | None:
    """The sha256 of the weights written; None if it was told to stop before the end."""
    sources: list[tuple[float, Source]] = [(1.0, ImagePool(images))]
    if scenes is not None and request.simulate > 0.0:
        sources.append((request.simulate, scenes))
    with stop or nullcontext(lambda: False) as asked:
        watch = _Watch(request.plan.steps, say, asked)
        net = train(
            load_compact(start), sources, request.plan, folder=request.folder,
            device=resolve_device(request.device), on_step=watch,
        )  # fmt: skip
    if watch.stopped:
        return None
    notes = {
        "fociquant": __version__,
        "started_from": f"{request.start} {file_sha256(start)}",
        "images": str(len(images)),
        "steps": str(request.plan.steps),
    }
    return save_weights(net, request.out, notes=notes)


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
    wanted = SegmentRequest(request.marker, request.nucleus, request.diameter_px, settings)
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
        request.start != EMBEDDED and not is_compact(Path(request.start))
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
        "channels": {"marker": request.marker, "nucleus": request.nucleus},
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
