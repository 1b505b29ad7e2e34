"""From a folder of images to reviewed tables, without a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QDockWidget, QPushButton, QTabWidget, QVBoxLayout, QWidget

from napari_fociquant._qt.desk import desk_of
from napari_fociquant._qt.draft_panel import DraftPanel
from napari_fociquant._qt.legend import Legend
from napari_fociquant._qt.notices import NoticeList
from napari_fociquant._qt.room import Scrolled
from napari_fociquant._qt.run_panel import RunPanel
from napari_fociquant._qt.sections_panel import SectionsPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer

STUDY, GALLERY, QUEUE, AUDIT = "Study", "Gallery review", "Queue review", "Audit"
"""Display names of the widgets, as in the manifest."""


class StudyWidget(QWidget):
    """Dock widget: build and count a study, open its sections, export.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.desk = desk_of(napari_viewer, self)
        self.draft = DraftPanel(self.desk.hides)
        self.run = RunPanel()
        self.sections = SectionsPanel(self.desk)
        self.tabs = QTabWidget()
        self.review = QPushButton("Show gallery, queue and audit")
        self.area = Scrolled(self.draft)
        self._counting = False
        self._hidden: Path | None = None
        self._build()
        self._connect()

    def _build(self) -> None:
        study = QWidget()
        inner = QVBoxLayout(study)
        inner.addWidget(self.area, 1)
        inner.addWidget(self.run)  # 'Stop' is always in sight
        self.tabs.addTab(study, "Count")
        self.tabs.addTab(self.sections, "Review")
        layout = QVBoxLayout(self)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.review)
        layout.addWidget(Legend(self.desk))
        layout.addWidget(NoticeList(self.desk))

    def _connect(self) -> None:
        self.draft.told.connect(self.desk.say)
        self.draft.checked.connect(self._checked)
        self.draft.stood.connect(self.run.say)
        self.run.told.connect(self.desk.say)
        self.run.start_button.clicked.connect(lambda: self.count())
        self.run.counted.connect(self._show_results)
        self.desk.results_changed.connect(self._hide_study)
        self.desk.section_changed.connect(self._show_review_first)
        self.review.clicked.connect(lambda: self.show_review())

    def open(self, path: Path) -> None:
        """Show a results folder, or the study of a folder or file."""
        from napari_fociquant._results import is_results

        if is_results(path):
            self.desk.open_results(path)
        elif self.draft.open(path):
            self._hidden = None
            self.tabs.setCurrentIndex(0)

    def count(self) -> None:
        """Check the study; count it if nothing is wrong."""
        if self.draft.draft is None and self._hidden is not None:
            self.run.start(self._hidden)  # which checks it again
            return
        self._counting = True
        self.draft.check()

    def _checked(self, good: bool) -> None:
        counting, self._counting = self._counting, False
        if good and counting and self.draft.draft is not None:
            self.run.start(self.draft.draft.study_file)
        elif not good and self.draft.problems.isVisibleTo(self.draft):
            self.area.show_part(self.draft.problems)

    def _show_results(self, root: Path) -> None:
        if self.desk.section is not None:
            self.desk.say(
                f"Counted: {root}. The section that is open stays open; 'Open results …' shows "
                "what was counted."
            )
            return
        if self.desk.open_results(root):
            self.tabs.setCurrentIndex(1)

    def _hide_study(self) -> None:
        """Groups and days must not be read while a review is blinded."""
        if self.desk.results is not None:
            self.tabs.setCurrentIndex(1)
            if self.desk.blinded:
                self.run.state.setText(self.desk.redact(self.run.state.text()))
                draft = self.draft.draft
                if draft is not None and self.desk.hides(draft):
                    self._hidden = draft.study_file
                    self.draft.clear()

    def _show_review_first(self) -> None:
        """A section is of no use without the widgets in which one decides."""
        if self.desk.section is not None and self.desk.users == 1:
            self.show_review().setFocus()  # so that Enter, too, means what is said there

    def show_review(self) -> QWidget:
        """Dock the other widgets, if they are not there; the gallery, in front, is returned."""
        gallery: QWidget = self
        for name in (AUDIT, QUEUE, GALLERY):
            dock, gallery = self._viewer.window.add_plugin_dock_widget(
                "napari-fociquant", name, tabify=True
            )
            dock.setWindowTitle(name)  # four tabs with the plugin's name in each do not fit
        own = self.parentWidget()
        while own is not None and not isinstance(own, QDockWidget):
            own = own.parentWidget()
        if own is not None:
            own.setWindowTitle(STUDY)
        return gallery

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Narrow docks would cut the table."""
        return QSize(max(400, super().minimumSizeHint().width()), 480)

    def closeEvent(self, a0: QCloseEvent | None) -> None:  # noqa: N802 - Qt's name
        """A run does not outlive its window: it stops and can be continued."""
        self.run.command.kill()
        super().closeEvent(a0)
