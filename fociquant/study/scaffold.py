"""New study files for a folder of images."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath

import yaml

from fociquant.atomic import whole_file
from fociquant.errors import Problem, StudyError
from fociquant.settings import preset_names
from fociquant.study.guess import IMMUNE, MEMBRANE, Roles, Sample, guess_reference
from fociquant.study.naming import default_section_name, folded, image_suffix, safe_name
from fociquant.study.sheet import OPTIONAL, REQUIRED
from fociquant.study.spelling import listed

_NO_SECTION = re.compile(
    r"(^|[ _.-])(cp_)?"
    r"(labels?|masks?|seg|segmentation|outlines?|truth|overview|macro|thumb(nail)?)$",
    re.IGNORECASE,
)
"""Endings of label images and overviews, which lie beside sections but are none."""

_NO_SECTIONS = re.compile(
    r"(labels?|masks?|figures|review|truth|overviews?|thumb(nail)?s?|[@$].*|__MACOSX"
    r"|System Volume Information|lost\+found)",
    re.IGNORECASE,
)
"""Folders that hold no sections; those with ``@`` are of network drives, with ``$`` of Windows."""

DEEPEST = 5
"""Folders within folders that are looked through: group, mouse, slide and some to spare."""

_NOT_READ = re.compile(
    r".*\.(jpe?g|png|bmp|gif|jp2|jxr|dcm|mrxs|oir|oib|oif|ims|bif|zvi|vms|dv)", re.IGNORECASE
)
"""Names of image files that are no sections as they are; others (.czi …) get a row, for `check`."""

_FORMULA_START = ("=", "+", "-", "@")

_TEMPLATE = """\
# Study file of fociquant: what is counted, and how. Lines that begin with '#' are notes.
# 'fociquant check' lists everything that is missing or wrong.
name: {name}
samples: {samples}
# Settings to start from ({presets}); null: the defaults.
preset: {preset}
# The group that the others are compared with, for example PBS; null: none.
reference_group: {reference}
# Channels by name, or by index from 0. {present}
channels:
  marker: {marker}  # the label of the cancer cells
  nucleus: {nucleus}  # null: none
  autofluorescence: {autofluorescence}  # an unstained channel; null: none
  phenotype: {phenotype}  # any number, for example {{Ki67: Ki67, vimentin: Vim}}
# Pixel size, µm per pixel, for example 0.325; null: what each file says. {pixel_note}
pixel_size_um: {pixel_size}
"""


@dataclass(frozen=True, slots=True)
class Found:
    """Images of a folder.

    Parameters
    ----------
    images : tuple of str
        Paths relative to the folder, with ``/``, sorted.
    skipped : tuple of str
        Image files that are taken for label images or overviews, sorted.
    unread : tuple of str
        Files of image formats that are no slides, or cannot be read, sorted.
    """

    images: tuple[str, ...]
    skipped: tuple[str, ...]
    unread: tuple[str, ...] = ()


def find_images(folder: Path) -> Found:
    """Section images in a folder and in the folders inside it, five deep.

    Hidden files, results of fociquant, label images (``*_labels``, ``*_masks``
    …), folders of the system and what is inside an OME-Zarr image are no sections.

    Raises
    ------
    StudyError
        If the folder cannot be read or holds no image.
    """
    try:
        entries = list(_entries(folder, deep=DEEPEST))
    except OSError as error:
        where = str(error.filename or folder)
        problem = Problem(where, f"cannot be read: {error.strerror}.", "Check the path.")
        raise StudyError([problem]) from error
    names = sorted(entry.relative_to(folder).as_posix() for entry in entries)
    skipped = tuple(name for name in names if _NO_SECTION.search(_stem(name)))
    left = [name for name in names if name not in set(skipped)]
    images = tuple(name for name in left if image_suffix(name))
    unread = tuple(name for name in left if not image_suffix(name))
    if not images:
        raise StudyError([_nothing_found(folder, unread)])
    return Found(images, skipped, unread)


def _nothing_found(folder: Path, unread: Sequence[str]) -> Problem:
    what = "holds no section images (.tif, .ome.tif, .ome.zarr …), nor do its folders."
    if not unread:
        return Problem(str(folder), what, "Name the folder that holds the images.")
    cure = f"{listed(unread)}: export the slides as OME-TIFF."
    return Problem(str(folder), what, cure)


def _entries(folder: Path, *, deep: int) -> Iterator[Path]:
    """Files and folders that are images by their names."""
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        is_zarr = image_suffix(entry.name).lower().endswith(".zarr")
        if image_suffix(entry.name) and entry.is_dir() == is_zarr:
            yield entry
        elif entry.is_dir():
            if deep and not _holds_no_sections(entry):
                yield from _entries(entry, deep=deep - 1)
        elif _NOT_READ.fullmatch(entry.name):
            yield entry


def _holds_no_sections(folder: Path) -> bool:
    made_here = any((folder / name).exists() for name in ("run.json", ".fociquant"))
    return bool(_NO_SECTIONS.fullmatch(folder.name)) or made_here


def _stem(name: str) -> str:
    suffix = image_suffix(name) or PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix else name


def sheet_text(samples: Sequence[Sample]) -> str:
    """``samples.csv`` with these rows.

    The column ``section`` is filled only where two images share a file name. A
    path that a spreadsheet would run as a formula gets ``./`` in front, which
    means the same file.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(REQUIRED + OPTIONAL[:3])  # few slides are divided into regions
    names = Counter(folded(default_section_name(sample.image)) for sample in samples)
    for sample in samples:
        twin = names[folded(default_section_name(sample.image))] > 1
        section = safe_name(_stem(sample.image).replace("/", "_")) if twin else ""
        image = f"./{sample.image}" if sample.image.startswith(_FORMULA_START) else sample.image
        writer.writerow([image, sample.mouse, sample.group, sample.dpi, section, "", ""])
    return stream.getvalue()


