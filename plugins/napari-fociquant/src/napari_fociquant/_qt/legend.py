"""What the colours mean, and how many there are of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QLabel

from napari_fociquant._colours import COLOURS, MEANINGS, SIGNS, class_colour
from napari_fociquant._looks import COUNTING
from napari_fociquant._qt.parts import LEGEND_STYLE, together

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk
    from napari_fociquant._section import OpenSection


TWICE = (
    "Some candidates are shown a second time, to see how well you agree with yourself. While you "
    "review blind each look is in these numbers; tables count each cell once."
)


class Legend(QLabel):
    """Live counts of the open section by state.

    Parameters
    ----------
    desk : Desk
    foci : bool
        Not where candidates are decided one by one: a second look changes no focus, and would
        be known by that.
    """

    def __init__(self, desk: Desk, *, foci: bool = True) -> None:
        super().__init__()
        self._desk, self._foci = desk, foci
        self.setWordWrap(True)
        desk.decided.connect(self.refresh)
        desk.section_changed.connect(self.refresh)
        desk.foci_changed.connect(self.refresh)
        desk.results_changed.connect(self.refresh)  # names may be shown by now
        self.refresh()

    def refresh(self) -> None:
        """Count again."""
        section = self._desk.section
        self.setStyleSheet("" if section is None else LEGEND_STYLE)
        self.setToolTip(TWICE if section is not None and self._desk.blinded else "")
        self.setText("" if section is None else self._text(section))

    def _text(self, section: OpenSection) -> str:
        codes, session = section.codes(), section.session
        looks = self._desk.blinded
        if looks:
            numbers = section.looks.numbers(session, codes)
            now, automatic = int(numbers[list(COUNTING)].sum()), section.looks.automatic(session)
        else:
            numbers = np.bincount(codes, minlength=max(COLOURS) + 1)
            now, automatic = session.reviewed_cells, int(session.positive_automatic.sum())
        parts = [
            f'<span style="color:{COLOURS[state]}">'
            + together(f"■ {SIGNS[state]}</span> {meaning} <b>{numbers[state]}</b>")
            for state, meaning in MEANINGS.items()
            if numbers[state] or state.name in ("COUNTED", "REJECTED")
        ]
        foci = self._foci or not looks
        what = "counted, with second looks" if looks else "cells with your decisions"
        total = f"<b>{now}</b> {what} ({automatic} automatic)"
        total += f", {len(section.foci)} foci" if foci else ""
        lines = [total, "&nbsp; ".join(parts)]
        lines += ["&nbsp; ".join(_classes(section))] if foci else []
        return "<br>".join(line for line in lines if line)


def _classes(section: OpenSection) -> list[str]:
    """Foci by class, in the colours of their rings; a single cell has none."""
    numbers = section.found
    return [
        f'<span style="color:{class_colour(place)}">'
        + together(f"{'◯' if place else '•'}</span> {name} <b>{numbers[name]}</b>")
        for place, name in enumerate(section.results.classes)
        if numbers[name]
    ]
