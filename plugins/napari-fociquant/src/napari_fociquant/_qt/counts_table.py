"""Counts of each mouse: automatic, reviewed and audit-corrected, side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd
from qtpy.QtWidgets import (
    QAbstractItemView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_fociquant._qt.parts import header_of, side_header_of, title_label
from napari_fociquant._qt.room import rows_px

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk

MANY = 1000.0
"""Counts from here on are written without decimals."""

LEAST_ROWS, MOST_ROWS = 2, 6
"""Mice that are listed at once; more are scrolled to."""

HEADINGS = ("mouse", "group", "dpi", "automatic", "reviewed", "corrected", "95 % interval")


class CountsTable(QWidget):
    """Rows of ``mice.csv``; only once the reviewer has been unblinded.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setAccessibleName("Cells of each mouse")
        title = title_label()
        title.setText("Cells of each mouse, as of the last recount")
        title.setToolTip(
            f"{title.text()}. automatic: before review; reviewed: where all sections are signed "
            "off; corrected: estimated by the audit"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(title)
        layout.addWidget(self.table)
        desk.results_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Read the table again; nothing of it is held while blinded."""
        results = self._desk.results
        rows: list[list[str]] = []
        if results is not None and not self._desk.blinded:
            mice = self._desk.attempt(results.mice)
            rows = count_rows(mice) if mice is not None else []
        self.table.clear()
        self.table.setColumnCount(len(HEADINGS))
        self.table.setHorizontalHeaderLabels(list(HEADINGS))
        self.table.setRowCount(len(rows))
        for y, row in enumerate(rows):
            for x, text in enumerate(row):
                self.table.setItem(y, x, QTableWidgetItem(text))
        header_of(self.table).setStretchLastSection(True)
        side_header_of(self.table).hide()
        self.table.resizeColumnsToContents()
        # No higher than its rows: what is left is for the list of sections.
        heights = [rows_px(self.table, min(len(rows), most)) for most in (LEAST_ROWS, MOST_ROWS)]
        self.table.setMinimumHeight(heights[0])
        self.table.setMaximumHeight(heights[1])
        self.setVisible(bool(rows))


def count_rows(mice: pd.DataFrame) -> list[list[str]]:
    """Texts of the table.

    Parameters
    ----------
    mice : pandas.DataFrame
        ``mice.csv``; columns that a review adds may be missing.
    """
    return [_texts(row) for row in mice.to_dict(orient="records")]


def _texts(row: dict[Any, Any]) -> list[str]:
    automatic = row.get("cells_automatic", row.get("cells"))
    low, high = (number(row.get(f"cells_corrected_{end}")) for end in ("low", "high"))
    counts = [number(automatic), _reviewed(row), number(row.get("cells_corrected"))]
    interval = f"{low} to {high}" if low and high else ""
    return [str(row["mouse"]), str(row["group"]), f"{row['dpi']:g}", *counts, interval]


def _reviewed(row: dict[Any, Any]) -> str:
    """The reviewed count; of a review that is not signed off, what it has come to."""
    final = number(row.get("cells_reviewed"))
    now, before = number(row.get("cells")), number(row.get("cells_automatic"))
    return final or (f"{now} so far" if now and before and now != before else "")


def number(value: Any) -> str:
    """A count in words; ``""`` where there is none."""
    try:
        known = float(value)
    except (TypeError, ValueError):
        return ""
    if not math.isfinite(known):
        return ""
    # As in the report: four digits, no decimals from a thousand on.
    return f"{known:.0f}" if abs(known) >= MANY else f"{known:.4g}"
