"""Every error that fociquant raises on purpose.

The tree::

    FociquantError
    ├── InputError            the user's input is wrong; nothing was started (exit 2)
    │   ├── StudyError        samples.csv / study.yaml; carries every problem at once
    │   ├── SettingsError     an unknown key, a value out of range, an unknown preset or model
    │   └── ImageError        one image file cannot be used
    │       ├── ImageFormatError      not an image, or of a kind no reader knows
    │       ├── CorruptImageError     truncated or damaged
    │       ├── PixelSizeError        the pixel size is unknown
    │       ├── ChannelError          no such channel in this file
    │       └── RegionError           no such region on this slide
    ├── ModelError            weights that cannot be loaded or are not what they claim
    ├── ClusterError          the Dask scheduler or its workers cannot be used
    │   └── ClusterLostError      the scheduler went away after work had begun (exit 1)
    └── ResultsError          the results folder cannot be read or continued
        ├── DiskError             the disk took no more, after work had begun (exit 1)
        └── UnreadableError       the drive does not let a stored file be read (exit 1)

A message says what is wrong, where (file, key or line), and the cure.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath


class FociquantError(Exception):
    """Base of all errors raised on purpose."""


class InputError(FociquantError):
    """The user's input is wrong; nothing was started."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a study.

    Parameters
    ----------
    where : str
        File with line or key, for example ``samples.csv, line 4, column 'dpi'``.
    what : str
        What is wrong, with the offending value.
    cure : str
        What the user should write or do.
    """

    where: str
    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.cure}"


class StudyError(InputError):
    """A study that cannot be run; ``problems`` lists everything found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SettingsError(InputError):
    """A setting that is unknown, out of range or contradicts another."""


class ImageError(InputError):
    """One image cannot be used."""


class ImageFormatError(ImageError):
    """The file is not an image, or no reader knows its kind."""


class CorruptImageError(ImageError):
    """The file is truncated or damaged."""


class PixelSizeError(ImageError):
    """The pixel size is unknown and was not given."""


class ChannelError(ImageError):
    """The file has no channel of that name or index."""


class RegionError(ImageError):
    """The slide has no such region."""


class ModelError(FociquantError):
    """Weights that cannot be loaded, or are not what they claim to be."""


class ClusterError(FociquantError):
    """The Dask scheduler or its workers cannot be used."""


class ClusterLostError(ClusterError):
    """The Dask scheduler went away; what was done is kept."""


class ResultsError(FociquantError):
    """The results folder cannot be read or continued."""


class DiskError(ResultsError):
    """A result could not be written: disk full, or no longer writable."""


class UnreadableError(ResultsError):
    """A file is there and cannot be read: the drive is in trouble, the content may be well."""


def said(error: BaseException) -> str:
    """What the system or a library says in an error, fit for the middle of a sentence.

    Returns
    -------
    str
        One line without a final full stop; of an :class:`OSError` without its number and path.
    """
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, OSError) and error.errno and "[errno" in text:
        text = os.strerror(error.errno)  # pyarrow wraps it into words of its own
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def path_as(text: str, path: PurePath, name: str) -> str:
    r"""`text` with a path called `name`, also where backslashes are doubled (``'C:\\a.tif'``)."""
    spelled = str(path)
    return text.replace(spelled.replace("\\", 2 * "\\"), name).replace(spelled, name)
