"""A study being written: the table of sections, the channels, and what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QTextCursor
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QListWidget,
    QPlainTextEdit,
    QPushButton,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from fociquant.errors import FociquantError, InputError
from fociquant.study import STUDY_FILE
from fociquant.study.guess import Roles
from napari_fociquant._draft import (
    Draft,
    RowProblem,
    open_draft,
    place_problems,
    save_draft,
    study_text_of,
    with_new_images,
)
from napari_fociquant._qt.parts import header_of
from napari_fociquant._qt.process import Command, said_by
from napari_fociquant._qt.room import WrappingRow
from napari_fociquant._qt.sheet_table import SheetTable
from napari_fociquant._qt.tips import COLUMN_TIPS, ROLE_TIPS

WRONG = QColor(213, 94, 0, 110)
"""Ground of a cell with a problem."""

HIDDEN = (
    "This is the study of the results that you review: its table would show groups and days. "
    "Unblind first, or let somebody else change it."
)

_STUDY_LINE = re.compile(rf"{re.escape(STUDY_FILE)}, line (\d+)")

NONE = "none"
"""A role that no channel plays."""


class DraftPanel(QWidget):
    """Folder, table, channels, check.

    Parameters
    ----------
    hides : callable
        Whether a study must not be seen.

    Attributes
    ----------
    checked : Signal(bool)
        The check has ended; true if the study can be counted.
    told : Signal(str)
        Something the user must be told.
    stood : Signal(str)
        How far the study is, and what comes next.
    """

    checked = Signal(bool)
    told = Signal(str)
    stood = Signal(str)

    def __init__(self, hides: Callable[[Draft], bool]) -> None:
        super().__init__()
        self._hides = hides
        self.draft: Draft | None = None
        self.command = Command(self)
        self.folder = QLabel("Choose the folder that holds the section images.")
        self.folder.setWordWrap(True)
        self.choose = QPushButton("Folder of images …")
        self.table = SheetTable()
        self.table.setAccessibleName("Sections of the study")
        self.table.setMinimumHeight(160)
        self.problems = QListWidget()
        self.problems.setWordWrap(True)
        self.problems.setMaximumHeight(110)
        self.check_button = QPushButton("Save and check")
        self.remove_button = QPushButton("Leave out selected rows")
        self.add_button = QPushButton("Add new images")
        self.roles = {name: QComboBox() for name in ("marker", "nucleus", "autofluorescence")}
        self.phenotype = QLineEdit()
        self.pixel = QLineEdit()
        self.text = QPlainTextEdit()
        self.form = QWidget()
        self._placed: list[RowProblem] = []
        self._noted: set[str] = set()
        self._written = ""
        self._checking = Path()
        self._build()
        self._explain()
        self._connect()

    def _explain(self) -> None:
        """What is said where the mouse rests."""
        self.remove_button.setToolTip("Rows leave the table; their images stay where they are")
        self.add_button.setToolTip("A row for each image of the folder that is not in the table")
        self.check_button.setToolTip(f"Writes the sheet and {STUDY_FILE}, then looks for mistakes")
        for name, box in self.roles.items():
            box.setToolTip(ROLE_TIPS[name])
        self.phenotype.setToolTip(ROLE_TIPS["phenotype"])
        self.pixel.setToolTip("Only for files that do not say it")

    def _build(self) -> None:
        self.text.setMaximumHeight(150)
        self.text.setAccessibleName("study.yaml")
        self.phenotype.setPlaceholderText("for example Ki67, vimentin")
        self.pixel.setPlaceholderText("as the files say")
        form = QFormLayout(self.form)
        form.setContentsMargins(0, 0, 0, 0)
        for name, box in self.roles.items():
            form.addRow(name, box)
        form.addRow("phenotypes", self.phenotype)
        form.addRow("pixel size, µm", self.pixel)
        top = QHBoxLayout()
        top.addWidget(self.choose)
        top.addWidget(self.folder, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self.table)
        rows = WrappingRow()
        rows.addWidget(self.remove_button)
        rows.addWidget(self.add_button)
        layout.addLayout(rows)
        for part in (self.form, self.text, self.check_button, self.problems):
            layout.addWidget(part)
        self.form.hide()
        self.text.hide()
        self.problems.hide()

    def _connect(self) -> None:
        self.choose.clicked.connect(lambda: self._ask())
        self.check_button.clicked.connect(lambda: self.check())
        self.remove_button.clicked.connect(lambda: self.leave_out())
        self.add_button.clicked.connect(lambda: self.add_images())
        self.command.finished.connect(self._finish)
        self.table.told.connect(self.told)
        self.problems.currentRowChanged.connect(self._go_to)

    def _ask(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "Folder of section images", str(Path.home())
        )
        if chosen:
            self.open(Path(chosen))

    # The draft

    def open(self, path: Path) -> bool:
        """Show the study of a folder, or a proposal for one."""
        try:
            draft = open_draft(path)
        except FociquantError as error:
            self.told.emit(str(error))
            return False
        if self._hides(draft):
            self.told.emit(HIDDEN)
            return False
        self.draft, self._written = draft, ""
        self._noted.clear()
        self.folder.setText(str(self.draft.folder))
        self._fill_table(self.draft)
        self._fill_channels(self.draft)
        self._show_problems([])
        for note in self.draft.notes:
            self.told.emit(note)
        self.stood.emit(self._next_step(draft))
        return True

    @staticmethod
    def _next_step(draft: Draft) -> str:
        """What is to be done with a study that was just opened."""
        places = [draft.columns.index(name) for name in ("mouse", "group", "dpi")]
        if all(row[place] for row in draft.rows for place in places):
            return "Look the table over, then 'Save and check'."
        return "Write mouse, group and dpi of each section into the table, then 'Save and check'."

    def clear(self) -> None:
        """Forget the study: nothing of it may be read while a review is blinded."""
        self.draft = None
        self.folder.setText("Hidden while you review. 'Count' goes on with it.")
        self.table.clear()
        self.table.setRowCount(0)
        self.table.setColumnCount(0)
        self.text.clear()
        self._show_problems([])
        self.form.hide()
        self.text.hide()

    def _fill_table(self, draft: Draft) -> None:
        self.table.clear()
        self.table.setColumnCount(len(draft.columns))
        self.table.setHorizontalHeaderLabels(list(draft.columns))
        for x, name in enumerate(draft.columns):
            heading = self.table.horizontalHeaderItem(x)
            if heading is not None:
                heading.setToolTip(COLUMN_TIPS.get(name, "Carried through to the tables"))
        self.table.setRowCount(len(draft.rows))
        for y, row in enumerate(draft.rows):
            for x, text in enumerate(row):
                self.table.setItem(y, x, self._item(text, editable=draft.columns[x] != "image"))
        header = header_of(self.table)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)

    @staticmethod
    def _item(text: str, *, editable: bool) -> QTableWidgetItem:
        item = QTableWidgetItem(text)
        if not editable:
            item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
        return item

    def _fill_channels(self, draft: Draft) -> None:
        new = draft.study_yaml is None
        self.form.setVisible(new)
        self.text.setVisible(not new)
        self.text.setPlainText(draft.study_yaml or "")
        for name, box in self.roles.items():
            box.clear()
            box.addItems([NONE, *draft.channels])
            box.setCurrentText(getattr(draft.roles, name) or NONE)
        self.phenotype.setText(", ".join(draft.roles.phenotype.values()))

    def current(self) -> Draft | None:
        """The draft as it stands in the window."""
        if self.draft is None:
            return None
        rows = [
            [self._cell(y, x) for x in range(self.table.columnCount())]
            for y in range(self.table.rowCount())
        ]
        text = None if self.draft.study_yaml is None else self.text.toPlainText()
        changed = self.draft.with_rows(rows)
        return replace(changed, roles=self._chosen(), study_yaml=text)

    def _cell(self, y: int, x: int) -> str:
        item = self.table.item(y, x)
        return item.text().strip() if item is not None else ""

    def _chosen(self) -> Roles:
        picked = {name: box.currentText() for name, box in self.roles.items()}
        roles = {name: None if text in ("", NONE) else text for name, text in picked.items()}
        names = [one.strip() for one in self.phenotype.text().split(",") if one.strip()]
        guessed = self.draft.roles if self.draft else Roles()
        known = {channel: name for name, channel in guessed.phenotype.items()}
        phenotype = {known.get(channel, channel): channel for channel in names}
        return Roles(**roles, phenotype=phenotype, preset=guessed.preset)

    def leave_out(self) -> None:
        """Take the selected rows out of the table; their images stay where they are."""
        draft = self.current()
        chosen = {index.row() for index in self.table.selectedIndexes()}
        if draft is None or not chosen:
            self.told.emit("Select the rows to be left out first.")
            return
        kept = [row for place, row in enumerate(draft.rows) if place not in chosen]
        self._change(draft.with_rows(kept))

    def add_images(self) -> None:
        """A row for each image of the folder that is not in the table."""
        draft = self.current()
        if draft is None:
            self.told.emit("Choose a folder first.")
            return
        try:
            changed = with_new_images(draft)
        except FociquantError as error:
            self.told.emit(str(error))
            return
        new = len(changed.rows) - len(draft.rows)
        self.told.emit(f"{new} images were not in the table yet." if new else
                       "All images of the folder are in the table.")  # fmt: skip
        self._change(changed)

    def _change(self, draft: Draft) -> None:
        self.draft = draft
        self._fill_table(draft)
        self._show_problems([])

    # The check

    def check(self) -> None:
        """Write both files, then have everything checked in another process."""
        if self.command.running:
            return
        draft = self.current()
        try:
            if draft is None:
                raise InputError("Choose a folder first.")
            self.draft = self._saved(draft)
        except FociquantError as error:
            self.told.emit(str(error))
            self.checked.emit(False)
            return
        self._fill_table(self.draft)  # its columns are now those of the file
        self._fill_channels(self.draft)
        self._checking = self.draft.study_file
        self.stood.emit("Looking for mistakes …")
        self.command.start(["-m", "fociquant", "check", str(self._checking), "--json"])

    def _saved(self, draft: Draft) -> Draft:
        """Write both files; the study file anew from the channels while nobody else changed it."""
        there = study_text_of(draft)
        if draft.study_yaml is None and there not in (None, self._written):
            self.told.emit(f"{draft.study_file.name} is there already: its text is used.")
            draft = replace(draft, study_yaml=there)
        save_draft(draft, pixel_size_um=self.pixel.text())
        found = open_draft(draft.folder)
        if draft.study_yaml is not None:
            return found
        self._written = found.study_yaml or ""
        return replace(found, roles=draft.roles, study_yaml=None)

    def _finish(self, code: int, out: str, errors: str) -> None:
        self.stood.emit("")
        if self.draft is not None and self.draft.study_file != self._checking:
            self.told.emit("Another study was opened before the check had ended: check this one.")
            self.checked.emit(False)
            return
        try:
            found: dict[str, Any] = json.loads(out)
        except ValueError:
            self.told.emit(said_by(errors, "The study could not be checked."))
            self.checked.emit(False)
            return
        if self.draft is not None:
            self._show_problems(place_problems(self.draft, found["problems"]))
        for note in found["notes"]:
            self._note(f"{note['where']}: {note['what']} {note['cure']}")
        self.stood.emit(_verdict(len(found["problems"]), len(found["notes"])))
        self.checked.emit(code == 0)

    def _note(self, text: str) -> None:
        """Tell it once of a study, however often that is checked."""
        if text not in self._noted:
            self._noted.add(text)
            self.told.emit(text)

    def _show_problems(self, placed: list[RowProblem]) -> None:
        self._placed = placed
        self._unmark()
        self.problems.clear()
        self.problems.setVisible(bool(placed))
        for problem in placed:
            where = "" if problem.row is None else f"row {problem.row + 1}: "
            self.problems.addItem(where + problem.text)
            if problem.row is not None:
                self._mark(problem)

    def _mark(self, problem: RowProblem) -> None:
        columns = self.draft.columns if self.draft else ()
        wanted = [columns.index(problem.column)] if problem.column else range(len(columns))
        for column in wanted:
            item = self.table.item(problem.row or 0, column)
            if item is not None:
                item.setBackground(WRONG)
                item.setToolTip(problem.text)

    def _unmark(self) -> None:
        for y in range(self.table.rowCount()):
            for x in range(self.table.columnCount()):
                item = self.table.item(y, x)
                if item is not None:
                    item.setData(Qt.ItemDataRole.BackgroundRole, None)
                    item.setToolTip("")

    def _go_to(self, place: int) -> None:
        if 0 <= place < len(self._placed) and self._placed[place].row is not None:
            problem = self._placed[place]
            columns = self.draft.columns if self.draft else ()
            column = columns.index(problem.column) if problem.column in columns else 0
            self.table.setCurrentCell(problem.row or 0, column)
        elif 0 <= place < len(self._placed):
            self._go_to_line(self._placed[place].text)

    def _go_to_line(self, text: str) -> None:
        """Select the line of the study file that a problem names."""
        found = _STUDY_LINE.match(text)
        document = self.text.document()
        if found is None or document is None or not self.text.isVisibleTo(self):
            return
        cursor = QTextCursor(document.findBlockByNumber(int(found[1]) - 1))
        cursor.select(QTextCursor.SelectionType.LineUnderCursor)
        self.text.setTextCursor(cursor)


def _verdict(problems: int, notes: int) -> str:
    """What came of a check, and what comes next."""
    if problems:
        some = "One problem" if problems == 1 else f"{problems} problems"
        return f"{some}, listed above: a click on one goes to its place."
    also = "; there is something to know, see below" if notes else ""
    return f"Nothing is wrong{also}. 'Count' is next."
