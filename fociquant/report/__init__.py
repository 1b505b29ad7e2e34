"""Figures and the HTML report of one results folder; figures of an evaluation.

The names below are imported when they are first used: most of them load matplotlib, which a run
needs at its end only.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fociquant.report._crops import (
        WINDOW_DIAMETERS,
        Crops,
        choose_cells,
        cut_crops,
        read_crops,
        tile_outline,
        write_crops,
    )
    from fociquant.report._evaluation import write_count_evaluation, write_label_evaluation
    from fociquant.report._extras import ReportExtras
    from fociquant.report._overview import overview_png
    from fociquant.report._report import write_report
    from fociquant.report._sweep import write_sweep

_HOME = {
    "WINDOW_DIAMETERS": "_crops",
    "Crops": "_crops",
    "ReportExtras": "_extras",
    "choose_cells": "_crops",
    "cut_crops": "_crops",
    "overview_png": "_overview",
    "read_crops": "_crops",
    "tile_outline": "_crops",
    "write_count_evaluation": "_evaluation",
    "write_crops": "_crops",
    "write_label_evaluation": "_evaluation",
    "write_report": "_report",
    "write_sweep": "_sweep",
}
"""Name to the module that has it."""

__all__ = [
    "WINDOW_DIAMETERS",
    "Crops",
    "ReportExtras",
    "choose_cells",
    "cut_crops",
    "overview_png",
    "read_crops",
    "tile_outline",
    "write_count_evaluation",
    "write_crops",
    "write_label_evaluation",
    "write_report",
    "write_sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fociquant.report' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"fociquant.report.{_HOME[name]}"), name)
    globals()[name] = value
    return value
