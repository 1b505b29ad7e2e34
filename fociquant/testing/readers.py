"""The conformance suite of image readers.

A reader is a function from a path to a :class:`~fociquant.io.SectionImage`. Whoever writes one
for a new format makes a few small files with known pixels, among them one whose sides are no
multiple of its tiles, and calls::

    from fociquant.testing.readers import ExpectedImage, check_reader, check_refuses

    check_reader(open_mine, path, ExpectedImage((pixels,), ("HER2", "DAPI"), PixelSize.square(0.5)))
    check_refuses(open_mine, truncated_path, CorruptImageError)

Both raise :class:`ConformanceError` with everything that is wrong.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fociquant.errors import ChannelError, ImageError, PixelSizeError
from fociquant.io.section import SectionImage
from fociquant.model import Box
from fociquant.units import PixelSize

OpenFunction = Callable[[Path], SectionImage]
"""What is tested: a path becomes a section image, or an ImageError."""

THREADS = 4
"""Threads that read the same boxes at once."""


class ConformanceError(AssertionError):
    """A reader does not keep its contract; the message lists what is wrong."""


@dataclass(frozen=True, eq=False)
class ExpectedImage:
    """What a file is known to hold.

    Parameters
    ----------
    levels : tuple of numpy.ndarray, shape (C, Y, X) each
        True pixels of every level, finest first, in the file's dtype.
    channel_names : tuple of str
        As the reader must report them.
    pixel_size : PixelSize or None
        Of level 0; None if the file does not say.
    """

    levels: tuple[np.ndarray, ...]
    channel_names: tuple[str, ...]
    pixel_size: PixelSize | None = None


def check_reader(
    open_fn: OpenFunction,
    path: Path,
    expected: ExpectedImage,
    *,
    parts: Sequence[Path] = (),
    boxes: int = 12,
    seed: int = 0,
) -> None:
    """Check everything that rooms rely on, for one file.

    Parameters
    ----------
    open_fn : callable
        The reader.
    path : Path
        The file or folder.
    expected : ExpectedImage
        Its truth.
    parts : sequence of Path
        Further files of the same folder that belong to the image.
    boxes : int
        Random boxes read per level, besides the corners and the whole.
    seed : int
        Of the boxes.

    Raises
    ------
    ConformanceError
        Names every check that failed.
    """
    found = list(_metadata_faults(open_fn, path, expected))
    if not found:
        found += _pixel_faults(open_fn, path, expected, boxes, np.random.default_rng(seed))
        found += _channel_faults(open_fn, path, expected)
        found += _copy_faults(open_fn, path, parts)
        found += _closing_faults(open_fn, path)
    if found:
        raise ConformanceError(f"{path.name}:\n" + "\n".join(f"- {fault}" for fault in found))


def check_refuses(
    open_fn: OpenFunction, path: Path, error: type[ImageError] = ImageError, *, words: str = ""
) -> str:
    """Check that a bad file is refused, at opening or at the first read of all its pixels.

    Parameters
    ----------
    open_fn : callable
        The reader.
    path : Path
        The bad file.
    error : type
        The error that must be raised.
    words : str
        Must occur in the message.

    Returns
    -------
    str
        The message.

    Raises
    ------
    ConformanceError
        Nothing, or something else, was raised; or the message lacks the file or the cure.
    """
    try:
        with open_fn(path) as image:
            for level, (_, height, width) in enumerate(item.shape for item in image.pyramid):
                image.read(Box(0, 0, height, width), range(image.shape[0]), level)
    except error as raised:
        message = str(raised)
    else:
        raise ConformanceError(f"{path.name}: was opened and read, instead of {error.__name__}.")
    if path.name not in message or words not in message or message.count(". ") < 1:
        raise ConformanceError(
            f"{path.name}: the message must name the file, say {words!r} and give a cure: {message}"
        )
    return message


def _metadata_faults(open_fn: OpenFunction, path: Path, expected: ExpectedImage) -> Iterator[str]:
    with open_fn(path) as image:
        shapes = tuple(level.shape for level in expected.levels)
        pairs = {
            "shape": (image.shape, shapes[0]),
            "dtype": (image.dtype, expected.levels[0].dtype.newbyteorder("=")),
            "channel_names": (image.channel_names, expected.channel_names),
            "shapes of the levels": (tuple(level.shape for level in image.levels), shapes),
            "dtypes of the levels": ({level.dtype for level in image.levels}, {image.dtype}),
        }
        for what, (got, wanted) in pairs.items():
            if got != wanted:
                yield f"{what} is {got}, not {wanted}"
        yield from _size_faults(image, expected.pixel_size)


def _size_faults(image: SectionImage, wanted: PixelSize | None) -> Iterator[str]:
    if (image.pixel_size is None) != (wanted is None):
        yield f"pixel_size is {image.pixel_size}, not {wanted}"
        return
    if image.pixel_size is None or wanted is None:
        try:
            image.level_pixel_size(0)
        except PixelSizeError:
            pass
        else:
            yield "level_pixel_size invents a pixel size"
    elif not np.allclose((image.pixel_size.y, image.pixel_size.x), (wanted.y, wanted.x), rtol=1e-4):
        yield f"pixel_size is {image.pixel_size}, not {wanted}"
    base = PixelSize(0.5, 0.25)
    for number, level in enumerate(image.levels):
        size = image.level_pixel_size(number, base)
        spans = size.y / base.y * level.shape[1], size.x / base.x * level.shape[2]
        slack = size.y / base.y, size.x / base.x
        off = [abs(spans[axis] - image.shape[axis + 1]) > slack[axis] for axis in (0, 1)]
        if any(off):
            yield f"level_pixel_size({number}) does not span the image: {size}"


def _boxes(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> list[Box]:
    """The whole, the corners' single pixels, an empty box, and random ones."""
    height, width = shape[1:]
    found = [Box(0, 0, height, width), Box(0, 0, 1, 1), Box(0, 0, 0, 0)]
    found.append(Box(height - 1, width - 1, height, width))
    for _ in range(count):
        y0, y1 = sorted(rng.integers(0, height + 1, 2).tolist())
        x0, x1 = sorted(rng.integers(0, width + 1, 2).tolist())
        found.append(Box(y0, x0, y1, x1))
    return found


