"""Who reviews, on which computer, and which file is theirs."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import re
import uuid
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from fociquant.errors import InputError
from fociquant.reading import look_at

MAX_PARTS = 1000
"""A log broken more often than this is not gone on with."""

NAME_LENGTH = 60
"""Longest name of a reviewer."""

SLUG_LENGTH = 32
"""Letters of the name that go into the file's name."""

CURE = "Free space or ask for permission to write there."
"""What helps where a file of a review is not taken."""

STUDY = "_study"
"""In place of a section's name: entries about the whole study, for example unblinding."""

AUDIT = "_audit"
"""In place of a section's name: verdicts on the sample of an audit, which lies in many sections."""


@dataclass(frozen=True, slots=True)
class Reviewer:
    """A person at a computer.

    Two people of one name on two computers are two reviewers and write two files; so
    do two computers of one person.

    Parameters
    ----------
    name : str
        As the person writes it, 1 to 60 characters.
    station : str
        What tells this computer and account from others; made from both by default.

    Raises
    ------
    InputError
        If the name is empty, too long, or holds a line break.
    """

    name: str
    station: str = field(default_factory=lambda: this_station())

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > NAME_LENGTH or not self.name.isprintable():
            raise InputError(
                f"{self.name!r} cannot be a reviewer's name. "
                f"Give 1 to {NAME_LENGTH} letters, for example initials."
            )

    @property
    def id(self) -> str:
        """A safe file name part, unique for name and station: ``ana-1f3c09aa``."""
        digest = hashlib.sha256(f"{self.name}\n{self.station}".encode()).hexdigest()
        slug = re.sub(r"[^A-Za-z0-9]+", "_", self.name).strip("_")[:SLUG_LENGTH]
        return f"{slug or 'reviewer'}-{digest[:8]}"


def this_station() -> str:
    """A short text that stays the same for this account on this computer.

    It is a hash: neither the account's name nor an address can be read from it.
    """
    node = uuid.getnode()
    # Where no network address is found, Python makes a random one for every process.
    machine = platform.node() if node >> 40 & 1 else f"{node:012x}"
    try:
        account = getpass.getuser()
    except (ImportError, KeyError, OSError):
        account = ""
    return hashlib.sha256(f"{machine}\n{account}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class ReviewFolder:
    """Paths below ``RESULTS/review``.

    Parameters
    ----------
    results : pathlib.Path
        The results folder.
    """

    results: Path

    @property
    def root(self) -> Path:
        """``review/``."""
        return self.results / "review"

    @property
    def logs(self) -> Path:
        """``review/decisions/``: one file per reviewer and section."""
        return self.root / "decisions"

    @property
    def blinding(self) -> Path:
        """``review/blinding.json``."""
        return self.root / "blinding.json"

    @property
    def audit(self) -> Path:
        """``review/audit.json``: the sample that was drawn."""
        return self.root / "audit.json"

    def log(self, section: str, reviewer: Reviewer, *, repeat: bool = False, part: int = 1) -> Path:
        """The file of one reviewer and section.

        Parameters
        ----------
        section : str
            Name of the section, :data:`STUDY` or :data:`AUDIT`.
        reviewer : Reviewer
        repeat : bool
            The section shown a second time, to measure the reviewer.
        part : int
            From 2 on: the file that goes on after a broken one.
        """
        again = "--again" if repeat else ""
        number = f"--{part}" if part > 1 else ""
        return self.logs / f"{section}--{reviewer.id}{again}{number}.jsonl"

    def parts(self, section: str, reviewer: Reviewer, *, repeat: bool = False) -> list[Path]:
        """The files there are of one reviewer and section, broken ones first."""
        numbered = (
            self.log(section, reviewer, repeat=repeat, part=part) for part in range(1, MAX_PARTS)
        )
        return list(takewhile(Path.exists, numbered))

    def all_logs(self) -> list[Path]:
        """Every log there is, sorted by name.

        Raises
        ------
        UnreadableError
            If the drive does not let the folder be read: a log that is not listed is not applied.
        """
        # Patterns of pathlib say nothing of a folder that cannot be read: no log, then.
        names = look_at(self.logs, os.listdir) or []
        return [path for path in map(self.logs.joinpath, sorted(names)) if path.match("*.jsonl")]
