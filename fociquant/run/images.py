"""Single images to label images: ``fociquant segment``."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fociquant.errors import DiskError, ImageError, InputError
from fociquant.io import SectionImage, open_image, write_labels
from fociquant.model import Box, ChannelStats
from fociquant.prepare import prepare_section
from fociquant.run.merging import merge
from fociquant.run.plan import lattice_for
from fociquant.segment.contract import Segmenter
from fociquant.segment.objects import decode_cell
from fociquant.segment.windows import FlowField, Scale, WindowCache
from fociquant.settings import PrepareSettings, SegmentSettings
from fociquant.store import PaintedLabels
from fociquant.store.labels import mask_columns
from fociquant.tiling import AnalysisGrid, Lattice
from fociquant.tiling.lattice import Index
from fociquant.units import PixelSize, equivalent_diameter

SUFFIXES = (".tif", ".tiff", ".zarr")
"""What is taken from a folder."""

LABEL_ENDINGS = ("_labels", "_masks", "_label", "_mask")
"""Files of a folder whose stem ends so are results, not images."""

SMALLEST_SHARE = 0.03
"""Objects below this share of a typical object's area are noise."""

NATIVE_BAND = (0.67, 1.8)
"""Objects within these factors of the network's diameter are segmented at the image's own
resolution: sharper outlines, at some cost in time (on 20 BBBC039 fields of 28-px nuclei mean AP
0.771 instead of 0.752). Smaller ones are enlarged (56 held-out DSB2018 images: AP at IoU 0.5
0.813 instead of 0.799)."""

ESTIMATE_STEPS = (1.0, 2.0, 0.5)
"""Scales at which objects are looked for when the diameter is unknown, image px per network px."""

CACHE_BYTES = 128 * 2**20


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
    """

    marker: str | int | None
    nucleus: str | int | None
    diameter_px: float | None
    settings: SegmentSettings


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
    """

    image: Path
    labels: Path
    objects: int
    diameter_px: float


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
        is_folder = path.is_dir() and path.suffix != ".zarr"
        found += sorted(filter(_is_image, path.iterdir())) if is_folder else [path]
    if not found:
        raise InputError(f"no image in {paths[0]}. Images end in {', '.join(SUFFIXES)}.")
    return found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.stem.lower().endswith(LABEL_ENDINGS)


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
            yield from pool.map(one, paths, targets)
        finally:  # interrupted, or the disk is full: what has begun ends soon
            stop.set()


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
        roles = _roles(image, request)
        pixel_size = image.pixel_size
        stats = prepare_section(
            image, roles, pixel_size or PixelSize.square(0.5), PrepareSettings()
        ).facts.stats
        cores = threads or os.cpu_count() or 1
        scene = _Scene(image, roles, stats, request.settings, segmenter, cores, check)
        diameter = request.diameter_px or _known_diameter(pixel_size, request.settings)
        if diameter is None:
            diameter, objects, grid = scene.estimate()
        else:
            grid = scene.grid(diameter)
            objects = scene.objects(grid)
        painted = PaintedLabels(objects, scene.lattice(grid), grid)
        _write(target, painted, pixel_size, len(objects))
    return Segmented(path, target, len(objects), diameter)


def _write(
    target: Path, painted: PaintedLabels, pixel_size: PixelSize | None, objects: int
) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_labels(target, painted, pixel_size=pixel_size, max_label=objects)
    except OSError as error:
        raise DiskError(
            f"{target} cannot be written: {error.strerror or error}. Choose another --out."
        ) from error


def _roles(image: SectionImage, request: SegmentRequest) -> dict[str, int]:
    roles = {"marker": 0 if request.marker is None else image.channel_index(request.marker)}
    if request.nucleus is not None:
        roles["nucleus"] = image.channel_index(request.nucleus)
    return roles


def _known_diameter(pixel_size: PixelSize | None, settings: SegmentSettings) -> float | None:
    return None if pixel_size is None else settings.diameter_um / pixel_size.mean


