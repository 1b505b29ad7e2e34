"""Figures and the HTML report of one results folder; figures of an evaluation."""

from __future__ import annotations

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
from fociquant.report._overview import write_overview
from fociquant.report._report import write_report
from fociquant.report._sweep import write_sweep

__all__ = [
    "WINDOW_DIAMETERS",
    "Crops",
    "ReportExtras",
    "choose_cells",
    "cut_crops",
    "read_crops",
    "tile_outline",
    "write_count_evaluation",
    "write_crops",
    "write_label_evaluation",
    "write_overview",
    "write_report",
    "write_sweep",
]
