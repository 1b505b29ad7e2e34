"""What the page says of a review: finished, begun, blind or not; counts in full digits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fociquant.report._review import (
    blinding_in_words,
    review_in_words,
    review_section,
    touched_mice,
)
from fociquant.report._sides import mouse_sides


def mice(*reviewed):
    names = list("abcd")[: len(reviewed)]
    return pd.DataFrame({"mouse": names, "reviewed": list(reviewed)})


def sections(*review):
    return pd.DataFrame({"mouse": list("abcd")[: len(review)], "review": list(review)})


@pytest.mark.parametrize(
    ("done", "states", "said", "begun"),
    [
        (("no", "no"), ("", ""), "", 0),
        (("yes", "no"), ("signed off", ""), "1 of 2 mice were reviewed by eye.", 0),
        (("no", "no"), ("begun", ""), "The review of 1 of 2 mice is not finished", 1),
        (("yes", "no"), ("signed off", "outdated"), "of one more mouse is not finished", 1),
    ],
)
def test_a_review_that_is_not_finished_is_no_automatic_count(done, states, said, begun):
    words = review_in_words(mice(*done), sections(*states))
    assert said in words and bool(words) == bool(said)
    assert touched_mice(mice(*done), sections(*states)) == begun


def reviewers(**columns):
    table = pd.DataFrame({
        "section": ["s1", "s2"], "reviewer": "ana", "second_look": False, "status": "signed off",
        "decisions": 3, "comments": 0, "first": "2026-03-01", "last": "2026-03-01",
        "blinded": "yes", "note": np.nan,
    })  # fmt: skip
    return table.assign(**columns)


def test_blinding_is_claimed_only_where_it_held():
    assert blinding_in_words(None) == ""
    assert "until the last decision (2 reviews of sections)" in blinding_in_words(reviewers())
    partly = blinding_in_words(reviewers(blinded=["yes", "partly"]))
    assert "1 were made without knowing" in partly and "1 wholly or in part after" in partly
    assert blinding_in_words(reviewers(second_look=True)) == ""
    assert blinding_in_words(reviewers(blinded=np.nan)) == ""


def test_comments_stand_on_the_page_and_are_escaped():
    comments = pd.DataFrame({"section": ["s1"], "reviewer": ["ana"], "comment": ["<b>torn</b>"]})
    page = "".join(review_section({"reviewers": reviewers(), "comments": comments}))
    assert "&lt;b&gt;torn" in page and "<b>torn" not in page
    assert review_section({}) == []


def test_large_counts_are_written_in_full():
    table = pd.DataFrame({
        "mouse": ["a"], "group": ["IAV"], "dpi": 15.0, "cells": [12346], "cells_automatic": [12345],
        "cells_reviewed": [12346.0], "cells_corrected": [12350.4],
        "cells_corrected_low": [999.44], "cells_corrected_high": [1e6 + 0.4],
    })  # fmt: skip
    row = mouse_sides(table).iloc[0].tolist()
    assert row[3:] == ["12345", "12346", "12350 (999.4 to 1000000)"]
