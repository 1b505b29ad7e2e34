"""Judging a random sample: is this a cancer cell, how many were missed here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from fociquant.review.audit_verdicts import MAX_CELLS
from napari_fociquant._layers import SHOWN_ROLES
from napari_fociquant._qt.audit_canvas import AuditCanvas
from napari_fociquant._qt.audit_judging import Judging
from napari_fociquant._qt.audit_sample import SamplePanel
from napari_fociquant._qt.desk import desk_of
from napari_fociquant._qt.keys import KeyBar, KeyButton, took_key
from napari_fociquant._qt.notices import NoticeLine
from napari_fociquant._qt.parts import LEGEND_STYLE
from napari_fociquant._qt.room import Body, Scrolled, WrappingRow

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from fociquant.review import AuditItem

OBJECT_QUESTION = "Is the object in the middle a cancer cell?"
FIELD_QUESTION = "How many cancer cells inside the yellow square have no dotted outline?"
"""The same words whatever the program thinks."""

CHANNELS = 4
"""Channels beside each other; more begin another line."""

BUTTONS = (
    ("previous", "◀ Previous"), ("accept", "Is a cancer cell"), ("reject", "Is none"),
    ("unsure", "Cannot say"), ("next", "Next ▶"), ("undo", "Undo"),
)  # fmt: skip


class CountBox(QSpinBox):
    """The number of missed cells; keys of the review before those of a number."""

    def __init__(self, owner: AuditWidget) -> None:
        super().__init__()
        self._owner = owner
        self.setRange(0, MAX_CELLS)
        self.setAccessibleName("Missed cells")

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Digits are a number, everything else a key of the review first."""
        if not took_key(self._owner, event):
            super().keyPressEvent(event)


