"""Sections to mice to groups: the tables in which the mouse is the unit."""

from __future__ import annotations

from fociquant.cohort._groups import GROUP_COLUMNS, group_table
from fociquant.cohort._mice import mice_table
from fociquant.cohort._order import natural_key, sort_mice

__all__ = ["GROUP_COLUMNS", "group_table", "mice_table", "natural_key", "sort_mice"]
