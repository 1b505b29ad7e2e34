"""The Methods paragraph and the remarks say what was done: the numbers in use, whole sentences."""

from __future__ import annotations

import pandas as pd
import pytest

from fociquant.report._methods import has_stains, methods
from fociquant.settings import GateSettings, Settings, load_settings

AF = {"marker": "HER2", "nucleus": "DAPI", "autofluorescence": "AF"}


def paragraph(settings: Settings, channels: dict[str, str], source: str = "section") -> str:
    run = {
        "settings": settings.model_dump(mode="json"),
        "channel_names": channels,
        "model": {"name": "compact", "sha256": "0" * 64},
    }
    sections = pd.DataFrame(
        {"section": ["a"], "status": ["done"], "control": ["negative"], "cells": [2],
         "tissue_mm2": [1.5], "threshold_source": [source]}
    )  # fmt: skip
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
    told = paragraph(Settings(), AF, source="controls")
    assert "were raised per staining batch by its negative-control sections. In 1 neg" in told
    assert "raised per staining" not in paragraph(Settings(), AF)


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