class AuditWidget(QWidget):
    """Dock widget: the audit.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.desk = desk_of(napari_viewer, self)
        self.judging = Judging(self.desk, self)
        self.sample = SamplePanel(self.desk)
        self.canvas = AuditCanvas()
        self.question, self.progress_text = QLabel(), QLabel()
        self.bar = QProgressBar()
        self.count = CountBox(self)
        self.outlines, self.wide = QCheckBox("outlines"), QCheckBox("wide view")
        self.channels = QGridLayout()
        self.boxes: list[QCheckBox] = []
        self.buttons = {
            name: KeyButton(self.desk, name, text, self.act) for name, text in BUTTONS
        }  # fmt: skip
        self.stop_button = QPushButton("Stop for now")
        self.page = Body()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._build()
        self._connect()
        self._renew()

    def _build(self) -> None:
        self.outlines.setChecked(True)
        self.question.setWordWrap(True)
        self.bar.setTextVisible(False)
        self.progress_text.setWordWrap(True)
        view, verdict, foot = WrappingRow(), WrappingRow(), WrappingRow()
        view.addLayout(self.channels, 1)
        view.addWidget(self.outlines)
        view.addWidget(self.wide)
        for name in ("accept", "reject", "unsure"):
            verdict.addWidget(self.buttons[name])
        verdict.insertWidget(0, self.count)
        for name in ("previous", "next", "undo"):
            foot.addWidget(self.buttons[name])
        foot.addWidget(self.stop_button)
        inner = self.page.column
        for part in (self.progress_text, self.bar):
            inner.addWidget(part)
        inner.addLayout(view)
        inner.addWidget(self.canvas, 1)
        inner.addWidget(self.question)
        inner.addLayout(verdict)
        inner.addLayout(foot)
        names = ("accept", "reject", "unsure", "next", "previous", "undo")
        inner.addWidget(KeyBar(self.desk, names))
        body = Body()
        outer = body.column
        outer.addWidget(self.page, 1)
        outer.addWidget(self.sample)
        outer.addStretch()
        layout = QVBoxLayout(self)
        layout.addWidget(Scrolled(body), 1)
        layout.addWidget(NoticeLine(self.desk))

    def _connect(self) -> None:
        desk, judging = self.desk, self.judging
        self.sample.begin.clicked.connect(lambda: self.begin())
        self.stop_button.clicked.connect(lambda: self.stop())
        judging.moved.connect(self._show_item)
        judging.pictured.connect(self._show_picture)
        judging.judged.connect(self._show_progress)
        self.outlines.toggled.connect(self.canvas.set_outlines)
        self.wide.toggled.connect(judging.set_wide)
        desk.results_changed.connect(self._renew)
        desk.section_changed.connect(self._section_opened)
        self.destroyed.connect(judging.leave)
        desk.routing.join(self, self.act)

    # Begin and stop

    def begin(self) -> None:
        """Judge, from the first item that waits for this reviewer."""
        if self.judging.open():
            self._show_channels()
        self._renew()

    def stop(self) -> None:
        """Put the sample away; it goes on from here later."""
        self.judging.close()
        self._renew()

    def _section_opened(self) -> None:
        """A section shows what the program thinks: judging stops."""
        if self.desk.section is not None and self.judging.session is not None:
            self.stop()
            self.desk.say("The audit was put away: an open section tells what the program thinks.")

    def _renew(self) -> None:
        """Other results, another reviewer, or the sample was opened or put away."""
        session = self.judging.session
        mine = session is not None and session.reviewer.name == self.desk.reviewer
        if session is not None and not (mine and self._is_of_these_results()):
            self.judging.close()
        on = self.judging.session is not None
        self.page.setVisible(on and self.judging.item is not None)
        self.sample.show_state(self.judging.session)
        if on:
            self.judging.look_again()
            self._show_item()

    def _is_of_these_results(self) -> bool:
        results = self.desk.results
        return results is not None and results.root == self.judging.root

    # What is shown

    def _show_channels(self) -> None:
        while self.boxes:
            self.boxes.pop().deleteLater()
        results = self.desk.results
        names = results.channel_names if results is not None else {}
        for number, (role, name) in enumerate(names.items()):
            box = QCheckBox(name)
            box.setChecked(role in SHOWN_ROLES)
            box.toggled.connect(lambda _: self._show_picture())
            self.channels.addWidget(box, number // CHANNELS, number % CHANNELS)
            self.boxes.append(box)

    def _show_item(self) -> None:
        item = self.judging.item
        self.page.setVisible(item is not None)
        self._show_progress()
        if item is None:
            self.sample.show_state(self.judging.session)
            return
        field = item.is_field
        self.question.setText(FIELD_QUESTION if field else OBJECT_QUESTION)
        self.buttons["accept"].setText("Take this number" if field else "Is a cancer cell")
        self.buttons["reject"].setText("None is missed" if field else "Is none")
        self.wide.setEnabled(not field)
        self._show_count(item)
        self.canvas.show_words("reading …")
        self._show_picture()

    def _show_count(self, item: AuditItem) -> None:
        self.count.setVisible(item.is_field)
        session = self.judging.session
        known = session.verdicts.get(item.id) if session is not None else None
        self.count.setValue(known or 0)
        if item.is_field:
            self.count.setFocus()
            self.count.selectAll()
        else:
            self.setFocus()

    def _show_picture(self) -> None:
        item, picture = self.judging.item, self.judging.picture()
        if picture is None and self.judging.unseen:
            self.canvas.show_words("This place cannot be shown. Go on, or say 'cannot say'.")
        if item is not None and picture is not None:
            shown = [box.isChecked() for box in self.boxes]
            for box, colour in zip(self.boxes, picture.colours, strict=False):
                box.setStyleSheet(LEGEND_STYLE + f"color: {colour};")
            self.canvas.show_picture(item, picture, shown)

    def _show_progress(self) -> None:
        session = self.judging.session
        if session is None:
            return
        total, done = len(self.judging.items), len(session.verdicts)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        item = self.judging.item
        here = f"item {self.judging.place + 1} of {total}; " if item is not None else ""
        said = f", {_in_words(session.verdicts[item.id], item)}" if (
            item is not None and item.id in session.verdicts) else ""  # fmt: skip
        unsure = f", {session.unsure} of them cannot be said" if session.unsure else ""
        self.progress_text.setText(f"{here}{done} judged{unsure}{said}")

    # Keys and buttons

    def act(self, name: str) -> bool:
        """Do what a key or a button says; False if it is none of the audit's."""
        if self.judging.session is None:
            return False
        judging = self.judging
        actions = {
            "accept": lambda: self._judge(accept=True),
            "reject": lambda: self._judge(accept=False),
            "jump": lambda: self._take_number(),
            "unsure": lambda: judging.judge(None),
            "next": lambda: judging.step(1),
            "previous": lambda: judging.step(-1),
            "undo": judging.undo,
        }
        if name not in actions:
            return False
        actions[name]()
        return True

    def _judge(self, *, accept: bool) -> None:
        item = self.judging.item
        if item is None:
            return
        if item.is_field:
            self.judging.judge(self.count.value() if accept else 0)
        else:
            self.judging.judge(int(accept))

    def _take_number(self) -> None:
        item = self.judging.item
        if item is not None and item.is_field:
            self.judging.judge(self.count.value())

    def keyPressEvent(self, a0: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Keys of the review while nothing in the widget has the focus."""
        if not took_key(self, a0):
            super().keyPressEvent(a0)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Narrow docks would cut the picture."""
        return QSize(max(420, super().minimumSizeHint().width()), 520)


def _in_words(value: int | None, item: AuditItem) -> str:
    """A verdict that was given before."""
    if value is None:
        return "this one: cannot be said"
    if item.is_field:
        return f"this one: {value} missed"
    return "this one: a cancer cell" if value else "this one: none"