@dataclass(frozen=True, slots=True)
class _Scene:
    """One open image and how to find objects in it at any scale."""

    image: SectionImage
    roles: Mapping[str, int]
    stats: Mapping[str, ChannelStats]
    settings: SegmentSettings
    segmenter: Segmenter
    threads: int
    check: Callable[[], None]

    def grid(self, diameter_px: float) -> AnalysisGrid:
        return AnalysisGrid.for_diameter(
            self.image.shape[1:],
            diameter_px=(diameter_px, diameter_px),
            wanted_px=self.segmenter.info.diameter_px,
            native_band=NATIVE_BAND,
        )

    def lattice(self, grid: AnalysisGrid) -> Lattice:
        return lattice_for(grid, self.segmenter.info)

    def objects(self, grid: AnalysisGrid) -> pd.DataFrame:
        """Masks of all objects, numbered in ``cell``."""
        lattice = self.lattice(grid)
        field = FlowField(
            self.image.path.name, self._reader(grid), lattice, self._scales(), self.segmenter,
            WindowCache(CACHE_BYTES), check=self.check,
        )  # fmt: skip
        smallest = round(SMALLEST_SHARE * np.pi / 4.0 * self.segmenter.info.diameter_px**2)
        cells = [cell for block in lattice.blocks(1) for cell in block.cells]
        find: Callable[[Index], pd.DataFrame] = lambda cell: _masks(  # noqa: E731
            field, lattice, cell, self.settings, smallest
        )
        with ThreadPoolExecutor(min(self.threads, len(cells))) as pool:
            return merge(list(pool.map(find, cells)), lattice)

    def estimate(self) -> tuple[float, pd.DataFrame, AnalysisGrid]:
        """Diameter from the objects themselves: the scale at which most area is found, refined."""
        native = self.segmenter.info.diameter_px
        best: tuple[float, pd.DataFrame, AnalysisGrid] | None = None
        for step in ESTIMATE_STEPS:
            grid = AnalysisGrid(self.image.shape[1:], step, step)
            objects = self.objects(grid)
            if len(objects):
                found = _typical_diameter(objects) * step
                best = (found, objects, grid)
                break
        if best is None:
            grid = AnalysisGrid(self.image.shape[1:], 1.0, 1.0)
            return native, objects.iloc[:0], grid
        diameter, objects, grid = best
        better = self.grid(diameter)
        if better != grid:
            objects = self.objects(better)
        return diameter, objects, better

    def _reader(self, grid: AnalysisGrid) -> Callable[[Box], np.ndarray]:
        channels = list(self.roles.values())

        def read(box: Box, /) -> np.ndarray:
            source = grid.source_box(box)
            planes = grid.resample(self.image.read(source, channels), source, box)
            return planes if len(planes) == 2 else np.pad(planes, ((0, 1), (0, 0), (0, 0)))

        return read

    def _scales(self) -> list[Scale | None]:
        known = [self.stats.get(role) for role in ("marker", "nucleus")]
        return [None if stats is None else (stats.low, stats.high) for stats in known]


def _typical_diameter(objects: pd.DataFrame) -> float:
    """Median equivalent diameter, px of the analysis grid."""
    return equivalent_diameter(float(np.median([_area(bits) for bits in objects["mask_bits"]])))


def _area(bits: bytes) -> int:
    return int(np.unpackbits(np.frombuffer(bits, np.uint8)).sum())


def _masks(
    field: FlowField, lattice: Lattice, cell: Index, settings: SegmentSettings, smallest: int
) -> pd.DataFrame:
    """The reported objects of one decode cell as masks, without measurements."""
    decoded = decode_cell(field, lattice, cell, settings=settings, min_area_px=smallest)
    rows = mask_columns(decoded.labels, decoded.reported, (decoded.region.y0, decoded.region.x0))
    rows["decode_cell"] = np.full(len(decoded.reported), lattice.cell_number(cell), np.int64)
    rows["label"] = decoded.reported.astype(np.int32)
    return pd.DataFrame(rows)
