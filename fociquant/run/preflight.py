"""Everything that can be wrong with a study, its images included, before hours are spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fociquant.errors import (
    Problem,
    SettingsError,
)
from fociquant.run.image_facts import ImageFacts, open_all
from fociquant.run.image_problems import image_problems, in_um
from fociquant.run.image_problems import notes as image_notes
from fociquant.segment import check_model_name
from fociquant.study import Inspection, Study, inspect_study
from fociquant.study.arms import arm_notes, mice_by_arm
from fociquant.study.wrapped import as_problems


@dataclass(frozen=True)
class Preflight:
    """The outcome of looking before running.

    Parameters
    ----------
    study : Study or None
        None if the study's two files have problems.
    problems : tuple of Problem
        Why a run would fail; empty if it can start.
    notes : tuple of Problem
        What looks wrong but may be meant.
    images : tuple of ImageFacts
        Of every image that opened, in the order of the sheet.
    unreadable : tuple of Problem
        Those of `problems` that are of one file alone: it is there, but damaged or of no
        known format. The other sections can be counted.
    """

    study: Study | None
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    images: tuple[ImageFacts, ...]
    unreadable: tuple[Problem, ...] = ()

    @property
    def blocking(self) -> tuple[Problem, ...]:
        """Why nothing can be started: every problem, but for single files among good ones."""
        if not self.images:
            return self.problems
        return tuple(problem for problem in self.problems if problem not in self.unreadable)

    def summary(self) -> dict[str, Any]:
        """What a run would count, as plain values for a program; empty without a study."""
        return {} if self.study is None else _summary(self.study, self.images)


def check_study(path: Path, *, open_images: bool = True) -> list[Problem]:
    """Everything that would keep a study from being run.

    Parameters
    ----------
    path : Path
        The study file, or a folder that holds ``study.yaml``.
    open_images : bool
        Also open every image (a few kilobytes of each are read).

    Returns
    -------
    list of Problem
        Empty if a run can start.
    """
    return list(preflight(path, open_images=open_images).problems)


def preflight(path: Path, *, open_images: bool = True, any_model: bool = False) -> Preflight:
    """Check a study and its images, and collect what a run would count.

    Images are looked at even if the study's files have problems, so that one
    call finds everything.

    Parameters
    ----------
    path : Path
        The study file, or a folder that holds ``study.yaml``.
    open_images : bool
        Also open every image (a few kilobytes of each are read).
    any_model : bool
        Not to look whether there is such a model: another may be given in its place.

    Returns
    -------
    Preflight
        Never raises for anything that the user wrote.
    """
    inspection = inspect_study(path)
    problems, notes = list(inspection.problems), list(inspection.notes)
    problems += [] if any_model else _model_problems(inspection)
    images: list[ImageFacts] = []
    unreadable: list[Problem] = []
    if open_images:
        images = list(open_all(inspection, problems, unreadable))
        problems += image_problems(inspection, images, unreadable)
        notes += image_notes(inspection, images)
    if inspection.study is not None:
        notes += arm_notes(inspection.study, inspection.sheet)
    return Preflight(
        inspection.study, tuple(problems), tuple(notes), tuple(images), tuple(unreadable)
    )


def _model_problems(inspection: Inspection) -> list[Problem]:
    """A model that a run would refuse."""
    settings = inspection.config.settings
    if settings is None:
        return []
    try:
        check_model_name(settings.segment.model)
    except SettingsError as error:
        return as_problems(error, inspection.document.where("segment", "model"))
    return []


def _summary(study: Study, images: Sequence[ImageFacts]) -> dict[str, Any]:
    override = study.pixel_size
    sizes = [override or image.pixel_size for image in images]
    arms, counted = (mice_by_arm(study, left_out=with_them) for with_them in (True, False))
    excluded = {section.mouse for section in study.sections if section.excluded}
    order = {group: rank for rank, group in enumerate(study.groups)}
    ranked = sorted(arms, key=lambda arm: (order[arm[0]], arm[1]))
    return {
        "name": study.name,
        "mice": len(study.mice),
        "sections": len(study.sections),
        "negative_controls": sum(section.negative_control for section in study.sections),
        "groups": list(study.groups),
        "reference_group": study.reference_group,
        "arms": [
            {
                "group": group,
                "dpi": dpi,
                "mice": len(counted[group, dpi]),
                "control_mice": len(arms[group, dpi] - counted[group, dpi] - excluded),
                "excluded_mice": len(arms[group, dpi] & excluded),
            }
            for group, dpi in ranked
        ],
        "channels": study.channels.roles(),
        "pixel_sizes_um": sorted({in_um(size) for size in sizes if size is not None}),
        "megapixels": round(sum(i.shape[1] * i.shape[2] for i in images) / 1e6, 3),
        "preset": study.preset,
        "model": study.settings.segment.model,
        "nucleus_asked_for": study.channels.nucleus is not None
        and study.settings.gate.nucleus_fraction > 0,
        "link_um": study.settings.foci.link_um,
        "profile": study.profile.name,
        "classes": [one.name for one in study.profile.classes],
    }
