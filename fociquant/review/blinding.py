"""Codes instead of names, in random order; looking behind them is written down."""

from __future__ import annotations

import json
import random
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from fociquant.atomic import write_json
from fociquant.errors import ResultsError
from fociquant.review.decisions import Action, Draft, Entry
from fociquant.review.read_log import read_log
from fociquant.review.results import read_run
from fociquant.review.reviewers import CURE, STUDY, Reviewer, ReviewFolder
from fociquant.review.write_log import LogWriter

ALPHABET = "ACDEFHJKLMNPQRTUVWXY34679"
"""Letters and digits that are not taken for each other when read aloud or written by hand."""

CODE_LENGTH = 4
"""390 625 codes."""

FORMAT = 1
"""Of ``blinding.json``."""

HIDDEN = "…"
"""What stands in place of a word that would unblind."""


@dataclass(frozen=True, slots=True)
class View:
    """One section as it is put before a reviewer.

    Parameters
    ----------
    code : str
        What the reviewer sees.
    section : str
        What it is.
    repeat : bool
        A second look at a section that has another code too: it measures the reviewer.
    """

    code: str
    section: str
    repeat: bool = False


@dataclass(frozen=True, slots=True)
class Blinding:
    """Coded names of all sections of a study, in the order in which they are to be reviewed.

    Parameters
    ----------
    seed : int
        From which codes and order were drawn.
    views : tuple of View
        In random order.
    words : tuple of str
        What a blinded reviewer must not read: names of sections and images, mice, groups.
    """

    seed: int
    views: tuple[View, ...]
    words: tuple[str, ...] = ()

    def section_of(self, code: str) -> str:
        """The section behind a code.

        Raises
        ------
        KeyError
            No such code.
        """
        return next_or_raise(view.section for view in self.views if view.code == code)

    def code_of(self, section: str) -> str:
        """The (first) code of a section.

        Raises
        ------
        KeyError
            No such section.
        """
        return next_or_raise(v.code for v in self.views if v.section == section and not v.repeat)

    def redact(self, text: str) -> str:
        """A message without the words that would unblind.

        Names of sections become their codes, other words ``…``. Single letters and plain
        numbers are left: as words they say nothing, and they are everywhere.
        """
        # Most words are in no message: a study of 60 sections has 400 of them.
        for word in sorted((one for one in self.words if one in text), key=len, reverse=True):
            code = next((v.code for v in self.views if v.section == word and not v.repeat), HIDDEN)
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", code, text)
        return text


def next_or_raise(found: Any) -> str:
    """The first of some texts.

    Raises
    ------
    KeyError
        There is none.
    """
    for one in found:
        return str(one)
    raise KeyError("no such section or code")


