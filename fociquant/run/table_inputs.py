"""What the tables of a study are made of, and the tables themselves; no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from fociquant.cohort import (
    ASSUMED_CV,
    power_table,
)
from fociquant.model import (
    CONTRACT_CLASSES,
    PhenotypeRule,
    Section,
)
from fociquant.run.gating import (
    Gating,
)
from fociquant.run.sections import DONE
from fociquant.settings import FociProfile, Settings
from fociquant.study.taken import made_columns, taken_names


@dataclass(frozen=True, slots=True)
class TableInputs:
    """All that the tables need besides stored objects.

    Parameters
    ----------
    sections : tuple of Section
        In the order of the sheet.
    settings : Settings
    profile : FociProfile
    names : mapping of str to str
        Role to channel name in tables.
    phenotypes : tuple of str
        Of the cancer cells; markers of immune cells are `immune`.
    reference_group : str or None
    keys : mapping of str to str
        Section name to the key under which its objects must have been stored; a section
        that has none could not be opened.
    rules : mapping of str to PhenotypeRule
        How phenotypes are read, where the study file says it.
    """

    sections: tuple[Section, ...]
    settings: Settings
    profile: FociProfile
    names: Mapping[str, str]
    phenotypes: tuple[str, ...]
    reference_group: str | None
    keys: Mapping[str, str]
    rules: Mapping[str, PhenotypeRule] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Columns of ``mice.csv`` with the foci of each class of the profile."""
        return tuple(one.column for one in self.profile.classes)

    @property
    def immune(self) -> tuple[str, ...]:
        """Markers of the immune cells that are counted around foci."""
        return tuple(name for name, rule in self.rules.items() if rule.immune)

    @property
    def extras(self) -> tuple[str, ...]:
        """Extra columns of the sheet, in its order; none that the tables make themselves.

        A study with such a column is refused before it is counted; results of earlier versions
        may name one.
        """
        names = dict.fromkeys(name for section in self.sections for name in section.extra)
        if not names:
            return ()
        # Columns of channels are in cells.parquet, to which no column of the sheet is carried.
        made = made_columns(
            phenotypes=self.phenotypes, immune=bool(self.immune), profile=self.profile
        )
        taken = taken_names(made)
        return tuple(name for name in names if name.casefold() not in taken)


@dataclass(frozen=True, slots=True)
class Tables:
    """The study's tables, as written.

    Parameters
    ----------
    sections, foci, mice, groups, comparisons : pandas.DataFrame
    gating : Gating, optional
        The thresholds, where they were just found.
    not_read : tuple of str
        What is wrong with logs of reviewers that belong to no section.
    classes : tuple of str
        Columns of ``mice.csv`` with the foci of each class of the profile.
    """

    sections: pd.DataFrame
    foci: pd.DataFrame
    mice: pd.DataFrame
    groups: pd.DataFrame
    comparisons: pd.DataFrame
    gating: Gating | None = None
    not_read: tuple[str, ...] = ()
    classes: tuple[str, ...] = CONTRACT_CLASSES

    @property
    def power(self) -> pd.DataFrame:
        """Mice per group for the next experiment, if its mice are like these."""
        cv = self.comparisons["cv_between_mice"].dropna()
        reference = self.groups["group"].isin(self.comparisons["reference"])
        means = self.groups["mean"][reference & (self.groups["mean"] > 0)]
        return power_table(
            reference_mean=max(0.1, round(float(means.median()), 1)) if len(means) else 1.0,
            cv=float(cv.iloc[0]) if len(cv) else ASSUMED_CV,
        )

    @property
    def uncounted(self) -> list[str]:
        """Names of the sections that could not be counted."""
        return [str(name) for name in self.sections["section"][self.sections["status"] != DONE]]
