"""Whether a scheduler and its workers can do the work so that the table is the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from distributed.comm import CommClosedError

from fociquant import __version__
from fociquant.run.desk import Description
from fociquant.segment.contract import ModelInfo

COMPARED = ("python", "dask", "distributed")
"""Versions that scheduler, workers and this process must share to understand each other."""

SAME_MODEL = ("sha256", "precision", "diameter_px", "window_core_px", "window_margin_px")
"""Facts of the network in which workers must not differ."""


def different_versions(found: Mapping[str, Any]) -> str:
    """What differs between here, the scheduler and the workers; empty if nothing does.

    Parameters
    ----------
    found : mapping
        As ``distributed.Client.get_versions`` gives it.
    """
    here = _versions(found["client"])
    others = {"the scheduler": found["scheduler"], **found.get("workers", {})}
    for who, entry in others.items():
        if not entry:
            continue
        theirs = _versions(entry)
        for name in COMPARED:
            if theirs[name] != here[name]:
                return f"{who} runs {name} {theirs[name]}, here it is {here[name]}"
    return ""


def _versions(entry: Mapping[str, Any]) -> dict[str, str]:
    packages = {**entry.get("host", {}), **entry.get("packages", {})}
    # 3.11.4.final.0 and 3.11.9.final.0 understand each other.
    python = ".".join(str(packages.get("python", "?")).split(".")[:2])
    return {name: str(packages.get(name, "?")) for name in COMPARED} | {"python": python}


def stranger(
    address: str, answer: Description | BaseException, *, expected: ModelInfo | None = None
) -> str:
    """Why a worker cannot be used, with the cure; empty if it can.

    Parameters
    ----------
    address : str
    answer : Description or exception
        What came of asking it.
    expected : ModelInfo, optional
        The network of the other workers.
    """
    if isinstance(answer, BaseException):
        return f"worker {address}: {_unable(answer)}"
    return next((f"worker {address}: {text}" for text in _problems(answer, expected)), "")


def _unable(error: BaseException) -> str:
    if isinstance(error, ImportError) and getattr(error, "name", None) == "fociquant":
        return (
            "fociquant is not installed there. Start the worker from an environment that has "
            f"fociquant {__version__}."
        )
    if isinstance(error, ImportError) and str(getattr(error, "name", "")).startswith("fociquant"):
        return (
            f"another version of fociquant is installed there ({error}). "
            f"Install fociquant {__version__}."
        )
    if isinstance(error, CommClosedError | TimeoutError):
        return f"it does not answer ({type(error).__name__}: {error}). Start it again."
    return (
        f"it cannot load what it needs ({type(error).__name__}: {error}). Install fociquant "
        f"{__version__} and its packages there anew."
    )


def _problems(answer: Description, expected: ModelInfo | None) -> Iterator[str]:
    if answer.version != __version__:
        yield (
            f"fociquant {answer.version} is installed there, here it is {__version__}. "
            "Install the same version."
        )
    if answer.problem or answer.model is None:
        yield f"it cannot load the network: {answer.problem or 'the run has ended.'}"
    elif expected is not None:
        yield from _other_model(answer.model, expected)
    if answer.missing:
        yield (
            f"it does not see {answer.missing[0]}. Put the images on a drive that every worker "
            "has under the same path."
        )


def _other_model(model: ModelInfo, expected: ModelInfo) -> Iterator[str]:
    if model.sha256 != expected.sha256:
        yield (
            f"the weights of {model.name!r} there are others (sha256 {model.sha256[:12]}, "
            f"elsewhere {expected.sha256[:12]}). Copy the same file to every computer."
        )
    kinds = [(m.device.split(":")[0], *(getattr(m, n) for n in SAME_MODEL)) for m in
             (model, expected)]  # fmt: skip
    if kinds[0] != kinds[1]:
        yield (
            f"it computes on {model.device} in {model.precision}, the other workers on "
            f"{expected.device} in {expected.precision}, which does not give the same table. "
            "Use workers of one kind, or --device cpu."
        )