def make_blinding(
    sections: Sequence[str], *, seed: int, repeats: int = 0, words: Sequence[str] = ()
) -> Blinding:
    """Draw codes and an order.

    Parameters
    ----------
    sections : sequence of str
        Unique names.
    seed : int
        The same seed and sections give the same codes and order.
    repeats : int
        So many sections get a second code and are shown again later.
    words : sequence of str
        See :class:`Blinding`.

    Returns
    -------
    Blinding
    """
    source = random.Random(seed)
    order = sorted(sections)
    source.shuffle(order)
    again = order[: min(repeats, len(order) // 2)]
    codes = _codes(source, len(order) + len(again))
    views = [View(code, name) for code, name in zip(codes, order, strict=False)]
    # Second looks come in the second half, far from the first, which are at the front.
    later = [View(code, name, True) for code, name in zip(codes[len(order) :], again, strict=True)]
    for view in later:
        views.insert(source.randint((len(views) + 1) // 2 + len(again) // 2, len(views)), view)
    return Blinding(seed, tuple(views), tuple(words))


def _codes(source: random.Random, number: int) -> list[str]:
    codes: list[str] = []
    while len(codes) < number:
        code = "".join(source.choice(ALPHABET) for _ in range(CODE_LENGTH))
        if code not in codes:
            codes.append(code)
    return codes


def open_blinding(results: Path, *, seed: int | None = None, repeats: int = 0) -> Blinding:
    """The blinding of a results folder; drawn and stored where there is none.

    Sections that came later get codes of their own; those known keep theirs.

    Parameters
    ----------
    results : pathlib.Path
    seed : int, optional
        Of a new blinding; drawn at random by default, and recorded.
    repeats : int
        Of a new blinding: sections shown twice.

    Returns
    -------
    Blinding

    Raises
    ------
    ResultsError
        No results, or a damaged ``blinding.json``.
    DiskError
        It cannot be written.
    """
    run = read_run(results)
    names = [str(entry["name"]) for entry in run["sections"]]
    words = _words(run)
    path = ReviewFolder(results).blinding
    if not path.exists():
        made = make_blinding(names, seed=_seed(seed), repeats=repeats, words=words)
        write_json(path, _to_json(made), cure=CURE)
    known = _read(path, words)
    missing = sorted(set(names) - {view.section for view in known.views})
    if missing:
        known = _extend(known, missing)
        write_json(path, _to_json(known), cure=CURE)
    return known


def _seed(seed: int | None) -> int:
    return secrets.randbelow(2**31) if seed is None else seed


def _words(run: dict[str, Any]) -> tuple[str, ...]:
    words: set[str] = set()
    for entry in run["sections"]:
        image = str(entry.get("image", ""))
        own = [str(entry.get(key, "")) for key in ("name", "mouse", "group", "batch")]
        # A sheet written on Windows may separate folders by backslashes.
        name = PureWindowsPath(image).name
        own += [image, image.replace("/", "\\"), image.replace("\\", "/"), name, name.split(".")[0]]
        own += [str(value) for value in (entry.get("extra") or {}).values()]
        words |= {word for word in own if _tells(word)}
    return tuple(sorted(words))


def _tells(word: str) -> bool:
    """Whether a word says something where it stands alone."""
    return len(word) > 1 and not re.fullmatch(r"[\d.,]+", word)


def _extend(known: Blinding, missing: Sequence[str]) -> Blinding:
    taken = {view.code for view in known.views}
    seed = known.seed + len(known.views)
    more = make_blinding(missing, seed=seed)
    while taken & {view.code for view in more.views}:
        seed += 1
        more = make_blinding(missing, seed=seed)
    return Blinding(known.seed, known.views + more.views, known.words)


def _to_json(blinding: Blinding) -> dict[str, Any]:
    views = [[view.code, view.section, view.repeat] for view in blinding.views]
    return {"format": FORMAT, "seed": blinding.seed, "views": views}


def _read(path: Path, words: tuple[str, ...]) -> Blinding:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        views = tuple(View(str(c), str(s), bool(r)) for c, s, r in content["views"])
        # Sections that left the study have logs, whose names are in messages.
        hidden = {*words, *(view.section for view in views if _tells(view.section))}
        return Blinding(int(content["seed"]), views, tuple(sorted(hidden)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{path} is damaged ({error}). Remove it: new codes are drawn, no decision is lost."
        ) from error


def unblind(results: Path, reviewer: Reviewer | str, *, reason: str) -> Entry:
    """Write down that a reviewer has seen group, day, mouse and path.

    Parameters
    ----------
    results : pathlib.Path
    reviewer : Reviewer or str
    reason : str

    Returns
    -------
    Entry

    Raises
    ------
    DiskError
        It could not be written: then nothing may be shown.
    """
    who = Reviewer(reviewer) if isinstance(reviewer, str) else reviewer
    with LogWriter(ReviewFolder(results), STUDY, who) as writer:
        return writer.append([Draft(Action.UNBLIND, {}, reason)])[0]


def is_blinded(results: Path, reviewer: Reviewer | str) -> bool:
    """Whether this reviewer has never unblinded (an unblinding cannot be undone)."""
    who = Reviewer(reviewer) if isinstance(reviewer, str) else reviewer
    logs = [read_log(path) for path in ReviewFolder(results).parts(STUDY, who)]
    # Also what cannot be trusted counts here: seeing once is enough.
    entries = (entry for log in logs for entry in (*log.entries, *log.untrusted))
    return all(entry.action is not Action.UNBLIND for entry in entries)
