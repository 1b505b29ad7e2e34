"""File names: the name of a section from its image's, and what is safe everywhere."""

from __future__ import annotations

import hashlib
import os.path
import re
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

IMAGE_SUFFIXES: tuple[str, ...] = (
    ".tif", ".tiff", ".tf2", ".tf8", ".btf", ".zarr",
    ".svs", ".ndpi", ".qptiff", ".scn", ".czi", ".lif", ".nd2", ".vsi",
)  # fmt: skip
"""Endings by which a file or folder is taken for a section image, lower case."""

MAX_NAME_BYTES = 120
"""Longest section name, bytes of UTF-8: Windows allows 260 characters for a whole path."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, with any extension (Microsoft, 'Naming files')."""

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
"""Characters that Windows or POSIX refuses in a file name."""

_FORMULA_START = ("=", "+", "-", "@")


def image_suffix(name: str) -> str:
    """The image ending of a file name as written (``.ome.tif``), ``""`` if it has none."""
    for suffix in sorted(IMAGE_SUFFIXES, key=len, reverse=True):
        for ending in (f".ome{suffix}", suffix):
            if name.lower().endswith(ending) and len(name) > len(ending):
                return name[-len(ending) :]
    return ""


def default_section_name(image: str) -> str:
    """The section's name when the sheet gives none: the file name without its ending.

    Parameters
    ----------
    image : str
        Path of the image as the sheet has it, with forward or back slashes.

    Returns
    -------
    str
        A safe file name on Linux, macOS and Windows: characters that are not
        allowed become ``_``, and a name that is too long keeps its beginning
        and eight hexadecimal digits of its sha256.
    """
    name = PurePosixPath(image.replace("\\", "/")).name
    suffix = image_suffix(name)
    return safe_name(name[: -len(suffix)] if suffix else PurePosixPath(name).stem)


def safe_name(text: str) -> str:
    """`text` made a safe file name that no spreadsheet takes for a formula."""
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", text)).rstrip(". ")
    if name.startswith((".", *_FORMULA_START)):
        name = f"_{name[1:]}"
    if not name.strip("_ ") or _RESERVED.fullmatch(name):
        name = f"section_{name}".rstrip("_ ")
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    kept = name.encode()[: MAX_NAME_BYTES - 9].decode(errors="ignore").rstrip(". ")
    return f"{kept}_{digest}"


def why_unsafe(name: str) -> str:
    """Why `name` cannot name a folder on every system; ``""`` if it can.

    Parameters
    ----------
    name : str
        A section's name from the sheet, without surrounding space.

    Returns
    -------
    str
        A clause that completes "section 'x' …".
    """
    bad = _UNSAFE.search(name)
    if bad:
        return f"holds the character {bad[0]!r}, which file systems do not allow."
    if name.startswith("."):
        return "begins with a dot, which hides a folder."
    if name.endswith("."):
        return "ends with a dot, which Windows removes."
    if _RESERVED.fullmatch(name):
        return "is a name that Windows keeps for a device."
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes."
    return ""


def folded(name: str) -> str:
    """The form in which two names are the same on any file system (NFC, case folded)."""
    return unicodedata.normalize("NFC", name).casefold()


def is_absolute(text: str) -> bool:
    """Whether a path is written as absolute, in the manner of POSIX or of Windows."""
    return PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


def leaves_folder(text: str) -> bool:
    """Whether a relative path climbs out of the folder it starts from.

    Judged by the text alone: a symbolic link inside the folder was put there by
    its owner and may lead anywhere.
    """
    if is_absolute(text):
        return False
    flat = os.path.normpath(text.replace("\\", "/")).replace("\\", "/")
    return flat == ".." or flat.startswith("../")


def locate(text: str, folder: Path) -> Path:
    """The absolute path that `text`, written in a file of `folder`, means.

    A backslash is tried as a separator, and accented letters in both of their
    Unicode forms (macOS stores them decomposed), so that a sheet written on one
    system finds its images on another. The path need not exist.
    """
    forward = text.replace("\\", "/")
    forms = [text, forward, *(unicodedata.normalize(form, forward) for form in ("NFC", "NFD"))]
    candidates = [Path(os.path.normpath(folder.absolute() / form)) for form in forms]
    return next(filter(exists, candidates), candidates[0])


def exists(path: Path) -> bool:
    """Whether a path exists.

    False also for what cannot be a path (too long, a null character) and for
    what may not be looked at.
    """
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