def study_text(
    name: str,
    roles: Roles,
    samples: Sequence[Sample],
    *,
    channels: Sequence[str] = (),
    has_pixel_size: bool = True,
) -> str:
    """``study.yaml`` with notes on every key.

    Parameters
    ----------
    name : str
        The study's name.
    roles : Roles
        Channels; None becomes ``null``, to be filled in.
    samples : sequence of Sample
        Whose groups may hold a reference.
    channels : sequence of str
        All channel names of the images, for a note.
    has_pixel_size : bool
        Whether the images say their pixel size.
    """
    presets = preset_names()
    present = f"The images have {listed(channels, limit=30)}." if channels else ""
    note = "" if has_pixel_size else "These files do not say it: write it here."
    text = _TEMPLATE.format(
        name=_scalar(name),
        samples="samples.csv",
        presets=", ".join(presets),
        preset=_scalar(roles.preset),
        reference=_scalar(guess_reference(sample.group for sample in samples)),
        present=_one_line(present),
        marker=_scalar(roles.marker),
        nucleus=_scalar(roles.nucleus),
        autofluorescence=_scalar(roles.autofluorescence),
        phenotype=_flow(_phenotypes(roles)),
        pixel_note=note,
        pixel_size="null",
    )
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


def _phenotypes(roles: Roles) -> dict[str, object]:
    """As the study file has them; immune cells are found by their nucleus."""
    special: dict[str, dict[str, object]] = {name: {"compartment": "membrane"} for name in MEMBRANE}
    if roles.nucleus is not None:
        special |= {name: {"immune": True} for name in IMMUNE}
    return {
        name: {"channel": channel, **special[name]} if name in special else channel
        for name, channel in roles.phenotype.items()
    }


def write_new(folder: Path, contents: dict[str, str], *, force: bool = False) -> list[str]:
    """Write files that are not there yet, each in one step.

    Parameters
    ----------
    folder : Path
        An existing folder.
    contents : dict of str to str
        File name to text. Sheets begin with a byte-order mark, without which
        Excel misreads accents.
    force : bool
        Replace files that are there.

    Returns
    -------
    list of str
        Names written. Files that were there are kept.

    Raises
    ------
    StudyError
        If all of them are there and `force` is not given, or one cannot be written.
    """
    new = [name for name in contents if force or not (folder / name).exists()]
    if not new:
        what = f"{listed(contents)} are there already; nothing was written."
        cure = "Edit them, or write new ones with --force."
        raise StudyError([Problem(str(folder), what, cure)])
    for name in new:
        try:
            with whole_file(folder / name) as temporary:
                temporary.write_bytes(_encoded(name, contents[name]))
        except OSError as error:
            what = f"cannot be written: {error.strerror}."
            problem = Problem(str(folder / name), what, "Check the folder's permissions.")
            raise StudyError([problem]) from error
    return new


def keep_copies(folder: Path, contents: dict[str, str]) -> list[str]:
    """Copies of files that are about to be replaced by other contents.

    Parameters
    ----------
    folder : Path
    contents : dict of str to str
        As :func:`write_new` gets them.

    Returns
    -------
    list of str
        Names of the copies, ``samples.old.csv``; ``samples.old2.csv`` if that is taken.

    Raises
    ------
    StudyError
        If a file cannot be copied.
    """
    copies = []
    for name, text in contents.items():
        path = folder / name
        try:
            if not path.exists() or path.read_bytes() == _encoded(name, text):
                continue
            copy = _free_name(path)
            with whole_file(copy) as temporary:
                shutil.copy2(path, temporary)
        except OSError as error:
            what = f"cannot be copied before it is replaced: {error.strerror}."
            problem = Problem(str(path), what, "Rename it by hand, or close what has it open.")
            raise StudyError([problem]) from error
        copies.append(copy.name)
    return copies


def _free_name(path: Path) -> Path:
    names = (f"{path.stem}.old{n if n > 1 else ''}{path.suffix}" for n in count(1))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def _encoded(name: str, text: str) -> bytes:
    """What :func:`write_new` writes: sheets with a byte-order mark."""
    return text.encode("utf-8-sig" if name.endswith(".csv") else "utf-8")


def _scalar(value: str | None) -> str:
    """One YAML scalar on one line, quoted where it needs to be."""
    if value is None:
        return "null"
    return _flow([value])[1:-1]


def _flow(value: object) -> str:
    """YAML on one line; escaped to ASCII where PyYAML would fold a Unicode line break away."""
    for unicode in (True, False):
        text: str = yaml.safe_dump(
            value, default_flow_style=True, allow_unicode=unicode, sort_keys=False, width=10**6
        )
        if len(text.splitlines()) == 1 and yaml.safe_load(text) == value:
            break
    return text.strip()


def _one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", " ", text)
