"""Results and blinding, as the widgets of one viewer share them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from fociquant.errors import FociquantError
from fociquant.review import (
    Blinding,
    Reviewer,
    ReviewMark,
    View,
    is_blinded,
    namesakes,
    open_blinding,
    review_marks,
    unblind,
)
from napari_fociquant._config import Config, load_config, save_config
from napari_fociquant._draft import Draft
from napari_fociquant._history import forget_paths
from napari_fociquant._keys import effective_keys
from napari_fociquant._qt.keys import real_keys
from napari_fociquant._results import Results, plain

if TYPE_CHECKING:
    from napari.viewer import Viewer

REPEATED_SECTIONS = 0.05
"""Share of the sections that are shown a second time, to measure the reviewer."""

GONE = (
    "The results folder is not there any more. Connect its drive again, or open the folder where "
    "it is now. What was decided is in it."
)
"""Said of a folder that was renamed, moved or taken off."""

MIN_PATH_PARTS = 2
"""Paths of more parts than this are hidden while blinded."""


def spellings(paths: Iterable[Path]) -> set[str]:
    """Paths as a message may write them: with either separator, or doubled as in a repr."""
    texts = {str(path) for path in paths}
    return texts | {t.replace("\\", "/") for t in texts} | {t.replace("\\", "\\\\") for t in texts}


class ResultsDesk(QObject):
    """Who reviews what, and what must not be read.

    Attributes
    ----------
    results_changed : Signal()
        Other results, or the blinding of these.
    noticed : Signal(str)
        Something the user must be told.
    keys_changed : Signal()
        Actions have other keys.
    """

    results_changed = Signal()
    noticed = Signal(str)
    keys_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.config: Config = load_config()
        self.notices: list[str] = [self.config.problem] if self.config.problem else []
        wanted, problems = real_keys(self.config.keys)
        self.keys, clashes = effective_keys(wanted)
        self.notices += [*problems, *clashes]
        self.results: Results | None = None
        self.blinding: Blinding | None = None
        self.blinded = True
        self.image_folders: list[Path] = []
        self.config.reviewer = self.checked_name(self.config.reviewer) or ""

    def close_section(self) -> None:
        """Close what is open, before something else is opened."""

    def set_keys(self, keys: Mapping[str, str]) -> None:
        """Use other keys from now on.

        Parameters
        ----------
        keys : mapping of str to str
            Action to key; those of the default are not written down.
        """
        usual, _ = effective_keys({})
        self.config.keys = {name: key for name, key in keys.items() if key != usual.get(name)}
        save_config(self.config)
        found, problems = effective_keys(self.config.keys)
        self.keys.update(found)
        for text in problems:
            self.say(text)
        self.keys_changed.emit()

    # Words

    def say(self, text: str) -> None:
        """Tell the user, in words that do not unblind."""
        shown = self.redact(text)
        self.notices.append(shown)
        self.noticed.emit(shown)

    def redact(self, text: str) -> str:
        """Text without names, groups and paths while blinded."""
        if not self.blinded or self.blinding is None or self.results is None:
            return text
        for path in sorted(spellings(self._paths()), key=len, reverse=True):
            text = text.replace(path, "…")
        return self.blinding.redact(text)

    def _paths(self) -> list[Path]:
        root = self.results.root if self.results else Path()
        found = [root, *root.parents[:2], *self.image_folders]
        # '/' or 'C:\\' alone tells nothing, and stands in many a text.
        return [path for path in found if len(path.parts) > MIN_PATH_PARTS]

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Do something; an error on purpose is said and None returned."""
        try:
            return action()
        except FociquantError as error:
            self.say(plain(error))
            return None

    # Results

    @property
    def reviewer(self) -> str:
        """Name under which decisions are logged; ``""`` before one was given."""
        return self.config.reviewer

    def checked_name(self, name: str) -> str | None:
        """A name as it is used; None if it cannot be one, and the user is told why."""
        name = name.strip()
        if name and self.attempt(lambda: Reviewer(name)) is None:
            return None
        return name

    def set_reviewer(self, given: str) -> None:
        """Another person sits down; the section is closed, for a log has one author."""
        name = self.checked_name(given)
        if name is None or name == self.config.reviewer:
            return
        self.close_section()
        self.blinded = True
        self.config.reviewer = name
        save_config(self.config)
        results = self.results
        if results is not None and name:
            self.attempt(lambda: self._blind(results))
        self.results_changed.emit()

    def open_results(self, root: Path) -> bool:
        """Show a results folder; an earlier one is closed."""
        return self.attempt(lambda: self._open_results(root)) is not None

    def _open_results(self, root: Path) -> Results:
        found = Results(root)
        blinding = self._codes(found)  # may fail: then everything stays as it was
        self.close_section()
        self.results, self.blinding = found, blinding
        self._blind(found)
        known = self.config.image_folders.get(str(found.root))
        self.image_folders = [Path(known)] if known else []
        self.results_changed.emit()
        return found

    def reread(self) -> None:
        """Read tables that were made again; a section that is open stays open."""
        if self.results is not None:
            root = self.results.root
            self.results = self.attempt(lambda: Results(root)) or self.results
            self.results_changed.emit()

    def hides(self, draft: Draft) -> bool:
        """Whether a study is that of the results that are reviewed blind: most of its images."""
        if not self.blinded or self.results is None:
            return False
        counted = {str(one["image"]) for one in self.results.record["sections"]}
        return len(counted & set(draft.images)) > len(counted) / 2

    @staticmethod
    def _codes(results: Results) -> Blinding:
        sections = len(results.record["sections"])
        return open_blinding(results.root, repeats=round(REPEATED_SECTIONS * sections))

    def views(self) -> list[View]:
        """Sections of the study as they are to be reviewed, in their random order."""
        if self.blinding is None or self.results is None:
            return []
        known = {str(one["name"]) for one in self.results.record["sections"]}
        return [view for view in self.blinding.views if view.section in known]

    def _blind(self, results: Results) -> None:
        self.blinded = is_blinded(results.root, self.reviewer) if self.reviewer else True
        if self.blinded:
            forget_paths(self._paths())
            # What was said before there was something to hide.
            self.notices[:] = [self.redact(text) for text in self.notices]
        if self.reviewer:
            self._say_namesakes(results.root)

    def _say_namesakes(self, root: Path) -> None:
        """Two people of one name are two reviewers; they should know."""
        here = Reviewer(self.reviewer).station
        found = namesakes(root, self.reviewer)
        others = sorted({name for name, at in found if at == here} - {self.reviewer})
        if others:
            self.say(
                f"On this computer decisions were made under the name {others[0]!r}. Capitals "
                f"count: {self.reviewer!r} is another reviewer. To go on with those decisions, "
                f"write {others[0]!r}."
            )
        if {at for _, at in found} - {here}:
            self.say(
                f"Under the name {self.reviewer!r} decisions were made on another computer or "
                "account. They are kept apart, as another reviewer's. If that is somebody else, "
                "take another name."
            )

    def unblind(self, reason: str) -> bool:
        """Show group, day and mouse; that is written down first and cannot be undone."""
        results = self.results
        if results is None or not self.named():
            return False
        if self.attempt(lambda: unblind(results.root, self.reviewer, reason=reason)) is None:
            return False
        self.blinded = False
        self.results_changed.emit()
        return True

    def marks(self) -> list[ReviewMark]:
        """What reviewers have done; empty without results."""
        if self.results is None:
            return []
        root = self.results.root
        return list(self.attempt(lambda: review_marks(root)) or [])

    def there(self) -> bool:
        """Whether the results folder can be reached; the user is told if not."""
        if self.results is None:
            return False
        there = self.results.root.is_dir()
        if not there:
            self.say(GONE)
        return there

    def named(self) -> bool:
        """Whether a reviewer's name is known; it is asked for if not."""
        if not self.reviewer:
            self.say("Write your name or initials first: every decision is logged under it.")
        return bool(self.reviewer)
