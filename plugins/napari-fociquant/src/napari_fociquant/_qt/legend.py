"""What the colours mean, and how many there are of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QLabel

from napari_fociquant._colours import COLOURS, MEANINGS, SIGNS, class_colour
from napari_fociquant._qt.parts import LEGEND_STYLE, together

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk
    from napari_fociquant._section import OpenSection


class Legend(QLabel):
    """Live counts of the open section by state."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.setWordWrap(True)
        self.setStyleSheet(LEGEND_STYLE)
        desk.decided.connect(self.refresh)
        desk.section_changed.connect(self.refresh)
        desk.foci_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Count again."""
        section = self._desk.section
        self.setText("" if section is None else self._text(section))

    @staticmethod
    def _text(section: OpenSection) -> str:
        numbers = np.bincount(section.codes(), minlength=max(COLOURS) + 1)
        parts = [
            f'<span style="color:{COLOURS[state]}">'
            + together(f"■ {SIGNS[state]}</span> {meaning} <b>{numbers[state]}</b>")
            for state, meaning in MEANINGS.items()
            if numbers[state] or state.name in ("COUNTED", "REJECTED")
        ]
        now = section.session.reviewed_cells
        automatic = int(section.session.positive_automatic.sum())
        foci = len(section.foci)
        total = f"<b>{now}</b> cells with your decisions ({automatic} automatic), {foci} foci"
        lines = [total, "&nbsp; ".join(parts), "&nbsp; ".join(_classes(section))]
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
