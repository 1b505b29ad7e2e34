"""Nothing is started while something is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fociquant.errors import StudyError
from fociquant.run.preflight import preflight
from fociquant.segment import check_model_name
from fociquant.study import Study
from fociquant.study.alike import told_once


def require_runnable(path: Path, *, model: str | None = None) -> Study:
    """The study at `path`, checked together with its images.

    An image among others that is there but cannot be decoded does not hold up the rest:
    its section will fail.

    Parameters
    ----------
    path : pathlib.Path
        ``study.yaml`` or its folder.
    model : str, optional
        Replaces the model of the study's settings.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        With every problem found, if anything but single damaged images is wrong.
    SettingsError
        Unknown model.
    """
    found = preflight(path, any_model=True)
    if found.blocking or found.study is None:
        raise StudyError(told_once(found.problems))
    study = found.study if model is None else with_model(found.study, model)
    check_model_name(study.settings.segment.model)
    return study


def with_model(study: Study, model: str) -> Study:
    """The same study, segmented by another model."""
    segment = study.settings.segment.model_copy(update={"model": model})
    return replace(study, settings=study.settings.model_copy(update={"segment": segment}))
