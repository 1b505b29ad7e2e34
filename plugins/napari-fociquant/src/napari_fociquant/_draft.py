"""A study that is being written: the table of sections and the channels, without a window."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fociquant.errors import InputError, StudyError
from fociquant.run.image_facts import first_facts
from fociquant.study import STUDY_FILE
from fociquant.study.document import parse_yaml
from fociquant.study.guess import Roles, Sample, guess_roles, guess_samples
from fociquant.study.scaffold import find_images, sheet_text, study_text, write_new
from fociquant.study.sheet import OPTIONAL, REQUIRED
from fociquant.study.table import read_table
from fociquant.study.text import MAX_SHEET_BYTES, MAX_STUDY_BYTES, read_text

SHEET = "samples.csv"
"""Name of the sheet unless the study file names another one."""

_LINE = re.compile(r"line (\d+)")
_COLUMN = re.compile(r"column '([^']+)'")


@dataclass(frozen=True, slots=True)
class Draft:
    """A study as the table shows it.

    Parameters
    ----------
    folder : pathlib.Path
        Where the two files are or will be.
    columns : tuple of str
        Of the sheet, in its order.
    rows : tuple of tuple of str
        Texts of the cells.
    lines : tuple of int
        Line of each row in the sheet's file, to put problems where they belong.
    channels : tuple of str
        Channels of the first image that opens; empty if none does.
    roles : Roles
        Which channel is what; guessed from the names for a new study.
    study_yaml : str or None
        Text of the study file; None if it is still to be written from `roles`.
    has_pixel_size : bool
        Whether the first image says its pixel size.
    notes : tuple of str
        What the user should know.
    sheet : str
        Name of the sheet, in the folder.
    """

    folder: Path
    columns: tuple[str, ...] = REQUIRED + OPTIONAL
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[int, ...] = ()
    channels: tuple[str, ...] = ()
    roles: Roles = field(default_factory=Roles)
    study_yaml: str | None = None
    has_pixel_size: bool = True
    notes: tuple[str, ...] = ()
    sheet: str = SHEET

    @property
    def study_file(self) -> Path:
        """``study.yaml`` of the folder."""
        return self.folder / STUDY_FILE

    @property
    def images(self) -> list[str]:
        """Paths of the images as the sheet has them."""
        place = self.columns.index("image") if "image" in self.columns else 0
        return [row[place] for row in self.rows if row]

    def with_rows(self, rows: Sequence[Sequence[str]]) -> Draft:
        """The same with other cells; files written from it have one line a row."""
        texts = tuple(tuple(str(cell) for cell in row) for row in rows)
        return replace(self, rows=texts, lines=tuple(range(2, len(texts) + 2)))

    def samples(self) -> tuple[Sample, ...]:
        """Rows as the scaffold wants them."""
        cells = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return tuple(Sample(**{name: row.get(name, "") for name in REQUIRED}) for row in cells)


def open_draft(path: Path) -> Draft:
    """The study of a folder: as its files say, or a proposal where there are none.

    Parameters
    ----------
    path : pathlib.Path
        A folder, a ``study.yaml`` or a ``samples.csv``.

    Returns
    -------
    Draft

    Raises
    ------
    StudyError
        If there is neither a sheet nor an image.
    InputError
        If the sheet is in another folder than the study file.
    """
    folder = path if path.is_dir() else path.parent
    sheet = sheet_of(study_text_of(Draft(folder)))
    if (folder / sheet).exists():
        return _existing(folder, sheet)
    return replace(_proposal(folder), sheet=sheet)


def sheet_of(study_yaml: str | None) -> str:
    """Name of the sheet that a study file asks for.

    Raises
    ------
    InputError
        If that is in another folder: a table must not be written to where it is not looked for.
    """
    document, _ = parse_yaml(study_yaml or "", STUDY_FILE)
    named = document.values.get("samples")
    if not isinstance(named, str) or not named.strip():
        return SHEET
    if named in (".", "..") or named != re.split(r"[\\/]", named)[-1]:
        raise InputError(
            f"{STUDY_FILE}, key 'samples': {named!r} is in another folder. A study is opened here "
            f"if its sheet is beside its {STUDY_FILE}."
        )
    return named


def _existing(folder: Path, sheet: str) -> Draft:
    text, problems = read_text(
        folder / sheet,
        what="the sample sheet",
        cure="Choose its folder.",
        max_bytes=MAX_SHEET_BYTES,
    )
    table, unread = read_table(text, sheet, known=REQUIRED + OPTIONAL)
    if problems or not table.columns:
        raise StudyError([*problems, *unread])
    columns = tuple(dict.fromkeys((*table.columns, *REQUIRED)))
    rows = tuple(tuple(row.cells.get(name, "") for name in columns) for row in table.rows)
    draft = Draft(folder, columns, rows, tuple(row.line for row in table.rows), sheet=sheet)
    images = [row.cells.get("image", "") for row in table.rows]
    draft = _with_channels(draft, images)
    if not draft.study_file.exists():
        return draft
    study, problems = read_text(
        draft.study_file, what="the study file", cure="Write it.", max_bytes=MAX_STUDY_BYTES
    )
    return replace(draft, study_yaml=study, notes=tuple(str(problem) for problem in problems))


def study_text_of(draft: Draft) -> str | None:
    """Text of the study file as it is on the disk; None if there is none."""
    if not draft.study_file.exists():
        return None
    text, _ = read_text(
        draft.study_file, what="the study file", cure="Write it.", max_bytes=MAX_STUDY_BYTES
    )
    return text


def _proposal(folder: Path) -> Draft:
    found = find_images(folder)
    samples = guess_samples(found.images)
    empty = [""] * len(OPTIONAL)
    rows = [[one.image, one.mouse, one.group, one.dpi, *empty] for one in samples]
    draft = _with_channels(Draft(folder).with_rows(rows), found.images)
    guessed = any(one.mouse for one in samples)
    notes = ["Mouse, group and dpi were taken from the file names: look them over."] * guessed
    if found.skipped:
        notes.append(f"Left out as label images or overviews: {len(found.skipped)} files.")
    return replace(draft, notes=tuple(notes))


def _with_channels(draft: Draft, images: Sequence[str]) -> Draft:
    facts = first_facts(draft.folder / image for image in images if image)
    if facts is None:
        return draft
    return replace(
        draft,
        channels=facts.channel_names,
        roles=guess_roles(facts.channel_names),
        has_pixel_size=facts.pixel_size is not None,
    )


def with_new_images(draft: Draft) -> Draft:
    """The draft with a row for each image of the folder that has none yet.

    Raises
    ------
    StudyError
        If the folder cannot be read or holds no image.
    """
    at = draft.columns.index("image")
    listed = {row[at].replace("\\", "/") for row in draft.rows}
    new = [one for one in find_images(draft.folder).images if one not in listed]
    rows = []
    for sample in guess_samples(new):
        known = {"image": sample.image, "mouse": sample.mouse, "group": sample.group,
                 "dpi": sample.dpi}  # fmt: skip
        rows.append([known.get(name, "") for name in draft.columns])
    return draft.with_rows([*draft.rows, *rows])


def save_draft(draft: Draft, *, pixel_size_um: str = "") -> list[str]:
    """Write the sheet, and the study file; both at once, whole or not at all.

    Parameters
    ----------
    draft : Draft
    pixel_size_um : str
        For a new study file: µm per pixel; ``""`` means what each file says.

    Returns
    -------
    list of str
        Names of the files written.

    Raises
    ------
    StudyError
        If the folder cannot be written.
    InputError
        If the study file asks for a sheet in another folder.
    """
    named = sheet_of(draft.study_yaml)
    contents = {STUDY_FILE: draft.study_yaml or ""}
    if named == draft.sheet or not (draft.folder / named).exists():
        contents[named] = _sheet(draft)  # else the text has just been set to a sheet that is there
    if draft.study_yaml is None:
        contents[STUDY_FILE] = study_text(
            draft.folder.absolute().name,
            draft.roles,
            draft.samples(),
            channels=draft.channels,
            has_pixel_size=draft.has_pixel_size,
        ).replace("pixel_size_um: null", f"pixel_size_um: {pixel_size_um.strip() or 'null'}")
    return write_new(draft.folder, contents, force=True)


def _sheet(draft: Draft) -> str:
    if draft.columns == REQUIRED + OPTIONAL and not any(
        any(row[len(REQUIRED) :]) for row in draft.rows
    ):
        return sheet_text(draft.samples())
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(draft.columns)
    writer.writerows(draft.rows)
    return stream.getvalue()


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A problem of ``fociquant check`` and the cell it belongs to.

    Parameters
    ----------
    row : int or None
        Of the draft; None for the study file or the sheet as a whole.
    column : str or None
    text : str
        What is wrong, and the cure.
    """

    row: int | None
    column: str | None
    text: str


def place_problems(draft: Draft, problems: Sequence[Mapping[str, str]]) -> list[RowProblem]:
    """Problems of ``fociquant check --json`` at their cells."""
    return [_placed(draft, problem) for problem in problems]


def _placed(draft: Draft, problem: Mapping[str, str]) -> RowProblem:
    where = problem["where"]
    text = f"{problem['what']} {problem['cure']}"
    line, column = _LINE.search(where), _COLUMN.search(where)
    if not where.startswith(draft.sheet) or line is None or int(line[1]) not in draft.lines:
        return RowProblem(None, None, f"{where}: {text}")
    name = column[1] if column and column[1] in draft.columns else None
    return RowProblem(draft.lines.index(int(line[1])), name, _LINE.sub(_as_row(draft), text))


def _as_row(draft: Draft) -> Callable[[re.Match[str]], str]:
    """Lines of the sheet's file as the rows that the table numbers."""

    def row(found: re.Match[str]) -> str:
        line = int(found[1])
        return f"row {draft.lines.index(line) + 1}" if line in draft.lines else found[0]

    return row
