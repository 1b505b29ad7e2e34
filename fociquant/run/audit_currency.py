"""Whether a sample that was drawn still stands for what is counted now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fociquant.review import AuditDesign
from fociquant.review.results import image_key
from fociquant.run.gating import stored_sections
from fociquant.store import ResultsFolder

if TYPE_CHECKING:
    from fociquant.run.tables import TableInputs


def mice_that_changed(
    design: AuditDesign, folder: ResultsFolder, inputs: TableInputs
) -> dict[tuple[str, str, float], str]:
    """Mice whose sections are not those that the sample was drawn from, each with the reason.

    A section that failed since is still the one that was drawn from. So is one that was counted
    again with other settings: what the sample says of the tissue holds.

    Parameters
    ----------
    design : AuditDesign
    folder : ResultsFolder
    inputs : TableInputs

    Returns
    -------
    dict of (str, str, float) to str
        By mouse, group and dpi.
    """
    found: dict[tuple[str, str, float], str] = {}
    for section, state in stored_sections(folder, inputs):
        if state is None or section.negative_control:
            continue
        mouse = (str(section.mouse), str(section.group), float(section.dpi))
        if section.name not in design.sections:
            found[mouse] = f"{section.name} was not counted then"
        elif design.images.get(section.name, image_key(state)) != image_key(state):
            found[mouse] = f"{section.name} shows another image since"
    there = {section.name for section in inputs.sections}
    for item in design.items:
        if item.section not in there:
            found[item.mouse, item.group, item.dpi] = f"{item.section} is no longer in the study"
    return found
