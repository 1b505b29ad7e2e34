"""Sections to mice to groups: the tables in which the mouse is the unit."""

from __future__ import annotations

from fociquant.cohort._compare import COMPARISON_COLUMNS, compare_groups
from fociquant.cohort._groups import GROUP_COLUMNS, group_table
from fociquant.cohort._mice import mice_table
from fociquant.cohort._order import natural_key, sort_mice
from fociquant.cohort._power import ASSUMED_CV, POWER_COLUMNS, power_table
from fociquant.cohort._ranks import rank_test, smallest_p
from fociquant.counts import poisson_upper

__all__ = [
    "ASSUMED_CV",
    "COMPARISON_COLUMNS",
    "GROUP_COLUMNS",
    "POWER_COLUMNS",
    "compare_groups",
    "group_table",
    "mice_table",
    "natural_key",
    "poisson_upper",
    "power_table",
    "rank_test",
    "smallest_p",
    "sort_mice",
]
