"""What a report shows besides the tables, and the pieces that a page is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from fociquant.report._crops import Crops
from fociquant.report._style import save


def _no_candidates() -> pd.DataFrame:
    return pd.DataFrame(columns=["section", "flags", "positive", "candidates"])


def _none_shown() -> pd.DataFrame:
    return pd.DataFrame(columns=["section", "cell", "positive", "flags"])


@dataclass(frozen=True)
class ReportExtras:
    """What lies in a results folder beside the tables; every part may be absent.

    Parameters
    ----------
    candidates : pandas.DataFrame
        ``section, flags, positive, candidates``: the number of candidates of each section
        that have the same flags (names joined by ``;``).
    shown : pandas.DataFrame
        ``section, cell, positive, flags`` of the cells in `crops`, as they are judged now.
    crops : mapping of str to Crops
        Section to pictures of some of its cells.
    overviews : mapping of str to pathlib.Path
        Section to its overview picture.
    tables : mapping of str to pandas.DataFrame
        Further tables by the stem of their file: ``thresholds``, ``gate_sweep``, ``link_sweep``.
    seams : pandas.DataFrame
        ``section, length_mm, objects, control_objects, repeats``: what was found along the
        borders at which a section was divided for computing, and along control lines.
    """

    candidates: pd.DataFrame = field(default_factory=_no_candidates)
    shown: pd.DataFrame = field(default_factory=_none_shown)
    crops: Mapping[str, Crops] = field(default_factory=dict)
    overviews: Mapping[str, Path] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    seams: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture of the page, or why there is none.

    Parameters
    ----------
    caption : str
        What is seen and how to read it.
    alt : str
        The same for who cannot see it.
    paths : sequence of pathlib.Path
        The picture's files.
    reason : str
        Why there is no picture, in a plain sentence; empty if there is one.
    content : bytes
        A smaller version of the picture for the page; without it a file of `paths` is used.
    suffix : str
        Kind of `content`, for example ``.jpg``.
    """

    caption: str
    alt: str
    paths: Sequence[Path] = ()
    reason: str = ""
    content: bytes = b""
    suffix: str = ""


def panel(drawn: Figure | str, stem: Path, *, caption: str, alt: str) -> Panel:
    """Save a figure as a panel; a text is the reason why there is none.

    Must be called inside :func:`~fociquant.report._style.figure_style`.
    """
    if isinstance(drawn, str):
        return Panel(caption, alt, reason=drawn)
    return Panel(caption, alt, paths=tuple(save(drawn, stem)))
