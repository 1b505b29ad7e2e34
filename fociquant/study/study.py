"""A study read from its two files, or everything that is wrong with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from fociquant.errors import Problem, StudyError
from fociquant.model import Channels, Section
from fociquant.settings import FociProfile, Settings
from fociquant.study.config import Config, read_config
from fociquant.study.document import Document, parse_yaml
from fociquant.study.naming import exists, leaves_folder, locate
from fociquant.study.notes import sheet_notes
from fociquant.study.sheet import OPTIONAL, REQUIRED, SheetRow, read_rows
from fociquant.study.spelling import did_you_mean, listed
from fociquant.study.table import Table, read_table
from fociquant.study.taken import made_twice, taken_in_study
from fociquant.study.text import MAX_SHEET_BYTES, MAX_STUDY_BYTES, read_text
from fociquant.units import PixelSize

STUDY_FILE = "study.yaml"
"""Name of the study file in a folder."""

_NO_SHEET = "Write it, or run 'fociquant init' on the folder of images; check the key 'samples'."
_NO_STUDY = "Give the path of a study file, or write one with 'fociquant init'."


@dataclass(frozen=True)
class Study:
    """Sections, mice and settings: all that a run needs besides pixels.

    Parameters
    ----------
    name : str
        The study's name.
    folder : Path
        Absolute folder of the study file.
    sections : tuple of Section
        In the order of the sheet; at least one.
    settings : Settings
        Defaults, then the preset, then the study file.
    profile : FociProfile
        The classes of foci.
    preset : str or None
        As the study file has it.
    reference_group : str or None
        One of the groups, or None.
    channels : Channels
        Which channel plays which part.
    pixel_size : PixelSize or None
        Overrides what the files say; None: each file's own.
    sources : mapping of str to str
        Name of each file read to the sha256 (hex) of its bytes, for provenance.
    """

    name: str
    folder: Path
    sections: tuple[Section, ...]
    settings: Settings
    profile: FociProfile
    preset: str | None
    reference_group: str | None
    channels: Channels
    pixel_size: PixelSize | None
    sources: Mapping[str, str]

    @property
    def groups(self) -> tuple[str, ...]:
        """Group names, the reference first, the others as the sheet has them."""
        names = dict.fromkeys(section.group for section in self.sections)
        return tuple(sorted(names, key=lambda name: name != self.reference_group))

    @property
    def mice(self) -> Mapping[str, tuple[Section, ...]]:
        """Mouse to its sections, both in the order of the sheet."""
        mice: dict[str, tuple[Section, ...]] = {}
        for section in self.sections:
            mice[section.mouse] = (*mice.get(section.mouse, ()), section)
        return MappingProxyType(mice)

    def fingerprint(self) -> str:
        """sha256 (hex) of everything that can change a result, except the pixels.

        Independent of the study's place, of the order of rows and of the
        encoding of the files.
        """
        size = self.pixel_size
        content = {
            "sections": sorted(_section_content(section) for section in self.sections),
            "settings": self.settings.fingerprint(),
            "profile": self.profile.model_dump(mode="json"),
            "channels": list(self.channels.roles().items()),
            "rules": {name: asdict(rule) for name, rule in self.channels.rules.items()},
            "pixel_size": None if size is None else [size.y, size.x],
            "reference_group": self.reference_group,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Inspection:
    """Everything that could be read of a study, and everything wrong with it.

    Parameters
    ----------
    study : Study or None
        None if there is any problem.
    problems : tuple of Problem
        All of them.
    notes : tuple of Problem
        What looks wrong but may be meant; a run is possible.
    rows : tuple of SheetRow
        Every row of the sheet, also those with problems.
    config : Config
        The study file as far as it could be read.
    document : Document
        To name file, line and key in further messages.
    sheet : str
        Name of the sample sheet, for messages.
    """

    study: Study | None
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    rows: tuple[SheetRow, ...]
    config: Config
    document: Document
    sheet: str


def load_study(path: Path) -> Study:
    """Read a study; no image is opened.

    Parameters
    ----------
    path : Path
        The study file, or a folder that holds ``study.yaml``.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        With every problem of both files, each with its place and cure.
    """
    inspection = inspect_study(path)
    if inspection.study is None:
        raise StudyError(inspection.problems)
    return inspection.study


def inspect_study(path: Path) -> Inspection:
    """Read as much of a study as there is, and collect every problem.

    Parameters
    ----------
    path : Path
        The study file, or a folder that holds ``study.yaml``.

    Returns
    -------
    Inspection
        Never raises for anything that the user wrote.
    """
    file = path / STUDY_FILE if exists(path) and path.is_dir() else path
    text, problems = read_text(
        file, what="the study file", cure=_NO_STUDY, max_bytes=MAX_STUDY_BYTES
    )
    if not problems and file.suffix.lower() not in (".yaml", ".yml"):
        problems = [Problem(file.name, "a study file ends in .yaml.", _NO_STUDY)]
    document = Document(file.name)
    if not problems:
        document, problems = parse_yaml(text, file.name)
    folder = file.parent.absolute()
    config, wrong = read_config(document, folder)
    if problems and not document.values:
        wrong = []
        if not exists(folder / config.samples):
            return Inspection(None, tuple(problems), (), (), config, document, config.samples)
    sheet, table, sheet_problems = _read_sheet(document, config, folder)
    taken = taken_in_study(config.channels, config.profile)
    rows, row_problems = read_rows(table, sheet, taken=taken) if table.columns else ((), [])
    problems += [*wrong, *sheet_problems, *row_problems]
    problems += _reference_problems(document, config, table)
    problems += _made_twice(document, config)
    study = None if problems else _study(config, folder, rows, (file, sheet))
    notes = tuple(sheet_notes(table, sheet.name))
    return Inspection(study, tuple(problems), notes, rows, config, document, sheet.name)


def _read_sheet(
    document: Document, config: Config, folder: Path
) -> tuple[Path, Table, list[Problem]]:
    """The sheet's path and text, and what is wrong with the file as such."""
    where = document.where("samples")
    if leaves_folder(config.samples):
        what = f"{config.samples!r} leads out of the study's folder."
        cure = "Move the file, or write its absolute path."
        return folder / "samples.csv", Table(), [Problem(where, what, cure)]
    path = locate(config.samples, folder)
    text, problems = read_text(
        path, what="the sample sheet", cure=_NO_SHEET, max_bytes=MAX_SHEET_BYTES
    )
    if problems:
        return path, Table(), problems
    table, problems = read_table(text, path.name, known=REQUIRED + OPTIONAL)
    if not table.columns and not problems:
        cure = f"Its first line names the columns: {listed(REQUIRED)}."
        problems = [Problem(path.name, "the sample sheet is empty.", cure)]
    return path, table, problems