def _pixel_faults(
    open_fn: OpenFunction, path: Path, expected: ExpectedImage, count: int, rng: np.random.Generator
) -> Iterator[str]:
    with open_fn(path) as image, ThreadPoolExecutor(THREADS) as pool:
        for level, truth in enumerate(expected.levels):
            channels = rng.permutation(len(truth)).tolist()
            boxes = _boxes(truth.shape, count, rng)
            wanted = [truth[channels][:, box.y0 : box.y1, box.x0 : box.x1] for box in boxes]
            jobs = [pool.submit(image.read, box, channels, level) for box in boxes]
            for box, pixels, job in zip(boxes, wanted, jobs, strict=True):
                lazy = image.levels[level][channels][:, box.y0 : box.y1, box.x0 : box.x1]
                direct = image.read(box, channels, level)
                ways = {
                    "read": direct,
                    "read in threads": job.result(),
                    "levels": lazy.compute(scheduler="synchronous"),
                }
                for way, got in ways.items():
                    if got.dtype != image.dtype or not _same(got, pixels):
                        yield f"{way}: level {level}, {box}, channels {channels}: wrong pixels"


def _same(got: np.ndarray, wanted: np.ndarray) -> bool:
    return np.array_equal(got, wanted, equal_nan=wanted.dtype.kind == "f")


def _channel_faults(open_fn: OpenFunction, path: Path, expected: ExpectedImage) -> Iterator[str]:
    with open_fn(path) as image:
        for index, name in enumerate(expected.channel_names):
            if {image.channel_index(name), image.channel_index(index)} != {index}:
                yield f"channel_index does not find {name!r} and {index}"
        try:
            image.channel_index("no such channel")
        except ChannelError as error:
            if any(name not in str(error) for name in expected.channel_names):
                yield "the ChannelError does not list the channels"
        else:
            yield "an unknown channel is no ChannelError"
        for box in (Box(0, 0, image.shape[1] + 1, 1), Box(-1, 0, 1, 1)):
            try:
                image.read(box, [0])
            except ValueError:
                continue
            yield f"{box} leaves the image and is no ValueError"


def _copy_faults(open_fn: OpenFunction, path: Path, parts: Sequence[Path]) -> Iterator[str]:
    """Fingerprints of copies, and pickles."""
    with open_fn(path) as image, tempfile.TemporaryDirectory() as folder:
        for part in (path, *parts):
            copy = shutil.copytree if part.is_dir() else shutil.copyfile
            copy(part, Path(folder) / part.name)
        with open_fn(Path(folder) / path.name) as twin:
            if twin.fingerprint != image.fingerprint:
                yield "an identical copy has another fingerprint"
        loaded = pickle.loads(pickle.dumps(image))  # noqa: S301 - made here
        with loaded:
            box = Box.of_shape(image.shape[1:])
            if not _same(loaded.read(box, [0]), image.read(box, [0])):
                yield "a pickled copy reads other pixels"


def _closing_faults(open_fn: OpenFunction, path: Path) -> Iterator[str]:
    image = open_fn(path)
    image.close()
    image.close()
    try:
        image.read(Box(0, 0, 1, 1), [0])
    except ValueError:
        return
    yield "reading after close() is no ValueError"
