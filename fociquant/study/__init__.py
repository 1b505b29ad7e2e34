"""``samples.csv`` and ``study.yaml`` to a :class:`Study`, with all problems at once."""

from __future__ import annotations

from fociquant.study.sheet import SheetRow
from fociquant.study.study import STUDY_FILE, Inspection, Study, inspect_study, load_study

__all__ = ["STUDY_FILE", "Inspection", "SheetRow", "Study", "inspect_study", "load_study"]
