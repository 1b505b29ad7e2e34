"""A log read back: what can be trusted, and what is said about the rest."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fociquant.errors import ResultsError
from fociquant.reading import look_at, unreadable
from fociquant.review.chain import FORMAT, GENESIS, from_content, proves_itself
from fociquant.review.decisions import Action, Entry

MAX_BYTES = 1 << 30
"""A log beyond this is not one: a section of 100 000 decisions has about 100 MB."""


@dataclass(frozen=True, slots=True)
class Log:
    """A log as read.

    Parameters
    ----------
    path : pathlib.Path
    section, reviewer, station : str
        As the first line has them; empty if it cannot be trusted.
    repeat : bool
        The section shown a second time: it measures the reviewer and counts nothing.
    entries : tuple of Entry
        Those that can be trusted, in order, the first line included.
    untrusted : tuple of Entry
        Readable, but after a break of the chain, edited or foreign: not applied.
    problems : tuple of str
        One plain sentence each; empty if all is well.
    broken : bool
        Nothing may be appended to this file: its end does not follow from its beginning.
    tip : str
        Hash that the next entry must name.
    size : int
        Bytes read.
    """

    path: Path
    section: str
    reviewer: str
    station: str
    repeat: bool
    entries: tuple[Entry, ...]
    untrusted: tuple[Entry, ...]
    problems: tuple[str, ...]
    broken: bool
    tip: str
    size: int

    def of_image(self, image: str) -> Log:
        """The same without decisions made on another image: these are no longer trusted.

        Parameters
        ----------
        image : str
            Beginning of the fingerprint of the section's image; empty: not known.
        """
        other = [one for one in self.entries if one.image not in ("", image)]
        if not image or not other:
            return self
        told = (
            f"{self.path.name}: {len(other)} entries were made on another image than the section "
            "has now. They are kept in the file and not applied. If it is the same tissue, look "
            "through them and adopt them; else give that image its old name."
        )
        return replace(
            self,
            entries=tuple(one for one in self.entries if one.image in ("", image)),
            untrusted=(*self.untrusted, *other),
            problems=(*self.problems, told),
        )


@dataclass(frozen=True, slots=True)
class _Line:
    """One line: its number from 1, and the object in it (None: not JSON)."""

    number: int
    content: dict[str, Any] | None


def read_log(path: Path) -> Log:
    """Read a log and check its chain.

    The file is never changed. A line counts if its hash is that of its content and its
    ``prev`` is the hash of the line that counted last. What does not:

    - a **torn** line (the writer was killed, the disk was full): skipped; the chain goes
      on behind it, because the next entry names the one before the tear;
    - an **edited** line whose recorded hash the next line still names: skipped; what
      follows is proven unchanged and is applied;
    - a **foreign** line, of which the chain knows nothing: skipped;
    - everything after a **break** (a line was taken out): kept, listed, not applied.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    Log

    Raises
    ------
    UnreadableError
        If the drive does not let it be read: what somebody decided may be in it.
    ResultsError
        If a newer version wrote it, or it is no log.
    """
    raw = look_at(path, _content)
    if raw is None and path.is_symlink():
        raise ResultsError(f"{path} points to a file that is not there. Move it elsewhere.")
    if raw is None:
        raise unreadable(path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
    return parse_log(path, raw)


def _content(path: Path) -> bytes:
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise ResultsError(f"{path} is a folder and no log of decisions. Move it elsewhere.")
    if found.st_size > MAX_BYTES:
        raise ResultsError(f"{path} is too large for a log of decisions. Move it elsewhere.")
    return path.read_bytes()


def parse_log(path: Path, raw: bytes) -> Log:
    """The same as :func:`read_log`, from the bytes of the file.

    Raises
    ------
    ResultsError
        If a newer version wrote it.
    """
    lines = list(_lines(raw))
    written_with = (lines[0].content or {}).get("format") if lines else None
    if isinstance(written_with, int) and written_with > FORMAT:
        raise ResultsError(
            f"{path} was written by a newer version (format {written_with}, this one reads "
            f"{FORMAT}). Update fociquant."
        )
    reader = _Reader(path, lines)
    reader.read()
    header = reader.entries[0].content if reader.entries else {}
    return Log(
        path=path,
        section=str(header.get("section", "")),
        reviewer=str(header.get("reviewer", "")),
        station=str(header.get("station", "")),
        repeat=bool(header.get("repeat", False)),
        entries=tuple(reader.entries),
        untrusted=tuple(reader.untrusted),
        problems=tuple(reader.problems),
        broken=reader.broken,
        tip=reader.tip,
        size=len(raw),
    )


def _lines(raw: bytes) -> Iterator[_Line]:
    pieces = raw.split(b"\n")
    for number, piece in enumerate(pieces, start=1):
        if not piece.strip():
            continue
        try:
            content = json.loads(piece.decode("utf-8"))
        except (ValueError, RecursionError):
            content = None  # torn, or zeros that a power cut left
        yield _Line(number, content if isinstance(content, dict) else None)


class _Reader:
    """Walks along the lines; ``tip`` is the hash that the next entry must name."""

    def __init__(self, path: Path, lines: list[_Line]) -> None:
        self._path, self._lines = path, lines
        self._parsed = [_entry(line) for line in lines]
        named = [(one.prev, index) for index, one in enumerate(self._parsed) if one is not None]
        self._last_naming = dict(named)
        self._last_entry = named[-1][1] if named else -1
        self.entries: list[Entry] = []
        self.untrusted: list[Entry] = []
        self.problems: list[str] = []
        self.broken = False
        self.tip = GENESIS

    def read(self) -> None:
        for index, (line, entry) in enumerate(zip(self._lines, self._parsed, strict=True)):
            if self.broken:
                self.untrusted += [] if entry is None else [entry]
            elif entry is not None and self._follows(entry) and proves_itself(line.content or {}):
                self.entries.append(entry)
                self.tip = entry.hash
            else:
                self._skip(index, line, entry)
        if self.broken and self.untrusted:
            self._say(
                f"{len(self.untrusted)} entries there are kept in the file and not applied. "
                "Look through them: decide again, or adopt them."
            )

    def _follows(self, entry: Entry) -> bool:
        return entry.prev == self.tip and (entry.action is Action.OPEN) == (not self.entries)

    def _skip(self, index: int, line: _Line, entry: Entry | None) -> None:
        """Say what is wrong with a line, and whether the chain goes on behind it."""
        goes_on = self._last_naming.get(self.tip, -1) > index
        if entry is None and (goes_on or self._last_entry < index):
            self._say(
                f"line {line.number} is torn (writing was cut off) or not an entry; it is kept "
                "and not applied."
            )
        elif entry is not None and goes_on:
            self.untrusted.append(entry)
            self._say(f"line {line.number} is foreign to this log; it is not applied.")
        elif entry is not None and entry.prev == self.tip and self.entries:
            self.untrusted.append(entry)
            self.tip = entry.hash
            self._say(f"line {line.number} was edited after it was written; it is not applied.")
        else:
            self._break(line, entry)

    def _break(self, line: _Line, entry: Entry | None) -> None:
        self.broken = True
        # Nothing behind it names the last entry any more: it may be the one that was changed.
        if len(self.entries) > 1:
            self.untrusted.append(self.entries.pop())
            self.tip = self.entries[-1].hash
        self.untrusted += [] if entry is None else [entry]
        self._say(
            f"the chain of entries breaks at line {line.number}: lines were changed or taken out."
        )

    def _say(self, text: str) -> None:
        self.problems.append(f"{self._path.name}: {text}")


def _entry(line: _Line) -> Entry | None:
    if line.content is None:
        return None
    try:
        entry = from_content(line.content)
        # A line that cannot be taken apart later is no entry now.
        _ = entry.cells, entry.parts, entry.polygons
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return entry
