"""Images with labels, paired, scaled and held out: what ``fociquant train`` learns from."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from fociquant.errors import InputError
from fociquant.io import SectionImage, open_image
from fociquant.model import Box
from fociquant.prepare import (
    TissueSquares,
    autofluorescence_slope,
    channel_scale,
    find_unmixing,
    pixel_noise,
    prepare_section,
    unmixed,
)
from fociquant.run.evaluation import label_files, read_labels
from fociquant.run.image_files import (
    IMAGE_ENDINGS,
    LABEL_ENDINGS,
    file_key,
    images_in,
    is_folder,
    plain_name,
)
from fociquant.run.network_input import NetworkInput, requested_roles
from fociquant.run.plan import read_roles
from fociquant.segment.late import NATIVE_DIAMETER_PX
from fociquant.segment.scaling import to_unit
from fociquant.segment.training import (
    TrainingImage,
    TrainingPlan,
    training_image,
)
from fociquant.settings import PrepareSettings
from fociquant.tiling import AnalysisGrid
from fociquant.units import PixelSize

VALIDATION_SHARE = 0.1
"""Part of the images that is held out, by a hash of their names."""

SLOPE_ERROR = 0.1
"""Standard deviation of the logarithm of a measured slope of autofluorescence."""

SHIFTED_SHARE = 0.3
"""Part of the scenes whose channels lie up to a pixel apart, as filters shift them."""

MAX_PIXELS = 2**26
"""Largest image that is trained on, px; 13 bytes each are kept in memory."""


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
    marker, nucleus, autofluorescence : str, int or None
        Channels; without a marker the first is used, the others are none by default.
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
    autofluorescence: str | int | None = None
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
        name = plain_name(image)
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
        if is_folder(path):
            found += [one for one in images_in(path) if not _is_label_name(one, request.labels)]
        else:
            found.append(path)
    if not found:
        raise InputError(
            f"no image in {request.images[0]}. Images end in .tif, .tiff, .zarr or .png."
        )
    return found


def _is_label_name(path: Path, suffix: str) -> bool:
    return plain_name(path).lower().endswith((*LABEL_ENDINGS, suffix.lower()))


def _beside(image: Path, suffix: str) -> Path | None:
    names = [image.with_name(f"{plain_name(image)}{suffix}{ending}") for ending in IMAGE_ENDINGS]
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
    roles = requested_roles(
        image, marker=request.marker, nucleus=request.nucleus,
        autofluorescence=request.autofluorescence,
    )  # fmt: skip
    size = image.pixel_size or PixelSize.square(0.5)
    facts = prepare_section(image, roles, size, PrepareSettings(correct_shading=False)).facts
    grid, whole = AnalysisGrid(image.shape[1:], 1.0, 1.0), Box.of_shape(image.shape[1:])
    seen = NetworkInput(
        lambda box, wanted: read_roles(image, grid, roles, box, wanted),
        whole, facts.stats, facts.unmixing,
    )  # fmt: skip
    planes = np.zeros((2, *image.shape[1:]), np.float32)
    for index, (plane, scale) in enumerate(zip(seen(whole), seen.scales, strict=True)):
        if scale is not None:
            planes[index] = to_unit(plane, *scale)
    return planes


def scene_planes(
    channels: Mapping[str, np.ndarray], rng: np.random.Generator, *, unmix: float
) -> np.ndarray:
    """A simulated scene scaled as a run would scale it.

    Parameters
    ----------
    channels : mapping of str to numpy.ndarray, shape (h, w)
        Raw counts of ``marker``, ``autofluorescence`` and perhaps ``nucleus``.
    rng : numpy.random.Generator
    unmix : float
        Probability that autofluorescence is taken off the marker, as where there is a channel of
        it; the slope is then as wrong as a measured one may be (:data:`SLOPE_ERROR`).

    Returns
    -------
    numpy.ndarray of float32, shape (2, h, w)
        Zeros without nuclei.
    """
    marker, light = channels["marker"], channels["autofluorescence"]
    if rng.random() < unmix:
        everywhere = [np.ones(marker.shape, bool)]
        slope = autofluorescence_slope(TissueSquares.of([marker], [light], everywhere))
        slope *= float(np.exp(rng.normal(0.0, SLOPE_ERROR)))
        if rng.random() < SHIFTED_SHARE:
            light = ndimage.shift(light, rng.uniform(-1.0, 1.0, 2), order=1, mode="nearest")
        floor, ground = (_scale(plane)[0] for plane in (marker, light))
        how = find_unmixing([marker], [light], slope=slope, ground=ground, floor=floor)
        planes = [to_unit(unmixed(marker, light, how), how.low, how.high)]
    else:
        planes = [to_unit(marker, *_scale(marker))]
    nuclei = channels.get("nucleus")
    planes.append(np.zeros_like(planes[0]) if nuclei is None else to_unit(nuclei, *_scale(nuclei)))
    return np.stack(planes)


def _scale(raw: np.ndarray) -> tuple[float, float]:
    return channel_scale(raw, noise=pixel_noise(raw))
