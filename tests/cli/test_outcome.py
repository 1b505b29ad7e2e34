"""What a run prints at its end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from fociquant.cli.outcome import show_outcome
from fociquant.store import ResultsFolder


@pytest.fixture()
def outcome(tmp_path: Path):
    """Of two sections; of one, marked as a control, the gate thinks otherwise."""
    mice = pd.DataFrame({"mouse": ["007", "c1"], "cells": [3, 181], "tissue_mm2": [0.5, None]})
    sections = pd.DataFrame({"section": ["a", "b"], "reason": ["", "the file is damaged"]})
    refused = {"c1": "181 candidates in it pass the gate."}
    gating = SimpleNamespace(batches={"": SimpleNamespace(refused=refused)})
    tables = SimpleNamespace(
        mice=mice, sections=sections, gating=gating, not_read=("_audit--x.jsonl: line 2 is torn.",),
        classes=("solitary", "small_lesions"),
    )  # fmt: skip
    return SimpleNamespace(
        folder=ResultsFolder(tmp_path), tables=tables, failed=("b",), interrupted=False
    )


def test_what_is_wrong_is_said_below_the_counts(outcome, capsys):
    show_outcome(outcome, as_json=False)
    out, err = capsys.readouterr()
    assert "  007 " in out and str(outcome.folder.mice) in out
    assert err.splitlines() == [
        "c1: marked as negative control, not used as one: 181 candidates in it pass the gate.",
        "decisions that are not applied: _audit--x.jsonl: line 2 is torn.",
        "1 section not counted, see sections.csv:",
        "  b: the file is damaged",
    ]


def test_the_classes_shown_are_those_of_the_profile(outcome, capsys):
    outcome.tables.mice = outcome.tables.mice.assign(
        solitary=[1, 2], clusters=pd.NA, small_lesions=[4, 5], genotype="wt"
    )
    show_outcome(outcome, as_json=False)
    head = capsys.readouterr().out.splitlines()[0].split()
    assert head == ["mouse", "tissue_mm2", "cells", "solitary", "small_lesions"]
