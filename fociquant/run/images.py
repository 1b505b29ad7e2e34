"""Single images to label images: ``fociquant segment``."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from fociquant.atomic import cannot_write
from fociquant.errors import ImageError, InputError
from fociquant.io import open_image, write_labels
from fociquant.io.registry import VENDOR_FORMATS
from fociquant.prepare import prepare_section
from fociquant.run.image_files import images_in, is_folder, is_picture, is_result, without_pictures
from fociquant.run.network_input import requested_roles
from fociquant.run.scene import Scene
from fociquant.segment.contract import Segmenter
from fociquant.settings import PrepareSettings, SegmentSettings
from fociquant.store import PaintedLabels
from fociquant.units import PixelSize

OTHER_SUFFIXES = (".jpg", ".jpeg", ".bmp", ".gif", *VENDOR_FORMATS)
"""Images all the same, of formats that are not read."""

ENDINGS = ".tif, .tiff, .zarr, .png"
"""What is taken from a folder, for messages; others see :data:`IMAGE_ENDINGS`."""

CONVERT = "Convert them to TIFF, for example with Fiji (Process > Batch > Convert)."
"""What helps with these."""

LISTEN_S = 0.1
"""How often Ctrl-C is listened for, s: on Windows no wait without a time limit hears it."""


@dataclass(frozen=True, slots=True)
class SegmentRequest:
    """What the user wants of every image.

    Parameters
    ----------
    marker : str, int or None
        Channel of the objects; None: the first.
    nucleus : str, int or None
        Channel of the nuclei, or none.
    diameter_px : float or None
        Typical diameter in pixels of the image; None: from the pixel size, else estimated.
    settings : SegmentSettings
    autofluorescence : str, int or None
        Unstained channel; what it explains is taken off the objects' channel.
    """

    marker: str | int | None
    nucleus: str | int | None
    diameter_px: float | None
    settings: SegmentSettings
    autofluorescence: str | int | None = None


@dataclass(frozen=True, slots=True)
class Segmented:
    """One image done.

    Parameters
    ----------
    image, labels : pathlib.Path
        Input and output.
    objects : int
    diameter_px : float
        That was used, in pixels of the image.
    marker : str
        Channel of the objects.
    channels : tuple of str
        All that the image has.
    """

    image: Path
    labels: Path
    objects: int
    diameter_px: float
    marker: str
    channels: tuple[str, ...]


def collect_images(paths: Sequence[Path]) -> list[Path]:
    """Images of the arguments; folders give their images, sorted by name.

    Raises
    ------
    InputError
        If a path does not exist, or there is no image at all.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist. Check the path.")
        found += _images(path) if is_folder(path) else [path]
    if not found:
        others = pictures_left_out(paths)
        there = f", but {len(others)} such as {others[0].name}" if others else ""
        cure = f" {CONVERT}" if others else ""
        raise InputError(f"no image in {paths[0]} that ends in {ENDINGS}{there}.{cure}")
    return found


def pictures_left_out(paths: Sequence[Path]) -> list[Path]:
    """Images in the folders of the arguments whose format is not read, sorted by name."""
    return [
        path for folder in filter(is_folder, paths) for path in sorted(folder.iterdir())
        if path.suffix.lower() in OTHER_SUFFIXES
    ]  # fmt: skip


def previews_left_out(paths: Sequence[Path]) -> list[Path]:
    """Readable pictures in these folders that are taken for previews of other files."""
    return [
        path for folder in filter(is_folder, paths)
        for path in sorted(set(filter(is_picture, folder.iterdir())) - set(_images(folder)))
        if not is_result(path) and not path.name.startswith(".")
    ]  # fmt: skip


def _images(folder: Path) -> list[Path]:
    """Images of a folder without labels, results of an earlier call; pictures if these are all."""
    files = [path for path in images_in(folder) if not is_result(path)]
    return without_pictures(files) or files


