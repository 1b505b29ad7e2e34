"""What the reporting guidelines ask for, filled in as far as the results tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from fociquant.counts import is_control, is_excluded, several
from fociquant.report._dots import excluded_in_words, is_complete
from fociquant.report._methods import pixels_in_words
from fociquant.report._review import blinding_in_words, review_in_words

TO_WRITE = "to be written by you"
"""Mark of an item that no program can know."""

Item = tuple[str, str, str]
"""What is asked, what this study says, what is still needed."""


def checklists(
    run: Mapping[str, Any],
    mice: pd.DataFrame,
    sections: pd.DataFrame,
    *,
    has_power: bool,
    compared: bool = True,
    reviewers: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Items of ARRIVE 2.0 (Essential 10) and of the image-analysis checklists.

    ARRIVE 2.0: Percie du Sert et al., PLoS Biol. 18:e3000410, 2020. Images and image analysis:
    Schmied et al., Nat. Methods 21:170, 2024. The wording is ours.

    Returns
    -------
    pandas.DataFrame, pandas.DataFrame
        Each with ``item``, ``from this study``, ``still needed``.
    """
    blind = _blinding(mice, sections, reviewers)
    arrive = list(_arrive(run, mice, sections, blind, has_power=has_power, compared=compared))
    return _filled(arrive), _filled(list(_images(run, sections, blind)))


def _filled(items: list[Item]) -> pd.DataFrame:
    rows = [(item, found or TO_WRITE, need) for item, found, need in items]
    return pd.DataFrame(rows, columns=["item", "from this study", "still needed"])


def _arrive(
    run: Mapping[str, Any],
    mice: pd.DataFrame,
    sections: pd.DataFrame,
    blind: str,
    *,
    has_power: bool,
    compared: bool,
) -> Iterator[Item]:
    """The Essential 10."""
    yield "1 Study design", _groups(mice), "Why these groups."
    yield "2 Sample size", _numbers(mice, has_power), "How the number of mice was decided."
    need = "Animals lost before imaging; whether the rules were set beforehand."
    yield "3 Inclusion and exclusion", _exclusions(mice, sections), need
    need = "How mice were allotted to groups; order of staining and scanning."
    yield "4 Randomisation", "", need
    yield "5 Blinding", blind, "Who knew the groups, at which step."
    said = "Positive cells per mouse (sum of its sections), per mm² of tissue, and foci by class."
    yield "6 Outcome measures", said, "Which of them was the primary outcome, decided when."
    told = "P values and intervals are in the comparison" if compared else "no group was compared"
    said = f"In Methods above; the mouse is the unit; {told}."
    yield "7 Statistical methods", said, "Assumptions checked; other analyses done."
    yield "8 Experimental animals", _extras(run), "Species, strain, sex, age, weight, source."
    days = f"Days post infection: {_days(mice)}."
    yield "9 Experimental procedures", days, "What was done, when, where, and why."
    said = "Every mouse is a dot in the figures; means, ranges and intervals are in the tables."
    yield "10 Results", said, ""


def _images(run: Mapping[str, Any], sections: pd.DataFrame, blind: str) -> Iterator[Item]:
    """Publishing images and image analysis."""
    cellpose = (run.get("packages") or {}).get("cellpose", "unknown")
    versions = f"fociquant {run.get('fociquant', 'unknown')}, Cellpose {cellpose}; cite both."
    yield "Workflow and version", versions, ""
    steps = "In Methods above: tissue, segmentation, gate, foci, sums per mouse."
    yield "Steps in order", steps, ""
    yield "Key settings", "In Methods above; all settings below and in run.json.", ""
    yield "Model", _model(run), "Where a model of your own can be obtained."
    yield "Manual steps", blind, "Regions drawn or sections chosen by hand."
    facts = _image_facts(run, sections)
    yield "Image data", facts, "Accession number of the deposited raw images."
    yield "Acquisition", "", "Microscope, objective, exposure, filters; same for all sections?"
    said = (
        "Cells in the contact sheets were drawn by lot; their width and scale are in the captions."
    )
    yield "Pictures shown", said, "How pictures in the paper were chosen."
    said = "Told apart with any colour vision; each channel is also shown alone in grey."
    yield "Colours", said, ""
    yield "Accuracy", "", "Error against cells outlined by hand on your own slides."


def _groups(mice: pd.DataFrame) -> str:
    counted = mice[~is_control(mice)]
    groups = ", ".join(dict.fromkeys(map(str, counted["group"])))
    controls = int(is_control(mice).sum())
    extra = f" {several(controls, 'negative-control mouse', 'negative-control mice')}."
    return f"Groups: {groups or 'none'}; days: {_days(mice)}. Experimental unit: the mouse.{extra}"


def _days(mice: pd.DataFrame) -> str:
    return ", ".join(f"{day:g}" for day in sorted(set(mice["dpi"]))) or "none"


def _numbers(mice: pd.DataFrame, has_power: bool) -> str:
    counted = mice[~is_control(mice)]
    sizes = counted.groupby(["dpi", "group"], sort=False).size()
    keys = sizes.index.tolist()
    cells = [f"{k[1]} {k[0]:g} dpi: {n}" for k, n in zip(keys, sizes.tolist(), strict=True)]
    text = f"{len(counted)} mice. " + "; ".join(cells[:24]) + ("; …" if len(cells) > 24 else "")
    return text + (". A table for the next experiment is above." if has_power else ".")


def _exclusions(mice: pd.DataFrame, sections: pd.DataFrame) -> str:
    failed = int((sections["status"] != "done").sum())
    left = int((~is_complete(mice) & ~is_control(mice)).sum())
    if failed:
        said = f"{several(failed, 'section')} could not be analysed, with reasons in sections.csv"
    else:
        said = "No section was excluded"
    if not left:
        return f"{said}; no mouse was left out."
    out = mice[is_excluded(mice) & ~is_control(mice)]
    others = mice[~is_excluded(mice) & ~is_control(mice)]
    incomplete = int((others["sections_failed"] > 0).sum())
    why = {
        "with a section that could not be analysed": incomplete,
        "without tissue": left - incomplete - len(out),
        f"excluded by hand ({excluded_in_words(out)})": len(out),
    }
    reasons = ", ".join(f"{number} {what}" for what, number in why.items() if number)
    return f"{said}; {several(left, 'mouse', 'mice')} left out of means and comparisons: {reasons}."


def _blinding(mice: pd.DataFrame, sections: pd.DataFrame, reviewers: pd.DataFrame | None) -> str:
    said = review_in_words(mice, sections)
    if said:
        return f"Counting was automatic. {said} {blinding_in_words(reviewers)}".strip()
    return (
        "Counting was automatic with the same settings for all groups; nothing was changed by eye."
    )


def _extras(run: Mapping[str, Any]) -> str:
    names: dict[str, None] = {}
    for section in run.get("sections") or ():
        names |= dict.fromkeys((section.get("extra") or {}).keys())
    return f"Columns of the sample sheet: {', '.join(names)}." if names else ""


def _model(run: Mapping[str, Any]) -> str:
    model = run.get("model") or {}
    if not model:
        return ""
    return f"'{model.get('name')}', sha256 {model.get('sha256')}."


def _image_facts(run: Mapping[str, Any], sections: pd.DataFrame) -> str:
    channels = ", ".join(str(one) for one in (run.get("channel_names") or {}).values())
    return (
        f"{len(sections)} images, channels {channels or 'unknown'}.{pixels_in_words(run)} "
        "Fingerprints of all images are in run.json."
    )
