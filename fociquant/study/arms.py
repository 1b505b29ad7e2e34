"""What the design of a study cannot show: days without a reference group, single mice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from fociquant.errors import Problem
from fociquant.study.spelling import listed
from fociquant.study.study import Study


def arm_notes(study: Study, sheet: str) -> Iterator[Problem]:
    """Comparisons that the mice of a study do not allow; negative controls are in none.

    Parameters
    ----------
    study : Study
    sheet : str
        Name of the sample sheet, for messages.

    Yields
    ------
    Problem
        Nothing without a reference group, or with one group only: there is no comparison to miss.
    """
    mice = mice_by_arm(study, left_out=False)
    reference = study.reference_group
    if reference is None or len({group for group, _ in mice}) < 2:
        return
    yield from _without_reference(reference, mice, sheet)
    single = [f"{group} at {dpi:g} dpi" for (group, dpi), names in mice.items() if len(names) == 1]
    if single:
        what = f"one mouse only in {listed(single)}."
        cure = "It is counted, but one mouse does not show how mice differ: no interval is told."
        yield Problem(sheet, what, cure)


def mice_by_arm(study: Study, *, left_out: bool) -> dict[tuple[str, float], set[str]]:
    """Names of the mice of each group and day, in the order of the sheet.

    Parameters
    ----------
    study : Study
    left_out : bool
        Whether negative controls and excluded mice are among them.

    Returns
    -------
    dict of (group, dpi) to set of str
        An empty set for any other group or day.
    """
    mice: dict[tuple[str, float], set[str]] = defaultdict(set)
    for section in study.sections:
        if left_out or not (section.negative_control or section.excluded):
            mice[section.group, section.dpi].add(section.mouse)
    return mice


def _without_reference(
    reference: str, mice: Mapping[tuple[str, float], set[str]], sheet: str
) -> Iterator[Problem]:
    days = dict.fromkeys(dpi for group, dpi in mice if group != reference)
    alone = [f"{dpi:g}" for dpi in sorted(days) if (reference, dpi) not in mice]
    if alone:
        what = f"no mouse of {reference!r} at {', '.join(alone)} dpi."
        cure = "Groups are compared within a day only: there will be no comparison on that day."
        yield Problem(sheet, what, cure)
