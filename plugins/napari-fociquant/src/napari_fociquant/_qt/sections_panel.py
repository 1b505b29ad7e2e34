"""Sections of a results folder under their codes: open, mark, count again, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from fociquant.review import Entry, Reviewer, ReviewMark, View
from napari_fociquant._qt.counts_table import CountsTable
from napari_fociquant._qt.parts import header_of, side_header_of
from napari_fociquant._qt.process import Command, said_by
from napari_fociquant._qt.results_desk import GONE
from napari_fociquant._qt.room import Body, Scrolled, WrappingRow, rows_px
from napari_fociquant._qt.tips import SECTION_TIPS
from napari_fociquant._qt.unblinding import ask_to_unblind

if TYPE_CHECKING:
    from napari_fociquant._qt.desk import Desk

HIDDEN_COLUMNS = ("section", "mouse", "group", "dpi")
"""Shown only after unblinding."""

COLUMNS = ("code", "status", "cells", "my review", "others")

ROWS = 5
"""Sections that are listed at once, at least."""

REPORT = "report.html"
"""Name of the report in the results folder."""

NOTHING = "Open a results folder, or drop one on the window."
"""Said where no results are open."""

EXPORTED = "Written to the folder 'exports' of the results: 'Open folder' shows it, once unblinded."
"""Said after an export."""

FORMATS = ("prism", "xlsx", "geojson", "imagej")
"""What ``fociquant export`` writes."""


class SectionsPanel(QWidget):
    """The list of sections, and what one does with all of them."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.command = Command(self)
        self.reviewer = QLineEdit(desk.reviewer)
        self.reviewer.setPlaceholderText("your name or initials")
        self.table = QTableWidget()
        self.table.setAccessibleName("Sections")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.summary = QLabel(NOTHING)
        self.summary.setWordWrap(True)
        self.formats = {name: QCheckBox(name) for name in FORMATS}
        self.buttons = {
            "results": QPushButton("Open results …"), "open": QPushButton("Open section"),
            "images": QPushButton("Where are the images? …"), "unblind": QPushButton("Unblind …"),
            "recount": QPushButton("Recount"), "export": QPushButton("Export"),
            "report": QPushButton("Open report"), "folder": QPushButton("Open folder"),
            "adopt": QPushButton("Decisions that are not trusted …"),
        }  # fmt: skip
        self.counts = CountsTable(desk)
        self._after, self._root = "", Path()
        self._build()
        self._connect()
        self.refresh()

    def _build(self) -> None:
        name = WrappingRow()
        name.addWidget(QLabel("Reviewer"))
        name.addWidget(self.reviewer, 1)
        name.addWidget(self.buttons["results"])
        rows = [WrappingRow(), WrappingRow(), WrappingRow()]
        for place, key in enumerate(("open", "images", "unblind", "recount", "report", "folder")):
            rows[place // 2].addWidget(self.buttons[key])
        export = WrappingRow()
        for box in self.formats.values():
            export.addWidget(box)
        export.addWidget(self.buttons["export"])
        self.formats["prism"].setChecked(True)
        self.formats["xlsx"].setChecked(True)
        for key, tip in SECTION_TIPS.items():
            self.buttons[key].setToolTip(tip)
        side_header_of(self.table).hide()
        self.table.setMinimumHeight(rows_px(self.table, ROWS))
        body = Body()
        inner = body.column
        inner.addLayout(name)
        inner.addWidget(self.summary)
        inner.addWidget(self.table, 1)
        inner.addWidget(self.counts)
        for row in rows:
            inner.addLayout(row)
        inner.addWidget(self.buttons["adopt"])
        inner.addLayout(export)
        layout = QVBoxLayout(self)
        layout.addWidget(Scrolled(body))

    def _connect(self) -> None:
        self.reviewer.editingFinished.connect(lambda: self._set_reviewer())
        self.table.doubleClicked.connect(lambda index: self.open_row(index.row()))
        actions = {
            "results": self._ask_results, "open": lambda: self.open_row(self.table.currentRow()),
            "images": self._ask_images, "recount": self.recount, "export": self.export,
            "unblind": lambda: ask_to_unblind(self.desk, self), "adopt": self._ask_to_adopt,
            "report": lambda: self.show_file(REPORT), "folder": lambda: self.show_file(""),
        }  # fmt: skip
        for name, action in actions.items():
            self.buttons[name].clicked.connect(lambda _=False, a=action: a())
        self.desk.results_changed.connect(self.refresh)
        self.desk.section_changed.connect(self._show_open)
        self.command.finished.connect(self._finish)

    def _set_reviewer(self) -> None:
        self.desk.set_reviewer(self.reviewer.text())
        self.reviewer.setText(self.desk.reviewer)  # as it was, if the name was refused

    # The list

    def views(self) -> list[View]:
        """Sections in the order of the list: random, as the blinding has them."""
        return self.desk.views()

    def refresh(self) -> None:
        """Fill the list again."""
        desk = self.desk
        columns = COLUMNS if desk.blinded else (*COLUMNS, *HIDDEN_COLUMNS)
        views = self.views()
        here = self._chosen
        self.table.clear()
        self.table.setColumnCount(len(columns))
        self.table.setHorizontalHeaderLabels(list(columns))
        self.table.setRowCount(len(views))
        marks = desk.marks()
        for place, view in enumerate(views):
            why = self._why(view)
            for column, text in enumerate(self._texts(view, marks)[: len(columns)]):
                item = QTableWidgetItem(text)
                item.setToolTip(why)
                self.table.setItem(place, column, item)
        self._go_to(here)
        self.table.setColumnHidden(COLUMNS.index("cells"), desk.blinded)  # they would tell
        header = header_of(self.table)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        section = desk.section
        self.buttons["adopt"].setVisible(section is not None and bool(section.session.adoptable))
        self._summarise(views, marks)

    @property
    def _chosen(self) -> str:
        """Code of the line that is selected; ``""`` if none is."""
        item = self.table.item(self.table.currentRow(), 0)
        return item.text() if item is not None else ""

    def _go_to(self, code: str) -> None:
        """Select the line of a section."""
        for place, view in enumerate(self.views()):
            if view.code == code:
                self.table.setCurrentCell(place, 0)

    def _show_open(self) -> None:
        """The list is at the section that was opened."""
        self.refresh()
        self._go_to(self.desk.code)

    def _why(self, view: View) -> str:
        """What the run has to say about a section, without words that unblind."""
        row = self.desk.results.row(view.section) if self.desk.results else {}
        said = [str(row.get(name, "")) for name in ("reason", "warnings")]
        return self.desk.redact("\n".join(text for text in said if text and text != "nan"))

    def _summarise(self, views: list[View], marks: list[ReviewMark]) -> None:
        if not views:
            self.summary.setText(NOTHING)
            return
        if self.desk.results is not None and not self.desk.results.root.is_dir():
            self.summary.setText(GONE)  # who has done what is not known
            return
        mine = [mark for mark in marks if self._is_mine(mark) and mark.signed_off]
        how = "blinded: random order, coded names" if self.desk.blinded else "not blinded"
        ask = "" if self.desk.reviewer else " Write your name or initials above."
        self.summary.setText(f"{len(mine)} of {len(views)} sections signed off by you; {how}.{ask}")
        self.buttons["unblind"].setEnabled(self.desk.blinded)
        tip = SECTION_TIPS["unblind"] if self.desk.blinded else "Names are shown already"
        self.buttons["unblind"].setToolTip(tip)

    def _is_mine(self, mark: ReviewMark) -> bool:
        return mark.reviewer == self.desk.reviewer and mark.station == Reviewer("x").station

    def _texts(self, view: View, marks: list[ReviewMark]) -> list[str]:
        row = self.desk.results.row(view.section) if self.desk.results else {}
        here = [m for m in marks if m.section == view.section and m.repeat == view.repeat]
        mine = [mark for mark in here if self._is_mine(mark)]
        others = {mark.reviewer for mark in here if not self._is_mine(mark)}
        status = str(row.get("status", ""))
        cells = row.get("cells")
        number = f"{cells:.0f}" if status == "done" and not self.desk.blinded else ""
        texts = [view.code, status, number, _progress(mine), f"{len(others)}" if others else ""]
        hidden = ("section", "mouse", "group", "dpi")
        return texts + [_short(row.get(name, "")) for name in hidden]

    def open_row(self, place: int) -> None:
        """Open the section of a line."""
        if 0 <= place < len(self.views()):
            self.desk.open_section(self.views()[place].code)
            if not self.desk.reviewer:
                self.reviewer.setFocus()  # which is what is asked for
        else:
            self.desk.say("Select a section in the list first.")

    def show_file(self, name: str) -> None:
        """Open the report, or the folder of the results, in the program that is made for it."""
        results = self.desk.results
        if results is None:
            self.desk.say("Open a results folder first.")
            return
        if self.desk.blinded:
            self.desk.say("Names, groups and counts stand there. 'Unblind …' first.")
            return
        path = results.root / name
        if not path.exists():
            self.desk.say(f"{path} is not there. 'Recount' makes the tables and the report.")
        elif not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
            self.desk.say(f"No program took it. It is here: {path}")

    # What is asked

    def _ask_results(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "Results folder of fociquant", str(Path.home())
        )
        if chosen:
            self.desk.open_results(Path(chosen))

    def _ask_images(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "Folder of the study, with its images", str(Path.home())
        )
        if chosen:
            self.desk.set_image_folder(Path(chosen))

    def _ask_to_adopt(self) -> None:
        """Show what a damaged log holds; adopted only if the reviewer says so."""
        section = self.desk.section
        if section is None:
            return
        entries = section.session.adoptable
        box = QMessageBox(self)
        box.setWindowTitle("Decisions that are not trusted")
        box.setText(
            f"{len(entries)} decisions of this section stand behind a place where the log was "
            "changed. They are kept and not applied. Look through them: if they are yours, they "
            "can be decided again."
        )
        box.setDetailedText("\n".join(in_words(entry) for entry in entries))
        adopt = box.addButton("Decide them again", QMessageBox.ButtonRole.AcceptRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        if box.clickedButton() is adopt:
            self.desk.adopt_untrusted()

    # Tables and files

    def recount(self) -> None:
        """Make the tables again with all decisions, in another process."""
        self._run("recount", [])

    def export(self) -> None:
        """Recount, then write files for other programs into ``exports``."""
        chosen = [name for name, box in self.formats.items() if box.isChecked()]
        if not chosen:
            self.desk.say("Choose at least one format to export.")
            return
        self._run("recount", chosen)

    def _run(self, command: str, formats: list[str]) -> None:
        if self.desk.results is None:
            self.desk.say("Open a results folder first.")
            return
        if not self.desk.there():
            return
        if self.command.running:
            self.desk.say("The tables are being made; one moment.")
            return
        self._after, self._root = ",".join(formats), self.desk.results.root
        self._busy(True)
        self.summary.setText("Making the tables and the report …")
        self.command.start(["-m", "fociquant", command, str(self._root), "--json"])

    def _busy(self, busy: bool) -> None:
        for name in ("recount", "export"):
            self.buttons[name].setEnabled(not busy)

    def _finish(self, code: int, out: str, errors: str) -> None:
        if code not in (0, 1):
            self._busy(False)
            self.refresh()
            self.desk.say(said_by(errors, "The tables could not be made."))
            return
        if self._after:
            formats, self._after = self._after, ""
            # Of what was counted again; other results may be open by now.
            root = str(self._root)
            self.command.start(["-m", "fociquant", "export", root, "--to", formats, "--json"])
            return
        self._busy(False)
        exported = '"files"' in out
        self.desk.say(EXPORTED if exported else
                      "Tables and report hold all decisions now.")  # fmt: skip
        self.desk.reread()


def in_words(entry: Entry) -> str:
    """A decision on one line."""
    cells = entry.cells
    place = f" at y {cells[0].y_um:.0f}, x {cells[0].x_um:.0f} µm" if cells else ""
    more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
    reason = f" ({entry.reason})" if entry.reason else ""
    return f"{entry.time}  {entry.action}{place}{more}{reason}"


def _progress(mine: list[ReviewMark]) -> str:
    if not mine:
        return ""
    if all(mark.signed_off for mark in mine):
        return "signed off"
    return f"{sum(mark.decisions for mark in mine)} decisions"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
