"""A Methods paragraph to paste."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from fociquant.counts import is_control, is_excluded, several
from fociquant.report._audit import audit_in_words
from fociquant.report._dots import excluded_in_words
from fociquant.report._review import review_in_words
from fociquant.settings import score_asked_for
from fociquant.units import COUNTS_PER_DENSITY


def methods(
    run: Mapping[str, Any],
    mice: pd.DataFrame,
    sections: pd.DataFrame,
    comparisons: pd.DataFrame | None,
) -> list[str]:
    """Paragraphs for a Methods section, as far as the results tell.

    Parameters
    ----------
    run : mapping
        As in ``run.json``; what is absent from it is left out.
    mice, sections : pandas.DataFrame
        As in ``mice.csv`` and ``sections.csv``.
    comparisons : pandas.DataFrame or None
        As in ``comparisons.csv``.

    Returns
    -------
    list of str
        Plain text, not escaped.
    """
    settings = run.get("settings") or {}
    parts = [
        _what(run, mice, sections),
        _segmentation(run, settings),
        _gate(run, settings.get("gate") or {}, sections),
        _foci(run, settings.get("foci") or {}),
        _immune(run, settings.get("immune") or {}),
        _statistics(comparisons),
        _review(mice, sections),
    ]
    return [" ".join(part.split()) for part in parts if part]


def _what(run: Mapping[str, Any], mice: pd.DataFrame, sections: pd.DataFrame) -> str:
    packages = run.get("packages") or {}
    versions = ", ".join(f"{n} {packages[n]}" for n in ("cellpose", "torch", "scikit-image")
                         if packages.get(n) not in (None, "absent"))  # fmt: skip
    made = f"fociquant {run.get('fociquant', '(version unknown)')}"
    made += f" (Python {run.get('python', 'unknown')}{', ' + versions if versions else ''})"
    failed = int((sections["status"] != "done").sum())
    lost = f" {failed} of the sections could not be analysed and were left out." if failed else ""
    out = mice[is_excluded(mice)]
    if len(out):
        verb = "was" if len(out) == 1 else "were"
        lost += (
            f" {several(len(out), 'mouse', 'mice')} {verb} excluded from means and comparisons: "
            f"{excluded_in_words(out)}."
        )
    return (
        f"Positive cells and metastatic foci were counted with {made} in "
        f"{several(len(sections), 'lung section')} of "
        f"{several(len(mice), 'mouse', 'mice')}.{pixels_in_words(run)}{lost}"
    )


def pixels_in_words(run: Mapping[str, Any]) -> str:
    images = run.get("images") or {}
    sizes = sorted({f"{s:.4g}" for one in images.values() for s in one.get("pixel_size_um", ())})
    if not sizes:
        return ""
    return f" Images had {' and '.join(sizes)} µm per pixel."


def _segmentation(run: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    channels, model = run.get("channel_names") or {}, run.get("model") or {}
    prepare, segment = settings.get("prepare") or {}, settings.get("segment") or {}
    if not model or not segment:
        return ""
    used = " and ".join(str(channels[role]) for role in ("marker", "nucleus") if role in channels)
    weights = str(model.get("sha256", ""))[:16]
    closing = prepare.get("airspace_closing_um")
    outline = (
        f"The lung was outlined at {prepare.get('overview_um_per_px', 0):g} µm per pixel, air "
        f"spaces up to {closing:g} µm wide included. " if closing is not None else ""
    )  # fmt: skip
    unstained = channels.get("autofluorescence")
    unmixed = (
        f"What {unstained} explained of the marker's light, by their slope in each section, was "
        "taken off for segmentation, not for measurement. "
        if unstained and prepare.get("subtract_autofluorescence") else ""
    )  # fmt: skip
    return (
        f"{_stains(prepare)}{outline}"
        f"Intensities were scaled once per section and channel. {unmixed}"
        "Objects were segmented in "
        f"the {used} channels with the model '{model.get('name', segment.get('model'))}' "
        f"(sha256 of the weights {weights}…, {model.get('precision', 'precision unknown')}, "
        f"{model.get('device', 'device unknown')}) and the dynamics of Cellpose (Stringer et al., "
        f"Nat. Methods 18:100, 2021), at a cell diameter of {segment.get('diameter_um', 0):g} µm "
        f"and "
        f"a cell probability threshold of {segment.get('cellprob_threshold', 0):g}. Results do not "
        "depend on how an image was divided for computing."
    )


def has_stains(run: Mapping[str, Any]) -> bool:
    """Whether the images of a run were colour pictures, separated into stains."""
    prepare = (run.get("settings") or {}).get("prepare") or {}
    return bool(prepare.get("stains"))


def _stains(prepare: Mapping[str, Any]) -> str:
    names = [str(name) for name in prepare.get("stains") or ()]
    if not names:
        return ""
    return (
        f"Colour images were separated into {' and '.join(names)} by optical density (Ruifrok and "
        "Johnston, Anal. Quant. Cytol. Histol. 23:291, 2001). "
    )


def _gate(run: Mapping[str, Any], gate: Mapping[str, Any], sections: pd.DataFrame) -> str:
    if not gate:
        return ""
    channels = run.get("channel_names") or {}
    marker = channels.get("marker", "marker")
    rules = [
        f"its {marker} signal exceeded its surroundings by more than "
        f"{_floor(gate, channels)} standard deviations of the pixel noise"
        f"{_least_counts(gate, run)}"
    ]
    if "autofluorescence" in channels:
        rules.append(_glow(gate, channels["autofluorescence"]))
    if "nucleus" in channels and gate.get("nucleus_fraction"):
        rules.append(f"it had a nucleus ({channels['nucleus']})")
    rules.append(f"its area was {gate.get('min_area_um2', 0):g} to "
                 f"{gate.get('max_area_um2', math.inf):g} µm² and its solidity at least "
                 f"{gate.get('min_solidity', 0):g}")  # fmt: skip
    rules.append(f"and the network's mean score was at least {_score(gate, channels)}")
    sentence = f"An object was counted as a cancer cell if {', '.join(rules)}."
    return " ".join([sentence, *_thresholds(run, sections), *_phenotypes(run, gate)])


def _floor(gate: Mapping[str, Any], channels: Mapping[str, Any]) -> str:
    floor = float(gate.get("marker_snr", 0.0))
    certain = floor * float(gate.get("certain_marker_fraction", 1.0))
    if "autofluorescence" not in channels or certain == floor:
        return f"{floor:g}"
    score = gate.get("certain_score", 0)
    return f"{floor:g} ({certain:g} where the network's mean score was at least {score:g})"


def _least_counts(gate: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    least = float(gate.get("min_marker_counts", 0.0))
    if not least:
        return ""
    if has_stains(run):
        return f" and an optical density of {least / COUNTS_PER_DENSITY:g}"
    return f" and {least:g} counts"


def _glow(gate: Mapping[str, Any], channel: str) -> str:
    pigment = gate.get("pigment_ratio")
    grain = f" ({pigment:g} times where both had the same grain)" if pigment else ""
    return (
        f"and {gate.get('autofluorescence_ratio', 0):g} times what the unstained channel "
        f"({channel}) explained{grain}"
    )


def _score(gate: Mapping[str, Any], channels: Mapping[str, Any]) -> str:
    least = float(gate.get("min_score", 0.0))
    without = float(gate.get("without_autofluorescence_min_score", least))
    unstained = "autofluorescence" in channels
    asked = score_asked_for(least, without, autofluorescence=unstained)
    less = float(gate.get("evident_less_score", 0.0))
    if not (less and unstained and "nucleus" in channels):
        return f"{asked:g}"
    return f"{asked:g} ({asked - less:g} where marker, size and nucleus left no doubt)"


def _thresholds(run: Mapping[str, Any], sections: pd.DataFrame) -> Iterator[str]:
    """What the controls raised, and what was counted in them."""
    raised = [_RAISED[name] for name in _RAISED if name in _raised_by_controls(run)]
    if raised:
        thresholds = "Thresholds" if len(raised) > 1 else "The threshold"
        were = "were" if len(raised) > 1 else "was"
        yield (
            f"{thresholds} of {_listed(raised)} {were} raised per staining batch by its "
            "negative-control sections."
        )
    control = sections[is_control(sections)]
    done = control[control["status"] == "done"]
    failed = len(control) - len(done)
    if len(done):
        cells = pd.to_numeric(done["cells"], errors="coerce").sum()
        area = pd.to_numeric(done["tissue_mm2"], errors="coerce").sum()
        others = f"; {failed} more could not be analysed" if failed else ""
        yield (
            f"In {several(len(done), 'negative-control section')} ({area:.3g} mm² of "
            f"tissue) {several(int(cells), 'cell was', 'cells were')} counted{others}."
        )
    elif failed:
        marked = several(failed, "section was", "sections were")
        yield f"No negative-control section could be analysed ({marked} marked as one)."
    else:
        yield "There were no negative-control sections."


_RAISED = {
    "marker": "the marker",
    "score": "the network's score",
    "ring": "the marker's ring form",
}
"""Threshold to its name in a sentence."""


def _listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([part for part in (", ".join(names[:-1]), names[-1]) if part])


def _raised_by_controls(run: Mapping[str, Any]) -> set[str]:
    """The thresholds that controls raised in any batch."""
    gate = run.get("gate") or {}
    if "raised_by_controls" not in gate:  # of an earlier version: what its thresholds tell
        return {
            name
            for name, column in (("marker", "marker_counts"), ("score", "score_threshold"))
            for batch in gate.get("thresholds") or ()
            if batch.get("threshold_source") == "controls" and batch.get(column) is not None
        }
    return {name for raised in gate["raised_by_controls"].values() for name in raised}


def _phenotypes(run: Mapping[str, Any], gate: Mapping[str, Any]) -> Iterator[str]:
    names = [str(name) for name in run.get("phenotypes") or ()]
    if names:
        yield (
            f"Cells were positive for {', '.join(names)} where that channel exceeded the cell's "
            f"surroundings by {gate.get('phenotype_snr', 0):g} standard deviations of the noise "
            f"and "
            f"by {100 * gate.get('phenotype_fraction', 0):g} % of the channel's range in the batch."
        )


def _foci(run: Mapping[str, Any], foci: Mapping[str, Any]) -> str:
    profile = run.get("profile") or {}
    if not profile:
        return ""
    classes = "; ".join(_class(one) for one in profile.get("classes", ()))
    source = f" Source of the limits: {profile['source']}" if profile.get("source") else ""
    return (
        f"Positive cells whose outlines were at most {foci.get('link_um', 0):g} µm apart formed "
        f"one "
        f"focus. Foci were classified by the profile '{profile.get('name')}' (version "
        f"{profile.get('version', 1)}), the first class that fits: {classes}.{source}"
    )


def _immune(run: Mapping[str, Any], immune: Mapping[str, Any]) -> str:
    rules = run.get("phenotype_rules") or {}
    names = [str(name) for name, rule in rules.items() if (rule or {}).get("immune")]
    if not names or not immune:
        return ""
    return (
        f"{' and '.join(names)} positive cells were counted in bands of {immune['band_um']:g} µm "
        f"up to {immune['reach_um']:g} µm from the edge of the nearest focus, per mm² of tissue. "
        f"Nuclei were found as spots of {immune['nucleus_um']:g} µm; one was positive where the "
        f"marker exceeded its surroundings by {100 * immune['fraction']:g} % of the channel's "
        "range on more than half of its circumference."
    )


def _class(one: Mapping[str, Any]) -> str:
    limits = []
    if one.get("max_cells"):
        cells = "1 cell" if one["max_cells"] == 1 else f"at most {one['max_cells']} cells"
        limits.append(cells)
    if one.get("below_mm2"):
        limits.append(f"below {one['below_mm2']:g} mm²")
    return f"{one.get('name')}, {' and '.join(limits) or 'all others'}"


def _statistics(comparisons: pd.DataFrame | None) -> str:
    if comparisons is None:
        return ""
    unit = "The mouse was the experimental unit; counts were summed over its sections."
    if not is_compared(comparisons):
        return f"{unit} Groups were not compared."
    offset = "mm² of tissue" if set(comparisons.get("offset", ())) != {"none"} else "mouse"
    intervals = (
        ", with 95 % intervals; P values were adjusted for all comparisons (Holm)"
        if comparisons["p_model"].notna().any() else ""
    )  # fmt: skip
    return (
        f"{unit} Groups were "
        f"compared with the reference group of the same day by the ratio of their rates per "
        f"{offset} "
        f"from a negative binomial model with a dispersion shared by all groups and days{intervals}"
        ". Exact two-sided "
        "Mann-Whitney "
        "tests are given beside it. Mice with a section that could not be analysed were left out."
    )


def is_compared(comparisons: pd.DataFrame | None) -> bool:
    """Whether any group was compared with a reference: where both have mice is a rank test."""
    return comparisons is not None and bool(comparisons["p_rank"].notna().any())


def _review(mice: pd.DataFrame, sections: pd.DataFrame) -> str:
    said = review_in_words(mice, sections)
    counted = said or "Counting was automatic and not corrected by hand."
    return f"{counted} {audit_in_words(mice)}"
