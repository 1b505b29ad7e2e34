"""Figures and the HTML report of one results folder; figures of an evaluation."""

from __future__ import annotations

from fociquant.report._evaluation import write_count_evaluation, write_label_evaluation
from fociquant.report._figures import write_figures
from fociquant.report._overview import write_overview
from fociquant.report._report import write_report
from fociquant.report._sweep import write_sweep

__all__ = [
    "write_count_evaluation",
    "write_figures",
    "write_label_evaluation",
    "write_overview",
    "write_report",
    "write_sweep",
]
