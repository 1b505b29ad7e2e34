"""Appending to a log: on the disk before the call returns, or an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fociquant import __version__
from fociquant.atomic import LONGEST_PATH
from fociquant.errors import DiskError, ResultsError
from fociquant.review.chain import GENESIS, to_line
from fociquant.review.closing import Closed
from fociquant.review.decisions import Action, Draft, Entry
from fociquant.review.file_lock import locked
from fociquant.review.read_log import Log, parse_log
from fociquant.review.reviewers import MAX_PARTS, Reviewer, ReviewFolder


def utc_now() -> str:
    """The time as it is written: UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LogWriter(Closed):
    """Appends the decisions of one reviewer on one section.

    An entry is written with one call, then flushed to the disk. A process killed at any
    moment leaves whole entries and at most one torn line, which is recognised and kept.
    If another process of the same reviewer has written meanwhile, its entries are read
    and the chain goes on behind them.

    Parameters
    ----------
    folder : ReviewFolder
    section : str
    reviewer : Reviewer
    repeat : bool
        The section shown a second time.
    image : str
        Beginning of the fingerprint of the section's image, which every entry notes; empty: not
        known.
    clock : callable
        Gives the time; for tests.

    Raises
    ------
    DiskError
        If the file cannot be written.
    ResultsError
        If it cannot be read, or is of another reviewer or section.
    """

    def __init__(
        self,
        folder: ReviewFolder,
        section: str,
        reviewer: Reviewer,
        *,
        repeat: bool = False,
        image: str = "",
        clock: Callable[[], str] = utc_now,
    ) -> None:
        self._section, self._reviewer, self._repeat, self._clock = section, reviewer, repeat, clock
        self._image = image
        self._results = folder.results
        self._handle = -1
        self.earlier: list[Log] = []
        """Broken files that this one goes on from, oldest first."""
        for part in range(1, MAX_PARTS):
            self.path = folder.log(section, reviewer, repeat=repeat, part=part)
            self._open()
            if not self.log.broken:
                return
            self.earlier.append(self.log)
            self.close()
        raise ResultsError(f"{self.path} and all logs before it are broken. Move them elsewhere.")

    @property
    def logs(self) -> list[Log]:
        """The broken files before, then this one; of each what was decided on this image."""
        return [log.of_image(self._image) for log in (*self.earlier, self.log)]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything that holds so far, of the broken files before too; first lines left out."""
        return tuple(e for log in self.logs for e in log.entries if e.action is not Action.OPEN)

    @property
    def problems(self) -> list[str]:
        """What is wrong with the files, one plain sentence each."""
        return [text for log in self.logs for text in log.problems]

    def append(self, drafts: Sequence[Draft]) -> list[Entry]:
        """Write decisions, all in one go.

        Parameters
        ----------
        drafts : sequence of Draft
            May be empty.

        Returns
        -------
        list of Entry
            As written. Entries that another process wrote before them are in
            :attr:`entries`, and :attr:`overtaken` of them are new.

        Raises
        ------
        DiskError
            If the disk did not take them; whatever part of a line it took is recognised as
            torn later.
        ResultsError
            If another program holds or has damaged the file.
        """
        if self._handle < 0:
            raise ResultsError(f"{self.path} is closed. Open the section again.")
        self._keep_hold()
        with locked(self._handle, self.path):
            self.overtaken = self._catch_up()
            return self._write([self._on_this_image(draft) for draft in drafts])

    def close(self) -> None:
        """Close the file; what was decided is already on the disk."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _on_this_image(self, draft: Draft) -> Draft:
        if not self._image:
            return draft
        return replace(draft, content={**draft.content, "image": self._image})

    def _open(self) -> None:
        self._handle = self._opened()
        self.overtaken = 0
        self._size, self._ended = 0, True
        self.log = parse_log(self.path, b"")
        try:
            with locked(self._handle, self.path):
                self._catch_up()
                if not self.log.broken and not self.log.entries:
                    self._write([self._header()])
                    _flush_folder(self.path.parent)
            self._check_owner()
        except BaseException:
            self.close()
            raise

    def _opened(self) -> int:
        """A handle of the file, which is made if need be; the results folder itself never is."""
        if not self._results.is_dir():
            # Where a drive was taken off, its place may be writable: nobody would look there.
            raise DiskError(
                f"the decision was not saved: the results folder {self._results} is not there any "
                "more. Connect its drive again or give it its old name, then decide again."
            )
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self.path, flags, 0o666)
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def _header(self) -> Draft:
        content: dict[str, object] = {
            "section": self._section,
            "reviewer": self._reviewer.name,
            "station": self._reviewer.station,
            "fociquant": __version__,
        }
        if self._repeat:
            content["repeat"] = True
        if self.earlier:
            content["continues"] = [self.earlier[-1].path.name, self.earlier[-1].tip]
        return Draft(Action.OPEN, content)

    def _check_owner(self) -> None:
        owner = (self.log.section, self.log.reviewer, self.log.station)
        mine = (self._section, self._reviewer.name, self._reviewer.station)
        if not self.log.broken and owner != mine:
            raise ResultsError(
                f"{self.path} holds decisions of {owner[1]!r} on section {owner[0]!r}, not of "
                f"{mine[1]!r} on {mine[0]!r}. Give the file its own name back."
            )

    def _catch_up(self) -> int:
        """Read again if the file is not as this writer left it; the number of new entries."""
        size = os.fstat(self._handle).st_size
        if size == self._size:
            return 0
        before = self.log.entries
        raw = _read_all(self._handle, size)
        self.log = parse_log(self.path, raw)
        self._size, self._ended = len(raw), raw.endswith(b"\n") or not raw
        if before and (self.log.broken or self.log.entries[: len(before)] != before):
            raise ResultsError(
                f"{self.path} was changed by another program. {' '.join(self.log.problems)} "
                "Open the section again."
            )
        return len(self.log.entries) - len(before)

    def _keep_hold(self) -> None:
        """Write on where the file's name is: it may have been replaced or removed meanwhile."""
        mine = os.fstat(self._handle)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            there = None
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        if there is not None and (there.st_ino, there.st_dev) == (mine.st_ino, mine.st_dev):
            return
        handle = self._opened()
        os.close(self._handle)
        self._handle = handle
        if there is None and self.log.entries:  # removed: all that is known is written again
            with locked(handle, self.path):
                self._put("".join(to_line(entry)[0] for entry in self.log.entries).encode())
                self._size = os.fstat(handle).st_size

    def _write(self, drafts: Sequence[Draft]) -> list[Entry]:
        seq, prev = self._next()
        lines, entries = [], []
        for offset, draft in enumerate(drafts):
            entry = Entry(
                seq + offset, self._clock(), draft.action, draft.content, draft.reason, prev
            )
            line, entry = to_line(entry)
            lines.append(line)
            entries.append(entry)
            prev = entry.hash
        data = ("" if self._ended else "\n") + "".join(lines)
        if entries:
            self._put(data.encode())
            self.log = self._grown(entries)
        return entries

    def _next(self) -> tuple[int, str]:
        entries = self.log.entries
        return (entries[-1].seq + 1 if entries else 0), (self.log.tip if entries else GENESIS)

    def _grown(self, entries: Sequence[Entry]) -> Log:
        log = self.log
        header = log.entries[0] if log.entries else entries[0]
        return Log(
            log.path,
            str(header.content.get("section", "")),
            str(header.content.get("reviewer", "")),
            str(header.content.get("station", "")),
            bool(header.content.get("repeat", False)),
            (*log.entries, *entries),
            log.untrusted,
            log.problems,
            log.broken,
            entries[-1].hash,
            self._size,
        )

    def _put(self, data: bytes) -> None:
        try:
            written = 0
            while written < len(data):
                written += os.write(self._handle, data[written:])
            os.fsync(self._handle)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        self._size += len(data)
        self._ended = True


def _read_all(handle: int, size: int) -> bytes:
    os.lseek(handle, 0, os.SEEK_SET)
    pieces = []
    while size > 0:
        piece = os.read(handle, min(size, 1 << 24))
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _flush_folder(folder: Path) -> None:
    """A new file's name reaches the disk with its folder; Windows has no such call."""
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError:
            return  # not every network drive can
        finally:
            os.close(handle)


def _cannot_write(path: Path, error: OSError) -> DiskError:
    return DiskError(
        f"the decision was not saved: {path} cannot be written ({error.strerror or error}). "
        f"{cure_for(str(path), windows=os.name == 'nt')}, then decide again."
    )


def cure_for(path: str, *, windows: bool) -> str:
    """What helps where a file cannot be written.

    Parameters
    ----------
    path : str
        Absolute.
    windows : bool
        Whether paths end at :data:`~fociquant.atomic.LONGEST_PATH` characters.
    """
    if windows and len(path) > LONGEST_PATH:
        return (
            f"Its path has {len(path)} characters, more than Windows takes ({LONGEST_PATH}): move "
            "the results to a shorter path, for example nearer to the drive's root"
        )
    return "Free space or ask for permission to write there"
