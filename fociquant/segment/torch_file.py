"""Weights that ``torch.save`` wrote, read without torch."""

from __future__ import annotations

import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fociquant.errors import ModelError

STORAGES = {"HalfStorage": "<f2", "FloatStorage": "<f4", "LongStorage": "<i8"}
"""Names of torch for arrays of numbers, and the type of these."""

CURE = "Install fociquant again."
"""Only files that come with the program are read here."""


@dataclass(frozen=True, slots=True)
class _Storage:
    """Stands for a class of torch's that names a type of numbers."""

    dtype: str


def read_torch_file(path: Path) -> dict[str, Any]:
    """What a weights file holds, tensors as arrays.

    Nothing in the file is run: besides plain values it may name tensors of three types.

    Parameters
    ----------
    path : pathlib.Path
        Written by ``torch.save`` (any version since 1.6).

    Returns
    -------
    dict
        Floating-point numbers of two bytes become float32.

    Raises
    ------
    ModelError
        If it is damaged, or holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            with archive.open(names[0]) as file:
                content = _Unpickler(file, partial(_read, archive, names[0])).load()
    except (OSError, zipfile.BadZipFile, pickle.UnpicklingError, IndexError, KeyError,
            EOFError, ValueError, TypeError, AttributeError) as error:  # fmt: skip
        raise ModelError(f"weights {path} are damaged: {error}. {CURE}") from error
    if not isinstance(content, dict):
        raise ModelError(f"weights {path} are damaged: they hold none. {CURE}")
    return content


def _read(archive: zipfile.ZipFile, beside: str, key: str) -> bytes:
    return archive.read(beside.replace("data.pkl", f"data/{key}"))


class _Unpickler(pickle.Unpickler):
    """Makes plain values and arrays, and refuses everything else."""

    def __init__(self, file: BinaryIO | Any, read: Callable[[str], bytes]) -> None:
        super().__init__(file)
        self._read = read

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _array
        if module == "torch" and name in STORAGES:
            return _Storage(STORAGES[name])
        raise pickle.UnpicklingError(f"{module}.{name} is no part of weights")

    def persistent_load(self, pid: Any) -> np.ndarray:
        _, storage, key, _, count = pid
        return np.frombuffer(self._read(str(key)), storage.dtype, int(count))


def _array(
    storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> np.ndarray:
    """A tensor as torch describes it: strides count numbers, not bytes."""
    count = math.prod(shape)
    array = storage[offset : offset + count].reshape(shape)
    if count > 1 and array.strides != tuple(stride * array.itemsize for stride in strides):
        raise ValueError("a tensor is not laid out row by row")
    return array.astype(np.float32) if array.dtype.kind == "f" else array
