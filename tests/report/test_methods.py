"""The Methods paragraph and the remarks say what was done: the numbers in use, whole sentences."""

from __future__ import annotations

import pandas as pd
import pytest

from fociquant.report._methods import has_stains, methods
from fociquant.settings import GateSettings, Settings, load_settings

AF = {"marker": "HER2", "nucleus": "DAPI", "autofluorescence": "AF"}


def paragraph(
    settings: Settings, channels: dict[str, str], raised=(), controls=(("done", 2, 1.5),)
) -> str:
    run = {
        "gate": {"raised_by_controls": {"b1": list(raised), "b2": []}},
        "settings": settings.model_dump(mode="json"),
        "channel_names": channels,
        "model": {"name": "compact", "sha256": "0" * 64},
    }
    sections = pd.DataFrame(controls, columns=["status", "cells", "tissue_mm2"]).assign(
        section="a", control="negative", threshold_source="controls"
    )
    mice = pd.DataFrame({"mouse": ["m"], "control": [""], "reviewed": ["no"]})
    return " ".join(methods(run, mice, sections, None))


@pytest.mark.parametrize(
    ("gate", "channels", "score"),
    [
        (
            {"min_score": 2.8, "without_autofluorescence_min_score": 3.5}, AF,
            "2.8 (2 where marker, size and nucleus left no doubt)",
        ),
        ({"min_score": 2.8, "evident_less_score": 0}, AF, "2.8"),
        ({"min_score": 2.8, "without_autofluorescence_min_score": 3.5}, {"marker": "G"}, "3.5"),
        ({"min_score": 2.8, "without_autofluorescence_min_score": 2.0}, {"marker": "G"}, "2.8"),
    ],
)  # fmt: skip
def test_the_score_told_is_the_score_asked_for(gate, channels, score):
    settings = Settings(gate=GateSettings(**gate))
    assert f"the network's mean score was at least {score}." in paragraph(settings, channels)


def test_the_floor_told_is_the_floor_asked_for():
    gate = {"marker_snr": 3.0, "certain_score": 4.5}
    half = "more than 3 (1.5 where the network's mean score was at least 4.5) standard deviations"
    assert half in paragraph(Settings(gate=GateSettings(**gate)), AF)
    whole = "more than 3 standard deviations"
    assert whole in paragraph(Settings(gate=GateSettings(**gate)), {"marker": "G"})
    gate["certain_marker_fraction"] = 1.0
    assert whole in paragraph(Settings(gate=GateSettings(**gate)), AF)


def test_raised_thresholds_are_a_whole_sentence():
    told = paragraph(Settings(), AF, raised=["marker", "score"])
    assert (
        "Thresholds of the marker and the network's score were raised per staining batch by its "
        "negative-control sections. In 1 neg"
    ) in told
    score = paragraph(Settings(), AF, raised=["score"])
    assert "The threshold of the network's score was raised per staining batch" in score


def test_thresholds_that_controls_left_alone_are_not_called_raised():
    assert "raised" not in paragraph(Settings(), AF)


def test_controls_that_failed_are_no_zeros():
    both = paragraph(Settings(), AF, controls=(("done", 2, 1.5), ("failed", None, None)))
    said = "In 1 negative-control section (1.5 mm² of tissue) 2 cells were counted; 1 more could"
    assert said in both
    none = paragraph(Settings(), AF, controls=(("failed", None, None),))
    assert "No negative-control section could be analysed (1 section was marked as one)." in none
    assert "0 cells" not in none and "There were no negative" not in none


def test_colour_images_are_told_as_such():
    brown = load_settings("dab_ihc", {})
    told = paragraph(brown, {"marker": "DAB", "nucleus": "haematoxylin"})
    assert "Colour images were separated into DAB and haematoxylin by optical density" in told
    assert "it had a nucleus" not in told
    assert "standard deviations of the pixel noise and an optical density of 0.07," in told
    counts = paragraph(Settings(gate=GateSettings(min_marker_counts=250.0)), AF)
    assert "of the pixel noise and 250 counts," in counts
    assert "optical density" not in paragraph(Settings(), AF)
    assert has_stains({"settings": brown.model_dump(mode="json")})
    assert not has_stains({"settings": Settings().model_dump(mode="json")}) and not has_stains({})
