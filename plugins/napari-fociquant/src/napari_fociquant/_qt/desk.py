"""What the widgets of one viewer share: the open section, decisions, foci."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QApplication

from fociquant.errors import FociquantError, ImageError, InputError
from fociquant.io import SectionImage
from fociquant.review import ReviewSession, View
from napari_fociquant._config import save_config
from napari_fociquant._foci import Focus, Snapshot, foci_of, rings_of
from napari_fociquant._history import forget_paths
from napari_fociquant._picture import Outlines
from napari_fociquant._qt.results_desk import ResultsDesk
from napari_fociquant._qt.routing import KeyRouting
from napari_fociquant._qt.section_view import SectionView
from napari_fociquant._qt.undocked import GoesUndocked
from napari_fociquant._results import Results, plain
from napari_fociquant._section import OpenSection
from napari_fociquant._warm import warm_up

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

REGROUP_MS = 250
"""Foci are found again when no decision came for so long, ms."""

THREAD_END_S = 10.0
"""A search for foci is waited for so long when the window goes, s."""

_desks: dict[int, Desk] = {}


class Desk(ResultsDesk):
    """One per viewer, see :func:`desk_of`.

    Attributes
    ----------
    section_changed : Signal()
        Another section is open, or none.
    decided : Signal()
        Something was decided or taken back.
    noted : int
        Notices that there were before what is being done now.
    foci_changed : Signal()
        Foci were found again.
    """

    section_changed = Signal()
    decided = Signal()
    foci_changed = Signal()
    _regrouped = Signal(object, object)
    _trouble = Signal(str)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self.section: OpenSection | None = None
        self.adding = False
        self.users = 0
        self.routing = KeyRouting(self.keys)
        self.keys_changed.connect(self.routing.renew)
        self.view = SectionView(viewer, self)
        self._told, self._code, self._grouping = 0, "", False
        self.noted = 0
        self._thread: threading.Thread | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REGROUP_MS)
        self._timer.timeout.connect(self._regroup)
        self._regrouped.connect(self._take_foci)
        self._trouble.connect(self.say)
        # After the window has been drawn, before a section is chosen.
        QTimer.singleShot(0, warm_up)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.leave)

    # The section

    def open_section(self, code: str) -> bool:
        """Open a section by its code."""
        self.noted = len(self.notices)
        return bool(self.attempt(lambda: self._open_section(code)))

    def _open_section(self, code: str) -> bool:
        results = self.results
        if results is None or not self.named():
            return False
        if results.changed():
            results = self._open_results(results.root)
            self.say("The study was counted again since these results were opened: opened anew.")
        view = next((view for view in self.views() if view.code == code), None)
        if view is None:
            raise InputError("This section is not in the study any more.")
        session = ReviewSession.open(results.root, view.section, self.reviewer, repeat=view.repeat)
        try:
            seed = 0 if self.blinding is None else self.blinding.seed
            image = self._image(results, view)
            opened = OpenSection(results, session, image, self._label(view), seed=seed)
        except FociquantError:
            session.close()
            raise
        self.close_section()
        if self.blinded:
            forget_paths(self._paths())
        self.section, self._code, self._told = opened, code, 0
        self.view.show(opened)
        self._tell()
        if not opened.foci_are_stored:
            self._regroup()
        self.section_changed.emit()
        return True

    def _label(self, view: View) -> str:
        return view.code if self.blinded else f"{view.code} ({view.section})"

    def _image(self, results: Results, view: View) -> SectionImage | None:
        try:
            return results.open_section_image(view.section, self.image_folders)
        except ImageError as error:
            self.say(plain(error))
            return None

    def close_section(self) -> None:
        """Close what is open; every decision is on the disk already."""
        self._timer.stop()
        self.adding = False
        if self.section is None:
            return
        self.view.clear()
        self.section.close()
        self.section = None
        self.section_changed.emit()

    @property
    def code(self) -> str:
        """Code of the section that is open; ``""`` if none is."""
        return "" if self.section is None else self._code

    def step_section(self, step: int) -> None:
        """Open the next section of the list, or the one before; the first if none is open."""
        codes = [view.code for view in self.views()]
        place = codes.index(self.code) + step if self.code in codes else 0
        if 0 <= place < len(codes):
            self.open_section(codes[place])
        elif codes:
            self.say(f"This is the {'last' if step > 0 else 'first'} section of the list.")

    def act(self, name: str) -> bool:
        """What a key does in each widget of the review; False if it is none of these."""
        actions: dict[str, Callable[[], object]] = {
            "redo": self.redo,
            "sign_off": self.sign_off,
            "next_section": lambda: self.step_section(1),
            "previous_section": lambda: self.step_section(-1),
        }
        if name not in actions:
            return False
        actions[name]()
        return True

    def undo_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Take back the last decision.

        Returns
        -------
        rows, again : numpy.ndarray of int64
            Whose verdict is another one now, and whose verdict of a second look is.
        """
        none = np.zeros(0, np.int64)
        if self.section is None:
            self.undo()
            return none, none
        session = self.section.session
        before, again = session.verdict.copy(), session.second_looks
        self.undo()
        looks = {row for row, _ in again.items() ^ session.second_looks.items()}
        return np.flatnonzero(session.verdict != before), np.array(sorted(looks), np.int64)

    def set_image_folder(self, folder: Path) -> None:
        """Look for images here from now on, and open the section again."""
        if self.results is None:
            return
        self.config.image_folders[str(self.results.root)] = str(folder)
        save_config(self.config)
        self.image_folders = [folder]
        if self.section is not None:
            self.open_section(self._code)
        self.results_changed.emit()

    def leave(self) -> None:
        """Close the files without touching a viewer that may be half gone."""
        self._timer.stop()
        if self._thread is not None:
            self._thread.join(timeout=THREAD_END_S)
        if self.section is not None:
            self.section.close()
            self.section = None
        self.view.leave()

    # Decisions

    def decide(self, action: Callable[[ReviewSession], Any]) -> Any:
        """Do something to the session and show what came of it.

        Returns
        -------
        object
            What the action returned; None if it was refused (the user is told why).
        """
        if self.section is None:
            self.say("Open a section first.")
            return None
        session = self.section.session
        self.noted = len(self.notices)
        result = self.attempt(lambda: self._done(action, session))
        self._show_decisions()
        return result

    def _done(self, action: Callable[[ReviewSession], Any], session: ReviewSession) -> Any:
        """What came of an action; why it was refused is said last, so that it is what shows."""
        try:
            return action(session)
        finally:
            self._tell()

    def _show_decisions(self) -> None:
        if self.section is None:
            return
        replaced = self.section.refresh_cells()
        self.view.update_cells(self.section, replaced=replaced)
        self._timer.start()
        self.decided.emit()

    def accept(
        self,
        rows: Sequence[int] | np.ndarray,
        *,
        repeat: bool | Sequence[bool] = False,
        reason: str = "",
    ) -> bool:
        """These rows are cancer cells; False if that could not be written."""
        return self._judge(ReviewSession.accept, rows, repeat=repeat, reason=reason)

    def reject(
        self,
        rows: Sequence[int] | np.ndarray,
        *,
        repeat: bool | Sequence[bool] = False,
        reason: str = "",
    ) -> bool:
        """These rows are not; False if that could not be written."""
        return self._judge(ReviewSession.reject, rows, repeat=repeat, reason=reason)

    def _judge(
        self, verdict: Callable[..., Any], rows: Sequence[int] | np.ndarray, **how: Any
    ) -> bool:
        cells = self._cells(rows)
        return not cells or self.decide(lambda session: verdict(session, cells, **how)) is not None

    def adopt_untrusted(self) -> None:
        """Decide again what a damaged log holds and nobody trusts."""
        if self.decide(lambda session: session.adopt_untrusted()) is not None:
            self.results_changed.emit()

    def add_cell(self, y_um: float, x_um: float) -> None:
        """Outline the cell at a place and add it."""
        section = self.section
        if section is None:
            return
        found = self.attempt(lambda: section.outline_at(y_um, x_um))
        if found is not None:
            self.decide(
                lambda session: session.add(
                    found.outline, reason=found.how, measured=section.measured(found.outline)
                )
            )

    def comment(self, text: str, rows: Sequence[int] | np.ndarray = ()) -> bool:
        """Write words about the section or some of its rows; False if they were refused."""
        cells = self._cells(rows)
        return self.decide(lambda session: session.comment(text, cells=cells)) is not None

    def undo(self) -> None:
        """Take back the last decision, and so on to the first."""
        if self.decide(lambda session: session.undo() or False) is False:
            self.say("There is nothing more to take back.")

    def redo(self) -> None:
        """Bring back what was taken back last."""
        self.decide(lambda session: session.redo())

    def sign_off(self) -> None:
        """The section is finished as it stands."""
        if self.decide(lambda session: session.sign_off()) is not None:
            self.results_changed.emit()

    def _cells(self, rows: Sequence[int] | np.ndarray) -> list[int]:
        if self.section is None:
            return []
        return [int(self.section.session.cell[row]) for row in rows]

    def _tell(self) -> None:
        """Hand on what the session has to say."""
        if self.section is None:
            return
        notices = self.section.session.notices
        for text in notices[self._told :]:
            self.say(text)
        self._told = len(notices)

    # Foci

    @property
    def searching(self) -> bool:
        """Whether foci are being found."""
        return self._grouping

    def _regroup(self) -> None:
        """Find the foci again, on a thread."""
        if self.section is None:
            return
        if self._grouping:
            self._timer.start()  # one search at a time; this one would be out of date
            return
        self._grouping = True
        section, snapshot = self.section, self.section.snapshot()
        self._thread = threading.Thread(target=self._find, args=(section, snapshot), daemon=True)
        self._thread.start()

    def _find(self, section: OpenSection, snapshot: Snapshot) -> None:
        try:
            foci = foci_of(snapshot, link_um=section.link_um, profile=section.profile)
        except (FociquantError, ValueError) as error:
            self._trouble.emit(f"The foci could not be found again: {error}")
            self._regrouped.emit(None, None)
            return
        rings = rings_of(foci, snapshot.outlines, section.results.classes)
        self._regrouped.emit(section, (foci, rings))

    def _take_foci(
        self, section: OpenSection | None, found: tuple[list[Focus], Outlines] | None
    ) -> None:
        self._grouping = False
        if section is None or found is None or section is not self.section:
            return
        section.foci, section.rings = found
        self.view.update_foci(section)
        self.foci_changed.emit()


def desk_of(viewer: Viewer, widget: QWidget) -> Desk:
    """The desk of a viewer; made for its first widget, closed with its last.

    Parameters
    ----------
    viewer : napari.Viewer
        Or the proxy that napari hands to plugins.
    widget : QWidget
        Who asks.
    """
    key = id(getattr(viewer, "__wrapped__", viewer))
    if key not in _desks:
        _desks[key] = Desk(viewer)
    desk = _desks[key]
    desk.users += 1
    widget.destroyed.connect(lambda *_: _leave(key))
    GoesUndocked(widget)
    return desk


def _leave(key: int) -> None:
    """A widget is gone; with the last one, files are closed and the viewer is let go."""
    desk = _desks.get(key)
    if desk is None:
        return
    desk.users -= 1
    if desk.users <= 0:
        _desks.pop(key)
        desk.leave()
