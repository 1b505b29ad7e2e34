"""Whether a sample that was drawn still stands for what is counted now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from fociquant.counts import is_observed
from fociquant.model import Section
from fociquant.review import AuditDesign
from fociquant.review.audit_design import Owner, owner_named
from fociquant.review.results import image_key
from fociquant.run.gating import stored_sections
from fociquant.store import ResultsFolder

if TYPE_CHECKING:
    from fociquant.run.table_inputs import TableInputs


def owner_of(section: Section) -> Owner:
    """Mouse, group and dpi of a section, as the sheet has them now."""
    return owner_named(section.mouse, section.group, section.dpi)


def shown_by(section: Section, state: Mapping[str, Any]) -> str:
    """What a section shows: the fingerprint of its image, and which part of it, if not all."""
    return f"{image_key(state)} {section.region.replace(' ', '')}".strip()


def mice_in_no_mean(mice: pd.DataFrame) -> list[Owner]:
    """Mice that ``mean`` leaves out, so that ``mean_corrected`` is of the same ones.

    Parameters
    ----------
    mice : pandas.DataFrame
        ``mouse, group, dpi`` and what :func:`fociquant.counts.is_observed` asks for.
    """
    out = mice.loc[~is_observed(mice), ["mouse", "group", "dpi"]]
    return [owner_named(*row) for row in out.itertuples(index=False)]


def mice_that_changed(
    design: AuditDesign, folder: ResultsFolder, inputs: TableInputs
) -> dict[Owner, str]:
    """Mice whose sections are not those that the sample was drawn from, each with the reason.

    A section that failed since is still the one that was drawn from. So is one that was counted
    again with other settings: what the sample says of the tissue holds. One that the sheet gives
    to another mouse, group or day since changes both: the mouse that it was of, and the one that
    it is of now.

    Parameters
    ----------
    design : AuditDesign
    folder : ResultsFolder
    inputs : TableInputs

    Returns
    -------
    dict of (str, str, float) to str
        By mouse, group and dpi, as they were at the draw or as they are now.
    """
    then = _owners_then(design)
    found: dict[Owner, str] = {}
    for section, state in stored_sections(folder, inputs):
        for mouse, why in _changes(section, state, design, then.get(section.name)):
            found.setdefault(mouse, why)
    there = {section.name for section in inputs.sections}
    for name, owner in then.items():
        if name not in there:
            found.setdefault(owner, f"{name} is no longer in the study")
    mice = {owner_of(section) for section in inputs.sections}
    for one in design.strata:
        owner = (one.mouse, one.group, one.dpi)
        if owner not in mice:
            found.setdefault(owner, "the study has no section of it any more")
    return found


def _owners_then(design: AuditDesign) -> dict[str, Owner]:
    """Section to its mouse at the draw; of earlier versions' designs, as far as items tell."""
    drawn: dict[str, Owner] = {
        item.section: (item.mouse, item.group, item.dpi) for item in design.items
    }
    return drawn | dict(design.owners)


def _changes(
    section: Section, state: Mapping[str, Any] | None, design: AuditDesign, then: Owner | None
) -> Iterator[tuple[Owner, str]]:
    """Mice whose count is another one because of this section, each with the reason."""
    name, now = section.name, owner_of(section)
    if section.excluded:  # its mouse is in no mean, whatever changed
        if then is not None and then != now:
            yield then, f"{name} is a section of {_said(now)} now"
        return
    if section.negative_control:
        # A control is in the count of no mouse, so it changes only the one that it was of.
        if name in design.sections:
            yield then or now, f"{name} is a negative control now"
    elif name not in design.sections:
        if state is not None:
            yield now, f"{name} was not counted then"
    elif then is not None and then != now:
        yield then, f"{name} is a section of {_said(now)} now"
        yield now, f"{name} was a section of {_said(then)} then"
    elif state is not None:
        shown = shown_by(section, state)
        before = design.images.get(name, shown)
        if before != shown:
            if before == image_key(state):
                what = "was drawn from by a version that did not know its region"
            elif before.partition(" ")[0] == image_key(state):
                what = "shows another part of its image since"
            else:
                what = "shows another image since"
            yield now, f"{name} {what}"


def _said(owner: Owner) -> str:
    mouse, group, dpi = owner
    return f"{mouse} ({group}, {dpi:g} dpi)"
