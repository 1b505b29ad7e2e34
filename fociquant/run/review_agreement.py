"""How far reviewers agree with each other, with the program and with themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from fociquant.model import Section
from fociquant.review import (
    AuditDesign,
    Kappa,
    Log,
    Reader,
    SectionReview,
    audit_agreement,
    audit_verdicts,
    bland_altman,
    cohen_kappa,
    repeat_pairs,
)
from fociquant.review.replay import SIGNED

AGREEMENT_COLUMNS: tuple[str, ...] = (
    "comparison", "reviewer", "other", "objects", "agreement", "kappa", "kappa_low", "kappa_high",
    "mice", "bias", "limit_low", "limit_high",
)  # fmt: skip
"""Columns of ``review/agreement.csv``."""

PROGRAM = "program"
"""In place of a reviewer: the automatic result."""

Who = tuple[str, str]


def agreement_table(
    sections: Sequence[Section],
    reviews: Mapping[str, SectionReview],
    automatic: Mapping[str, np.ndarray],
    own: Mapping[str, np.ndarray],
    logs: Mapping[str, Sequence[Log]],
    design: AuditDesign | None,
) -> pd.DataFrame:
    """Every comparison that the logs allow.

    Parameters
    ----------
    sections : sequence of Section
    reviews : mapping of str to SectionReview
        By section.
    automatic : mapping of str to numpy.ndarray of bool
        By section: which candidates count without review.
    own : mapping of str to numpy.ndarray of bool
        By section: which candidates are its own, and not of another one on the same slide,
        about which all would agree without having looked.
    logs : mapping of str to sequence of Log
    design : AuditDesign or None

    Returns
    -------
    pandas.DataFrame
        `AGREEMENT_COLUMNS`. ``comparison``: ``reviewers`` and ``program`` (all own candidates
        of sections that both signed off; the program has signed everything), ``repeats``
        (hidden repeats of objects), ``second look`` (sections shown twice), ``audit``.
        Bland-Altman limits run over mice of which both have signed off a section.
    """
    looks = {
        one.name: _looks(reviews[one.name], automatic[one.name], own[one.name])
        for one in sections
        if one.name in reviews
    }
    mouse_of = {one.name: (one.mouse, one.group, one.dpi) for one in sections}
    people = sorted({who for some in looks.values() for who in some} - {(PROGRAM, "")})
    rows = [_compare("reviewers", a, b, looks, mouse_of) for a, b in combinations(people, 2)]
    rows += [_compare("program", (PROGRAM, ""), who, looks, mouse_of) for who in people]
    rows += _repeats(logs)
    rows += _second_looks(reviews, own, looks, people)
    if design is not None:
        verdicts = audit_verdicts(design, (log for own in logs.values() for log in own))
        rows += [
            _row("audit", one, other, kappa)
            for one, other, kappa in audit_agreement(design, verdicts)
        ]
    table = pd.DataFrame([row for row in rows if row["objects"]], columns=list(AGREEMENT_COLUMNS))
    return table.astype({"objects": "int64", "mice": "int64"})


def _looks(
    review: SectionReview, automatic: np.ndarray, own: np.ndarray
) -> dict[Who, tuple[np.ndarray, int]]:
    """Verdicts on the candidates, and cells in all, of everyone who signed the section off."""
    signed = [reader for reader in review.readers if reader.status == SIGNED]
    looks = {_who(reader): (reader.verdict[own], reader.cells) for reader in signed}
    return looks | {(PROGRAM, ""): (automatic[own], int(automatic.sum()))}


def _who(reader: Reader) -> Who:
    return reader.reviewer, reader.station


def _compare(
    comparison: str,
    one: Who,
    other: Who,
    looks: Mapping[str, Mapping[Who, tuple[np.ndarray, int]]],
    mouse_of: Mapping[str, Any],
) -> dict[str, Any]:
    both = [name for name, own in looks.items() if one in own and other in own]
    first = [looks[name][one][0] for name in both]
    second = [looks[name][other][0] for name in both]
    mice = list(dict.fromkeys(mouse_of[name] for name in both))
    counts = np.zeros((2, len(mice)))
    for name in both:
        counts[:, mice.index(mouse_of[name])] += looks[name][one][1], looks[name][other][1]
    row = _row(comparison, one, other, cohen_kappa(_joined(first), _joined(second)))
    limits = bland_altman(*counts)
    return row | {"mice": limits.n, "bias": limits.bias, "limit_low": limits.low,
                  "limit_high": limits.high}  # fmt: skip


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, bool), *arrays])


def _row(comparison: str, one: Who, other: Who, kappa: Kappa) -> dict[str, Any]:
    return {
        "comparison": comparison, "reviewer": _name(one), "other": _name(other),
        "objects": kappa.n, "agreement": kappa.agreement, "kappa": kappa.kappa,
        "kappa_low": kappa.low, "kappa_high": kappa.high,
        "mice": 0, "bias": math.nan, "limit_low": math.nan, "limit_high": math.nan,
    }  # fmt: skip


def _name(who: Who) -> str:
    return who[0] if not who[1] else f"{who[0]} ({who[1][:4]})"


def _repeats(logs: Mapping[str, Sequence[Log]]) -> list[dict[str, Any]]:
    pairs: dict[Who, list[tuple[bool, bool]]] = {}
    for own in logs.values():
        for log in own:
            pairs.setdefault((log.reviewer, log.station), []).extend(repeat_pairs(log.entries))
    return [
        _row("repeats", who, who, cohen_kappa([a for a, _ in some], [b for _, b in some]))
        for who, some in sorted(pairs.items())
    ]


def _second_looks(
    reviews: Mapping[str, SectionReview],
    own: Mapping[str, np.ndarray],
    looks: Mapping[str, Mapping[Who, tuple[np.ndarray, int]]],
    people: Sequence[Who],
) -> list[dict[str, Any]]:
    rows = []
    for who in people:
        pairs = [
            (looks[name][who][0], again.verdict[own[name]])
            for name, review in reviews.items() for again in review.second_looks
            if again.status == SIGNED and _who(again) == who and who in looks[name]
        ]  # fmt: skip
        kappa = cohen_kappa(_joined([a for a, _ in pairs]), _joined([b for _, b in pairs]))
        rows.append(_row("second look", who, who, kappa))
    return rows
