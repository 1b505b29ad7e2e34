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
    is_blinded,
    open_blinding,
    review_marks,
    stations_of,
    unblind,
)
from napari_fociquant._config import Config, load_config, save_config
from napari_fociquant._history import forget_paths
from napari_fociquant._keys import effective_keys
from napari_fociquant._results import Results, plain

if TYPE_CHECKING:
    from napari.viewer import Viewer

REPEATED_SECTIONS = 0.05
"""Share of the sections that are shown a second time, to measure the reviewer."""

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
        self.keys, problems = effective_keys(self.config.keys)
        self.notices: list[str] = [self.config.problem] if self.config.problem else []
        self.notices += problems
        self.results: Results | None = None
        self.blinding: Blinding | None = None
        self.blinded = True
        self.image_folders: list[Path] = []

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

    def set_reviewer(self, name: str) -> None:
        """Another person sits down; the section is closed, for a log has one author."""
        name = name.strip()
        if name == self.config.reviewer:
            return
        self.close_section()
        self.config.reviewer = name
        save_config(self.config)
        results = self.results
        if results is not None and name:
            self.attempt(lambda: self._blind(results))
        self.results_changed.emit()

    def open_results(self, root: Path) -> bool:
        """Show a results folder; an earlier one is closed."""
        return bool(self.attempt(lambda: self._open_results(root)))

    def _open_results(self, root: Path) -> bool:
        found = Results(root)
        self.close_section()
        self.results = found
        self._blind(found)
        known = self.config.image_folders.get(str(found.root))
        self.image_folders = [Path(known)] if known else []
        self.results_changed.emit()
        return True

    def reread(self) -> None:
        """Read tables that were made again; a section that is open stays open."""
        if self.results is not None:
            root = self.results.root
            self.results = self.attempt(lambda: Results(root)) or self.results
            self.results_changed.emit()

    def _blind(self, results: Results) -> None:
        sections = len(results.record["sections"])
        self.blinding = open_blinding(results.root, repeats=round(REPEATED_SECTIONS * sections))
        self.blinded = is_blinded(results.root, self.reviewer) if self.reviewer else True
        if self.blinded:
            forget_paths(self._paths())
        if self.reviewer:
            self._say_namesakes(results.root)

    def _say_namesakes(self, root: Path) -> None:
        """Two people of one name are two reviewers; they should know."""
        if stations_of(root, self.reviewer) - {Reviewer(self.reviewer).station}:
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

    def named(self) -> bool:
        """Whether a reviewer's name is known; it is asked for if not."""
        if not self.reviewer:
            self.say("Write your name or initials first: every decision is logged under it.")
        return bool(self.reviewer)