def _reference_problems(document: Document, config: Config, table: Table) -> list[Problem]:
    groups = dict.fromkeys(row.cells.get("group", "") for row in table.rows)
    groups.pop("", None)
    wanted = config.reference_group
    if wanted is None or wanted in groups or not groups:
        return []
    what = f"{wanted!r} is not a group of the sample sheet."
    cure = f"{did_you_mean(wanted, groups)}Groups are {listed(groups)}."
    return [Problem(document.where("reference_group"), what, cure)]


def _made_twice(document: Document, config: Config) -> Iterator[Problem]:
    """Phenotypes and classes of foci of which a table would have a column twice."""
    phenotypes, classes = made_twice(config.channels, config.profile)
    for name, column in phenotypes.items():
        what = f"the tables have a column {column!r} already."
        yield Problem(document.where("channels", "phenotype", name), what, "Rename the phenotype.")
    for column in classes:
        what = f"the tables have a column {column!r} already."
        cure = "Write another 'column' for that class in the file of the profile."
        yield Problem(document.where("foci", "profile"), what, cure)


def _study(
    config: Config, folder: Path, rows: tuple[SheetRow, ...], files: tuple[Path, ...]
) -> Study | None:
    """The study, once there is no problem; None only if a part is missing after all."""
    if config.settings is None or config.profile is None or config.channels is None:
        return None
    return Study(
        name=config.name,
        folder=folder,
        sections=tuple(row.section for row in rows if row.section is not None),
        settings=config.settings,
        profile=config.profile,
        preset=config.preset,
        reference_group=config.reference_group,
        channels=config.channels,
        pixel_size=config.pixel_size,
        sources=MappingProxyType({file.name: _sha256(file) for file in files}),
    )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _section_content(section: Section) -> str:
    content = [
        section.name,
        section.image_text,
        section.mouse,
        section.group,
        section.dpi,
        section.negative_control,
        section.batch,
        section.region,
        sorted(section.extra.items()),
    ]
    return json.dumps(content)