def output_paths(images: Sequence[Path], out: Path) -> list[Path]:
    """Where each image's labels go: `out` itself if it is one TIFF, else its name in that folder.

    Raises
    ------
    InputError
        If one file is named for several images, two images have one name, or a label image
        would replace its own image.
    """
    if out.suffix.lower() in (".tif", ".tiff") and not out.is_dir():
        if len(images) > 1:
            raise InputError(f"--out {out} is one file for {len(images)} images. Name a folder.")
        targets = [out]
    else:
        targets = [out / f"{_stem(image)}.tif" for image in images]
    if len({str(target).casefold() for target in targets}) < len(targets):
        raise InputError("two images have the same name. Segment their folders one at a time.")
    for image, target in zip(images, targets, strict=True):
        if target.resolve() == image.resolve():
            raise InputError(f"{target} would replace its own image. Choose another --out.")
    return targets


def _stem(path: Path) -> str:
    for ending in (".ome.tiff", ".ome.tif", ".ome.zarr"):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def segment_images(
    paths: Sequence[Path],
    targets: Sequence[Path],
    request: SegmentRequest,
    segmenter: Segmenter,
    *,
    threads: int = 0,
) -> Iterator[Segmented | ImageError]:
    """Segment several images, as many at once as there are threads.

    Parameters
    ----------
    paths, targets : sequence of pathlib.Path
        Images, and the label TIFF to write for each.
    request : SegmentRequest
    segmenter : Segmenter
    threads : int
        0: one per core.

    Yields
    ------
    Segmented or ImageError
        In the order of `paths`: the image is done, or cannot be used.

    Raises
    ------
    DiskError
        If labels cannot be written; images not begun are left.
    """
    cores = threads or os.cpu_count() or 1
    at_once = max(1, min(cores, len(paths)))
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise CancelledError

    def one(path: Path, target: Path) -> Segmented | ImageError:
        try:
            return segment_image(
                path, target, request, segmenter, threads=cores // at_once, check=check
            )
        except ImageError as error:
            return error

    with ThreadPoolExecutor(at_once) as pool:
        try:
            for job in [pool.submit(one, *pair) for pair in zip(paths, targets, strict=True)]:
                while not wait([job], LISTEN_S).done:
                    pass
                yield job.result()
        finally:  # interrupted, or the disk is full: what has begun ends soon
            stop.set()
            pool.shutdown(cancel_futures=True)


def segment_image(
    path: Path,
    target: Path,
    request: SegmentRequest,
    segmenter: Segmenter,
    *,
    threads: int = 0,
    check: Callable[[], None] = lambda: None,
) -> Segmented:
    """Segment one image of any size and write its label image.

    Parameters
    ----------
    path, target : pathlib.Path
        Image, and label TIFF to write.
    request : SegmentRequest
    segmenter : Segmenter
    threads : int
        0: one per core.
    check : callable, optional
        Called before every piece of work; raises to end it soon.

    Raises
    ------
    ImageError
        If the image cannot be used.
    """
    with open_image(path) as image:
        roles = requested_roles(
            image, marker=request.marker, nucleus=request.nucleus,
            autofluorescence=request.autofluorescence,
        )  # fmt: skip
        pixel_size = image.pixel_size
        facts = prepare_section(
            image,
            roles,
            pixel_size or PixelSize.square(0.5),
            PrepareSettings(correct_shading=False),
        ).facts
        cores = threads or os.cpu_count() or 1
        scene = Scene(
            image, roles, facts.stats, facts.unmixing, request.settings, segmenter, cores, check
        )
        diameter = request.diameter_px or _known_diameter(pixel_size, request.settings)
        if diameter is None:
            diameter, objects, grid = scene.estimate()
        else:
            grid = scene.grid(diameter)
            objects = scene.objects(grid)
        painted = PaintedLabels(objects, scene.lattice(grid), grid)
        _write(target, painted, pixel_size, len(objects))
        names = tuple(image.channel_names)
    return Segmented(path, target, len(objects), diameter, names[roles["marker"]], names)


def _write(
    target: Path, painted: PaintedLabels, pixel_size: PixelSize | None, objects: int
) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_labels(target, painted, pixel_size=pixel_size, max_label=objects)
    except OSError as error:
        raise cannot_write(target, error, cure="Choose another --out.") from error


def _known_diameter(pixel_size: PixelSize | None, settings: SegmentSettings) -> float | None:
    return None if pixel_size is None else settings.diameter_um / pixel_size.mean
