"""What a reader must know before quoting a number, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from fociquant.counts import is_control, is_excluded, several
from fociquant.report._audit import audited_mice
from fociquant.report._dots import excluded_in_words, is_complete
from fociquant.report._review import reviewed_mice, touched_mice

SMALLEST_GROUP = 4
"""With 4 and 3 mice an exact Mann-Whitney test cannot go below P = 0.057."""

ZERO_UPPER_LIMIT = 3.0
"""One-sided 95 % limit of a Poisson mean after a count of zero: -ln 0.05 = 2.996."""


def caveats(
    mice: pd.DataFrame,
    sections: pd.DataFrame,
    *,
    has_autofluorescence: bool,
    profile_name: str,
    thresholds: pd.DataFrame | None = None,
) -> list[str]:
    """Sentences that apply to this study, the most general first.

    Parameters
    ----------
    mice, sections : pandas.DataFrame
        The tables of the results.
    has_autofluorescence : bool
        Whether the study named an autofluorescence channel, or its images need none.
    profile_name : str
        The foci profile.
    thresholds : pandas.DataFrame, optional
        As in ``thresholds.csv``.
    """
    lines = [
        "The mouse is the unit: n is the number of mice. Cells, foci and sections of one mouse "
        "are not independent and must not be used as n."
    ]
    lines += _about_review(mice, sections)
    lines += _about_sections(mice, sections)
    lines += _about_tissue(sections)
    lines += _about_controls(mice, sections, has_autofluorescence=has_autofluorescence)
    lines += _about_thresholds(thresholds, sections)
    lines += _about_numbers(mice)
    lines += [
        f"The classes of foci are those of the profile '{profile_name}'. No definition of a "
        "micrometastasis is shared between laboratories: name the profile with the numbers.",
        "Cells are profiles in thin sections, not cells in a lung. Infected lungs inflate "
        "differently, so cells per mm² and total cells can disagree: report both.",
    ]
    return lines


def _about_review(mice: pd.DataFrame, sections: pd.DataFrame) -> Iterator[str]:
    reviewed, begun = reviewed_mice(mice), touched_mice(mice, sections)
    if reviewed + begun == 0:
        audited = audited_mice(mice)
        yield "All counts are automatic. " + (
            f"An audit of a random sample corrects those of {several(audited, 'mouse', 'mice')}: "
            "see below." if audited else "Nobody has reviewed them."
        )  # fmt: skip
    elif reviewed < len(mice):
        others = "; the other counts are automatic" if reviewed + begun < len(mice) else ""
        unfinished = (
            f"; the review of {several(begun, 'mouse', 'mice')} is not finished, and what was "
            "decided so far is in the counts" if begun else ""
        )  # fmt: skip
        yield f"{reviewed} of {len(mice)} mice were reviewed{unfinished}{others}."


def _about_sections(mice: pd.DataFrame, sections: pd.DataFrame) -> Iterator[str]:
    failed = int((sections["status"] != "done").sum())
    if failed:
        names = ", ".join(mice.loc[mice["sections_failed"] > 0, "mouse"].astype(str))
        yield (
            f"{failed} of {len(sections)} sections could not be counted. Their mice ({names}) "
            "have smaller sums or none, and are left out of means; the reasons are below."
        )
    out = mice[is_excluded(mice)]
    if len(out):
        yield (
            f"{several(len(out), 'mouse', 'mice')} excluded in the sample sheet: counted and "
            f"listed, but in no mean and no comparison ({excluded_in_words(out)})."
        )
    complete = mice[is_complete(mice) & ~is_control(mice)]
    numbers = sorted(set(complete["sections"].astype(int)))
    if len(numbers) > 1:
        yield (
            f"Mice differ in their number of sections ({numbers[0]} to {numbers[-1]}): their sums "
            "are not comparable. Compare cells per mm², or cut equal numbers."
        )


def _about_tissue(sections: pd.DataFrame) -> Iterator[str]:
    """Sections in which there was nothing to look at."""
    if "tissue_mm2" not in sections:
        return
    bare = sections[(sections["status"] == "done") & (sections["tissue_mm2"].astype(float) == 0)]
    if not len(bare):
        return
    names = ", ".join(bare["section"].astype(str))
    yield (
        f"No tissue was found in {several(len(bare), 'section')} ({names}), so nothing was looked "
        "at there. Mice without any tissue are in no mean and no comparison; sums of the others "
        "are from fewer sections: compare cells per mm²."
    )


def _about_controls(
    mice: pd.DataFrame, sections: pd.DataFrame, *, has_autofluorescence: bool
) -> Iterator[str]:
    if not has_autofluorescence:
        yield (
            "There is no autofluorescence channel. Autofluorescence is stronger in infected "
            "lungs, so false cells may be more frequent in the infected groups."
        )
    control = is_control(sections)
    if not control.any():
        yield (
            "There are no negative-control sections, so the number of false cells per section is "
            "not known. Infected lungs without tumour are the best control."
        )
    elif not (control & (sections["status"] == "done")).any():
        yield (
            "No negative-control section could be counted, so the number of false cells per "
            "section is not known."
        )
    elif is_control(mice).any():
        yield "Negative-control mice are listed and drawn, but are in no mean."


def _about_thresholds(thresholds: pd.DataFrame | None, sections: pd.DataFrame) -> Iterator[str]:
    """Controls that were counted and could not be used, and batches without any."""
    if thresholds is None or not len(thresholds):
        return
    refused = thresholds["control_sections_refused"].fillna("").astype(str)
    failed = set(sections.loc[sections["status"] != "done", "section"].astype(str))
    names = [name for cell in refused for name in cell.split("|") if name and name not in failed]
    if names:
        yield (
            f"Marked as negative control and not used as one: {', '.join(names)}. The reason is "
            "under 'Thresholds by batch'; most often such a section holds labelled cells. Check "
            "the sample sheet."
        )
    if set(thresholds["threshold_source"]) == {"controls", "section"}:
        bare = thresholds.loc[thresholds["threshold_source"] == "section", "batch"]
        batches = ", ".join(repr(name) for name in bare.fillna("").astype(str))
        yield (
            f"Batches without usable controls: {batches}. "
            "Their thresholds rest on each section's own background, and their rate of false "
            "cells is not known."
        )


def _about_numbers(mice: pd.DataFrame) -> Iterator[str]:
    counted = mice[is_complete(mice) & ~is_control(mice)]
    sizes = counted.groupby(["dpi", "group"]).size()
    if len(sizes) and int(sizes.min()) < SMALLEST_GROUP:
        yield (
            f"Some groups have {several(int(sizes.min()), 'mouse', 'mice')} on a day. With 4 and "
            "3 mice an exact rank test cannot give P below 0.057, whatever the difference; one "
            "mouse does not show how mice differ."
        )
    if (counted["cells"] == 0).any():
        yield (
            "A count of 0 is not proof of absence: it is compatible with up to "
            f"{ZERO_UPPER_LIMIT:.1f} cells expected in as many sections (one-sided 95 %)."
        )
