"""What people did to the counts: who looked at what, whether blind, and what they remarked."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from fociquant.counts import several
from fociquant.report import _html as html

REVIEWERS_SHOWN = ("section", "reviewer", "second_look", "status", "decisions", "comments",
                   "first", "last", "blinded", "note")  # fmt: skip
"""Columns of the page's table of reviewers; all are in review/reviewers.csv."""

COMMENTS_SHOWN = 500
"""Comments on the page; all are in review/comments.csv."""

BEGUN = ("begun", "outdated")
"""Reviews of a section that changed counts and are not signed off."""


def reviewed_mice(mice: pd.DataFrame) -> int:
    """Mice of which every counted section is signed off."""
    return int((mice["reviewed"] == "yes").sum()) if "reviewed" in mice else 0


def touched_mice(mice: pd.DataFrame, sections: pd.DataFrame) -> int:
    """Mice with decisions of reviewers that are not signed off: they are in the counts too."""
    if "review" not in sections or "reviewed" not in mice:
        return 0
    begun = set(sections.loc[sections["review"].isin(("signed off", *BEGUN)), "mouse"])
    return int((mice["mouse"].isin(begun) & (mice["reviewed"] != "yes")).sum())


def review_in_words(mice: pd.DataFrame, sections: pd.DataFrame) -> str:
    """What was reviewed by eye, one or two sentences."""
    done, begun = reviewed_mice(mice), touched_mice(mice, sections)
    said = f"The cells of {done} of {len(mice)} mice were reviewed by eye." if done else ""
    if begun:
        more = "one more mouse" if begun == 1 else f"{begun} more mice"
        some = more if done else f"{begun} of {len(mice)} mice"
        said += (
            f" The review of {some} is not finished; the decisions made so far are in the counts."
        )
    return said.strip()


def blinding_in_words(reviewers: pd.DataFrame | None) -> str:
    """Whether those who decided had seen names and groups; ``""`` where nobody decided."""
    if reviewers is None or not len(reviewers):
        return ""
    table = reviewers[reviewers["blinded"].isin(["yes", "no", "partly"])]
    table = table[~_second_looks(table)]
    if not len(table):
        return ""
    names = table["reviewer"].nunique()
    who = "One reviewer" if names == 1 else f"{names} reviewers"
    blind = int((table["blinded"] == "yes").sum())
    looks = several(len(table), "review of a section", "reviews of sections")
    if blind == len(table):
        return (
            f"{who} saw sections under codes in random order, without group, day, mouse and file "
            f"name, until the last decision ({looks})."
        )
    return (
        f"{who}, {looks}: {blind} were made without knowing group, day and mouse, "
        f"{len(table) - blind} wholly or in part after names had been shown (written down in "
        "review/reviewers.csv)."
    )


def _second_looks(table: pd.DataFrame) -> pd.Series:
    return table["second_look"].astype(str).str.lower() == "true"


def review_section(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """HTML about reviewers and their comments; empty where nobody has reviewed."""
    reviewers, remarks = tables.get("reviewers"), tables.get("comments", pd.DataFrame())
    if reviewers is None or not len(reviewers):
        return []
    pieces = []
    said = blinding_in_words(reviewers)
    if said:
        pieces.append(f"<p>{html.text(said)}</p>")
    pieces.append(html.table(reviewers[list(REVIEWERS_SHOWN)]))
    if len(remarks):
        pieces += ["<h3>Comments of reviewers</h3>", html.table(remarks.head(COMMENTS_SHOWN))]
    if len(remarks) > COMMENTS_SHOWN:
        pieces.append(f"<p>{len(remarks) - COMMENTS_SHOWN} more in review/comments.csv.</p>")
    return pieces
